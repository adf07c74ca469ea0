"""`coordnet make-scene SCENE DIR`."""

import argparse
import tempfile
from pathlib import Path


def main(argv: list[str]) -> None:
    options = _parser().parse_args(argv)
    from coordnet.console import say
    from coordnet.errors import OptionError, UserError, shown
    from coordnet.signals.scenes.scene_file import write_views
    from coordnet.signals.spec import SPLITS
    from coordnet.signals.synthetic.synthetic_scene import render_split

    if options.directory.exists():
        raise UserError(f"{options.directory} exists; make-scene writes into a new directory")
    parent = options.directory.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in vars(options).items() if name != "directory"}
    # The scene is written to a temporary directory and renamed, so that a failure leaves no partial scene.
    with tempfile.TemporaryDirectory(dir=parent, prefix=f".{options.directory.name}-") as unfinished:
        folder = Path(unfinished, "scene")
        folder.mkdir()
        for split in reversed(SPLITS):
            try:
                views = render_split(split=split, **given)
            except OptionError as error:
                option = "SCENE" if error.option == "scene" else "--" + error.option.replace("_", "-")
                raise UserError(f"{option}={shown(error.value)} {error.allowed}") from None
            write_views(folder, split, views)
        folder.rename(options.directory)
    say(
        f"{options.directory}: {options.num_views + 2 * options.num_eval_views} views; "
        f"coordnet train experiment=lego_instant signal=blender signal.path={options.directory}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coordnet make-scene",
        description="Write a synthetic scene in the format of NeRF's synthetic data: transforms_{train,val,test}.json "
        "and PNG files with opacity, in a cube with half a side of 1.5. signal=blender reads the directory.",
    )
    parser.add_argument("scene", metavar="SCENE", help="checker, rotated, shine, fence or text")
    parser.add_argument("directory", metavar="DIR", type=Path, help="a new directory")
    number = parser.add_argument
    number("--size", type=int, default=100, help="pixels per side of a picture (default %(default)s)")
    number("--num-views", type=int, default=80, help="number of training views (default %(default)s)")
    number(
        "--num-eval-views",
        type=int,
        default=10,
        help="number of validation views, and of test views (default %(default)s)",
    )
    number(
        "--frequency",
        type=float,
        default=8.0,
        help="frequency of the waves in cycles across the box (default %(default)s)",
    )
    number(
        "--radius",
        type=float,
        default=2.7,
        help="radius of the cameras' orbit in half sides of the box (default %(default)s)",
    )
    number(
        "--elevation",
        type=float,
        nargs=2,
        default=(5.0, 75.0),
        help="lowest and highest elevation of a camera in degrees (default 5 75)",
    )
    number("--supersample", type=int, default=4, help="rays per pixel along each axis (default %(default)s)")
    number(
        "--seed",
        type=int,
        default=0,
        help="seed of the camera positions and of the words of text (default %(default)s)",
    )
    return parser
