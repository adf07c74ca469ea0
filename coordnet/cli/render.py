"""`coordnet render RUN`."""

import argparse
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from coordnet.errors import Interrupted, UserError


def numbers(count: int, kind: type) -> Callable[[str], tuple[float, ...]]:
    """A parser of `count` numbers separated by commas or x."""

    def parse(text: str) -> tuple[float, ...]:
        values = tuple(kind(part) for part in text.replace("x", ",").split(","))
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"{text} must be {count} numbers")
        return values

    return parse


def end(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, so that the unfinished picture is removed."""
    raise Interrupted(f"ended by {signal.Signals(number).name}", 128 + number)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet render",
        description="Evaluate a trained image at any size and crop, or a view of a trained scene at any scale, in "
        "chunks, to PNG.",
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=numbers(2, int), metavar="WxH", help="pixels of the result")
    size.add_argument("--scale", type=float, default=1.0, help="pixels per pixel of the original (default 1)")
    parser.add_argument(
        "--crop", type=numbers(4, float), metavar="L,T,R,B", help="part to show, in pixels of the original"
    )
    parser.add_argument("--frame", type=int, metavar="N", help="of a scene: view number N, from 0")
    parser.add_argument(
        "--split",
        choices=("val", "test", "train"),
        help="of a scene: the views that N counts (default: the first of these that there are)",
    )
    parser.add_argument(
        "--depth", action="store_true", help="of a scene: write the depth too, beside it as ...-depth.png"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="default: images/render-WxH.png or images/view-SPLIT-N-WxH.png in the run; a new file",
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    options = parser.parse_args(argv)
    is_view = options.frame is not None
    for name in ("size", "crop") if is_view else ("split", "depth"):
        if getattr(options, name):
            raise UserError(f"--{name} goes {'without' if is_view else 'with'} --frame")
    signal.signal(signal.SIGTERM, end)
    if is_view:
        from coordnet.runs.view import render_view

        paths = render_view(
            options.run,
            options.frame,
            options.split,
            options.scale,
            options.output,
            options.depth,
            options.checkpoint,
            options.allow,
        )
        print(*paths, sep="\n")
        return
    from coordnet.runs.render import render

    path = render(
        options.run,
        options.scale,
        options.size,
        options.crop,
        options.output,
        options.checkpoint,
        options.allow,
    )
    print(path)
