"""What is printed for whoever still reads."""

import os
import sys


def say(text: str) -> None:
    """Print a line; a run goes on where nobody reads it any more (`coordnet train ... | head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
