"""The error of each octave band and each sine over training, and the steps until each is learned."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coordnet.diagnostics.bands import LEARNED, steps_until_learned
from coordnet.reports.results import Result
from coordnet.reports.tables import NONE, Table
from coordnet.reports.variants import Variant

Values = NDArray[np.floating]

# Range of the errors in a heat map: black at and below the first, brightest at and above the second.
MIN_ERROR, MAX_ERROR = 1e-3, 10.0


class Kind(NamedTuple):
    """A kind of columns of metrics.csv, each with the relative error energy of one part of the spectrum.

    Attributes:
        prefix: Common start of the column names; the rest of a name is the frequency of the part.
        part: Word for one part.
        pattern: Regular expression for the rest of a column name.
    """

    prefix: str
    part: str
    pattern: str


KINDS = (Kind("band_error/", "band", r"[\d.]+-[\d.]+"), Kind("sine_error/k", "sine", r"[\d.]+"))


def error_columns(variants: Sequence[Variant], kind: Kind) -> list[str]:
    """List the columns that some finished trained job has, from low to high frequencies."""
    found = {key for variant in variants for result in trained_results(variant) for key in result.metrics}
    whole = re.compile(re.escape(kind.prefix) + kind.pattern)
    return sorted((key for key in found if whole.fullmatch(key)), key=lambda key: _edges(key, kind))


def _edges(column: str, kind: Kind) -> list[float]:
    """Return the lower and the upper edge of a band, or the frequency of a sine, in cycles across the domain."""
    return [float(edge) for edge in column.removeprefix(kind.prefix).split("-")]


def frequency_label(column: str, kind: Kind) -> str:
    """Format the frequencies of a column, such as 8–16."""
    return "–".join(f"{edge:g}" for edge in _edges(column, kind))


def trained_results(variant: Variant) -> list[Result]:
    """Return the finished jobs of a variant that train."""
    return [result for result in variant.finished if result.trained]


def _errors(result: Result, column: str) -> Values:
    """Return a column at each evaluation; NaN if the job has no such column."""
    return np.array([metrics.get(column, np.nan) for metrics in result.history])


def training_nyquist(variants: Sequence[Variant]) -> float | None:
    """Return the training Nyquist frequency in cycles across the domain, or None unless all trained jobs share one."""
    found = [
        result.facts.get("training_nyquist") for variant in variants for result in trained_results(variant)
    ]
    return found[0] if found and isinstance(found[0], float) and found.count(found[0]) == len(found) else None


def first_beyond(variants: Sequence[Variant], kind: Kind) -> int | None:
    """Return the index in `error_columns` of the first part at or above the training Nyquist frequency, or None."""
    nyquist = training_nyquist(variants)
    numbered = enumerate(error_columns(variants, kind))
    return next((i for i, name in numbered if nyquist is not None and _edges(name, kind)[0] >= nyquist), None)


def shared_steps(results: Sequence[Result]) -> list[float]:
    """Return the steps at which every job was evaluated."""
    return sorted(set.intersection(*({metrics["step"] for metrics in r.history} for r in results)))


def error_map(variant: Variant, names: Sequence[str]) -> tuple[Values, Values]:
    """Average log10 of the errors over the finished trained jobs of a variant.

    Errors below MIN_ERROR count as MIN_ERROR. A job without a column is left out of the mean of the column.

    Args:
        variant: Variant with at least one finished trained job.
        names: Columns of metrics.csv.

    Returns:
        The steps (s,) at which all these jobs were evaluated, and the mean logarithms (columns, s).
    """
    results = trained_results(variant)
    steps = shared_steps(results)
    logs = np.full((len(results), len(names), len(steps)), np.nan)
    for i, result in enumerate(results):
        kept = [metrics["step"] in steps for metrics in result.history]
        for j, name in enumerate(names):
            logs[i, j] = np.log10(np.maximum(_errors(result, name)[kept], MIN_ERROR))
    there = np.isfinite(logs)
    sums = np.where(there, logs, 0).sum(axis=0)
    return np.array(steps), np.where(there.any(axis=0), sums / np.maximum(there.sum(axis=0), 1), np.nan)


def learned_table(variants: Sequence[Variant], kind: Kind) -> Table:
    """Tabulate the median, over the jobs of each variant, of the steps until each part is learned for good."""
    names = error_columns(variants, kind)
    return [
        {"variant": variant.name} | {frequency_label(name, kind): _learned(variant, name) for name in names}
        for variant in variants
    ]


def _learned(variant: Variant, column: str) -> str:
    results = [result for result in trained_results(variant) if column in result.metrics]
    if not results:
        return NONE
    found = [steps_until_learned([m["step"] for m in r.history], _errors(r, column)) for r in results]
    median = float(np.median([np.inf if step is None else step for step in found]))
    return f"{median:,.0f}" if np.isfinite(median) else f"> {max(result.steps for result in results):,}"


def learned_rule(kind: Kind) -> str:
    """Explain the numbers of `learned_table`."""
    return (
        f"Steps until each {kind.part} is learned: the first evaluation from which on its error energy stays below "
        f"{LEARNED:g} of the target's energy. The table shows the median over the variant's jobs; > means that the "
        "last evaluation is not below."
    )
