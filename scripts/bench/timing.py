"""Times side by side: cases take turns in one process, so that each sees the same machine, and ratios are of turns."""

import time
from collections.abc import Callable, Mapping
from statistics import median

from rich.progress import track

from coordnet.reports.tables import markdown

Times = dict[str, list[float]]


def milliseconds(step: Callable[[], object], repeats: int = 1) -> float:
    """Measure the mean milliseconds of a call over `repeats`, after a first call that does not count."""
    step()
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - started) * 1000 / repeats


def in_turns(cases: Mapping[str, Callable[[], object]], rounds: int, title: str, repeats: int = 1) -> Times:
    """Milliseconds of each case in each round."""
    found: Times = {name: [] for name in cases}
    for _ in track(range(rounds), title, transient=True):
        for name, step in cases.items():
            found[name].append(milliseconds(step, repeats))
    return found


def ratios(above: list[float], below: list[float]) -> list[float]:
    """Return the ratios of `above` to `below`, round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: list[float]) -> str:
    """The median, the lowest and the highest."""
    middle = median(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    low, high = min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def show(rows: list[dict[str, str]]) -> None:
    print("\n".join(markdown(rows)), flush=True)
