"""What metrics.csv says per octave band and per sine: when each row has learned which of them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coordnet.diagnostics.bands import LEARNED, steps_until_learned
from coordnet.reports.results import Result
from coordnet.reports.tables import NONE, Table
from coordnet.reports.variants import Row

Values = NDArray[np.floating]

# Of the errors that are drawn: what is below is black, what is above is bright.
FLOOR, TOP = 1e-3, 10.0


class Kind(NamedTuple):
    """Columns of metrics.csv that hold the error of one part of the spectrum each, over the target's energy there.

    Attributes:
        prefix: What they begin with; the rest is the part.
        part: What one of them is called.
        pattern: Of the rest.
    """

    prefix: str
    part: str
    pattern: str


KINDS = (Kind("band_error/", "band", r"[\d.]+-[\d.]+"), Kind("sine_error/k", "sine", r"[\d.]+"))


def columns(rows: Sequence[Row], kind: Kind) -> list[str]:
    """Those that some finished trained job has, from low frequencies to high ones."""
    found = {key for row in rows for result in learners(row) for key in result.metrics}
    whole = re.compile(re.escape(kind.prefix) + kind.pattern)
    return sorted((key for key in found if whole.fullmatch(key)), key=lambda key: edges(key, kind))


def edges(column: str, kind: Kind) -> list[float]:
    """In cycles across the domain: the lower and the upper edge of a band, or the frequency of a sine."""
    return [float(edge) for edge in column.removeprefix(kind.prefix).split("-")]


def label(column: str, kind: Kind) -> str:
    return "–".join(f"{edge:g}" for edge in edges(column, kind))


def learners(row: Row) -> list[Result]:
    return [result for result in row.finished if result.trained]


def errors(result: Result, column: str) -> Values:
    """At each evaluation; NaN where the job has no such column."""
    return np.array([metrics.get(column, np.nan) for metrics in result.history])


def training_nyquist(rows: Sequence[Row]) -> float | None:
    """That of all finished trained jobs, in cycles across the domain; None where they differ or one does not say."""
    found = [result.facts.get("training_nyquist") for row in rows for result in learners(row)]
    return found[0] if found and isinstance(found[0], float) and found.count(found[0]) == len(found) else None


def first_beyond(rows: Sequence[Row], kind: Kind) -> int | None:
    """The place in `columns` of the first part at or above the training Nyquist frequency; None if there is none."""
    nyquist = training_nyquist(rows)
    places = enumerate(columns(rows, kind))
    return next((i for i, name in places if nyquist is not None and edges(name, kind)[0] >= nyquist), None)


def shared_steps(results: Sequence[Result]) -> list[float]:
    """Those that every job has evaluated."""
    return sorted(set.intersection(*({metrics["step"] for metrics in r.history} for r in results)))


def error_map(row: Row, names: Sequence[str]) -> tuple[Values, Values]:
    """The steps (s,) that all finished jobs of a row have evaluated, and log10 of the error, (columns, s).

    It is the mean over the jobs that have the column; errors below FLOOR count as that.
    """
    results = learners(row)
    steps = shared_steps(results)
    logs = np.full((len(results), len(names), len(steps)), np.nan)
    for i, result in enumerate(results):
        kept = [metrics["step"] in steps for metrics in result.history]
        for j, name in enumerate(names):
            logs[i, j] = np.log10(np.maximum(errors(result, name)[kept], FLOOR))
    there = np.isfinite(logs)
    sums = np.where(there, logs, 0).sum(axis=0)
    return np.array(steps), np.where(there.any(axis=0), sums / np.maximum(there.sum(axis=0), 1), np.nan)


def learned_table(rows: Sequence[Row], kind: Kind) -> Table:
    """Per row and part of the spectrum: the median, over the row's jobs, of the steps until it is learned for good."""
    names = columns(rows, kind)
    return [{"row": row.name} | {label(name, kind): learned(row, name) for name in names} for row in rows]


def learned(row: Row, column: str) -> str:
    results = [result for result in learners(row) if column in result.metrics]
    if not results:
        return NONE
    found = [steps_until_learned([m["step"] for m in r.history], errors(r, column)) for r in results]
    median = float(np.median([np.inf if step is None else step for step in found]))
    return f"{median:,.0f}" if np.isfinite(median) else f"> {max(result.steps for result in results):,}"


def learned_rule(kind: Kind) -> str:
    return (
        f"Steps until each {kind.part} is learned: the first evaluation from which on its error energy stays below "
        f"{LEARNED:g} of the target's there. The median over the row's jobs; > where the last evaluation is not below."
    )
