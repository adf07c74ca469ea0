"""Console output that survives a closed pipe."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def say(text: str) -> None:
    """Print a line; a closed pipe (`coordnet train ... | head`) does not end the run."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def bar(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items, with a progress bar on a terminal where there are at least four items."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    silent = len(items) < 4 or not console.is_terminal
    yield from track(items, what, console=console, transient=True, disable=silent)
