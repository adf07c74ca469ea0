"""What is printed for whoever still reads."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def say(text: str) -> None:
    """Print a line; a run goes on where nobody reads it any more (`coordnet train ... | head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def bar(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, if they are more than a few behind a bar on a terminal; it is gone at the end."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    silent = len(items) < 4 or not console.is_terminal
    yield from track(items, what, console=console, transient=True, disable=silent)
