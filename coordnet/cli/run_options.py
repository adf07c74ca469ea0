"""What the commands that show a trained run share."""

import argparse
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from coordnet.errors import Interrupted


def parser_of_run(command: str, description: str) -> argparse.ArgumentParser:
    """With the run, the checkpoint to take and the targets to trust."""
    parser = argparse.ArgumentParser(prog=f"coordnet {command}", description=description)
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The options; from here on SIGTERM ends the command as Ctrl-C does, so that the unfinished file is removed."""
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end)
    return options


def end(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}", 128 + number)


def numbers(count: int, kind: type) -> Callable[[str], tuple[float, ...]]:
    """A parser of `count` numbers separated by commas or x."""

    def parse_numbers(text: str) -> tuple[float, ...]:
        values = tuple(kind(part) for part in text.replace("x", ",").split(","))
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"{text} must be {count} numbers")
        return values

    return parse_numbers
