"""`coordnet film RUN`."""

import argparse
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet film",
        description="The pictures of a run's training, one after another, as a GIF or MP4 file.",
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument("--out", type=Path, help="default: film.gif in the run; a new file, .gif or .mp4")
    options = parser.parse_args(argv)
    from coordnet.export.progress_video import film

    print(film(options.run, options.out))
