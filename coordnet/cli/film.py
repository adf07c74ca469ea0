"""`coordnet film RUN`."""

import argparse
from pathlib import Path

from coordnet.cli.run_options import named_as_flags


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet film",
        description="A video of the pictures that a run drew while it trained, as a GIF or MP4 file.",
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument("--output", type=Path, help="default: film.gif in the run; a new file, .gif or .mp4")
    options = parser.parse_args(argv)
    from coordnet.export.progress_video import export_progress_video

    with named_as_flags():
        print(export_progress_video(options.run, options.output))
