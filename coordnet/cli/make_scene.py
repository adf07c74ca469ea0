"""`coordnet make-scene NAME OUT`."""

import argparse
import tempfile
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet make-scene",
        description="Write a scene that is known exactly in the format of NeRF's synthetic data, in a box of 1.5 units "
        "around it: transforms_{train,val,test}.json and PNG files with opacity. signal=blender reads it.",
    )
    parser.add_argument("name", help="checker, rotated, shine, fence or text")
    parser.add_argument("out", type=Path, help="a directory that does not exist yet")
    parser.add_argument(
        "--size", type=int, default=100, help="pixels per side of a picture (default %(default)s)"
    )
    parser.add_argument("--views", type=int, default=80, help="to train on (default %(default)s)")
    parser.add_argument(
        "--held-out", type=int, default=10, help="for val, and for test (default %(default)s)"
    )
    parser.add_argument(
        "--frequency", type=float, default=8.0, help="cycles across the box (default %(default)s)"
    )
    parser.add_argument(
        "--radius", type=float, default=2.7, help="of the orbit, in half sides (default %(default)s)"
    )
    parser.add_argument(
        "--elevation",
        type=float,
        nargs=2,
        default=(5.0, 75.0),
        help="degrees, lowest and highest (default 5 75)",
    )
    parser.add_argument(
        "--supersample", type=int, default=4, help="rays per pixel and axis (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of places and words (default %(default)s)")
    options = parser.parse_args(argv)
    from coordnet.console import say
    from coordnet.errors import UserError
    from coordnet.signals.scenes.scene_file import write_views
    from coordnet.signals.synthetic.synthetic_scene import take

    if options.out.exists():
        raise UserError(f"{options.out} exists; make-scene writes into a new directory")
    folder = options.out.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"val": options.held_out, "test": options.held_out, "train": options.views}
    # What is not whole never stands at its place, and what cannot be made leaves nothing behind.
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{options.out.name}-") as unfinished:
        made = Path(unfinished, "scene")
        made.mkdir()
        for split, count in counts.items():
            try:
                views = take(
                    options.name,
                    options.frequency,
                    split,
                    count,
                    options.size,
                    options.radius,
                    options.elevation,
                    options.supersample,
                    options.seed,
                )
            except UserError as error:
                raise UserError(
                    str(error).replace("signal.held_out", "--held-out").replace("signal.", "--")
                ) from None
            write_views(made, split, views)
        made.rename(options.out)
    say(
        f"{options.out}: {sum(counts.values())} views; "
        f"coordnet train experiment=lego_instant signal=blender signal.path={options.out}"
    )
