"""Options and errors of the commands that show a trained run."""

import argparse
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from coordnet.errors import Interrupted, OptionError

if TYPE_CHECKING:
    from coordnet.runs.load import LoadedRun


def parser_of_run(command: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that say which run, which checkpoint and which targets are loaded."""
    parser = argparse.ArgumentParser(prog=f"coordnet {command}", description=description)
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse options; from here on SIGTERM ends the command as Ctrl-C does, so that an unfinished file is removed."""
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _end)
    return options


def load_run(options: argparse.Namespace) -> "LoadedRun":
    """Load the run that a command was called with."""
    from coordnet.runs.load import load
    from coordnet.training.runtime import keep_memory

    keep_memory()
    return load(options.run, options.checkpoint, allow=options.allow)


@contextmanager
def named_as_flags() -> Iterator[None]:
    """Name the options in errors as the command line does: `num_frames` becomes --num-frames."""
    try:
        yield
    except OptionError as error:
        flag = "--" + error.option.replace("_", "-")
        raise OptionError(flag, error.value, error.allowed) from None


def numbers(count: int, kind: type) -> Callable[[str], tuple[float, ...]]:
    """A parser of `count` numbers separated by commas or x."""

    def parse_numbers(text: str) -> tuple[float, ...]:
        values = tuple(kind(part) for part in text.replace("x", ",").split(","))
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"{text} must be {count} numbers")
        return values

    return parse_numbers


def _end(number: int, frame: FrameType | None) -> None:
    raise Interrupted(f"ended by {signal.Signals(number).name}", 128 + number)
