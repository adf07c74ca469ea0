"""`coordnet render RUN`."""

import argparse
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from coordnet.errors import Interrupted


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
        description="Evaluate a trained image at any size and crop, in chunks, to PNG.",
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=numbers(2, int), metavar="WxH", help="pixels of the result")
    size.add_argument("--scale", type=float, default=1.0, help="pixels per pixel of the original (default 1)")
    parser.add_argument(
        "--crop", type=numbers(4, float), metavar="L,T,R,B", help="part to show, in pixels of the original"
    )
    parser.add_argument("--output", type=Path, help="default: images/render-WxH.png in the run; a new file")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end)
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
