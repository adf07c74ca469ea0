"""Jobs that differ by seed and signal only are replicates of one row; rows are what an ablation compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coordnet.reports.results import Metrics, Result, Sweep
from coordnet.reports.statistics import Difference, at_seconds, paired_difference
from coordnet.runs import metrics_file
from coordnet.sweeps.sweep import TOLERANCE


@dataclass(frozen=True)
class Row:
    """Replicates.

    Attributes:
        name: Its label, and what else was swept within it.
        results: All of its jobs.
        readings: What its finished jobs scored, in their order: at the last step or, where fairness is by seconds, at
            the seconds that all of them reached.
    """

    name: str
    results: Sequence[Result]
    readings: Sequence[Metrics]

    @property
    def finished(self) -> list[Result]:
        return [result for result in self.results if result.finished]

    @property
    def trained(self) -> bool:
        return any(result.trained for result in self.results)

    def values(self, metric: str) -> list[float]:
        """Of the replicates that have it."""
        return [reading[metric] for reading in self.readings if metric in reading]

    def minus(self, other: "Row", metric: str) -> Difference:
        """Over jobs of equal seed and signal, save for what of the signal a row sets itself."""
        swept = sorted(self.swept | other.swept)
        mine, others = (
            {
                tuple(result.overrides.get(key) for key in swept): reading[metric]
                for result, reading in zip(row.finished, row.readings, strict=True)
                if metric in reading
            }
            for row in (self, other)
        )
        return paired_difference(mine, others)

    @property
    def swept(self) -> set[str]:
        """The keys of seed and signal by which its jobs differ."""
        keys = {key for result in self.results for key in result.overrides if is_replicate(key)}
        return {key for key in keys if len({result.overrides.get(key) for result in self.results}) > 1}


def make_rows(sweep: Sweep) -> list[Row]:
    """In the order of the jobs."""
    seconds = equal_seconds(sweep)
    groups: dict[str, list[Result]] = {}
    for result, name in zip(sweep.results, row_names(sweep), strict=True):
        groups.setdefault(name, []).append(result)
    return [
        Row(name, group, [read(r, seconds) for r in group if r.finished]) for name, group in groups.items()
    ]


def read(result: Result, seconds: float | None) -> Metrics:
    return result.metrics if seconds is None or not result.trained else at_seconds(result.history, seconds)


def equal_seconds(sweep: Sweep) -> float | None:
    """Where fairness is by seconds: how long the quickest of the jobs that are trained and finished trained."""
    if sweep.fairness != "seconds":
        return None
    return min((result.metrics["seconds"] for result in sweep.finished if result.trained), default=None)


def reference_row(sweep: Sweep, rows: Sequence[Row]) -> Row:
    """The one that the sweep names, if it was run; else the first."""
    named = (row for row in rows if sweep.reference is not None and row.results[0].label == sweep.reference)
    return next(named, rows[0])


def comparisons(sweep: Sweep, rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each other row against the reference row, then against the row above it where that is another one."""
    reference = reference_row(sweep, rows)
    pairs = []
    for above, row in zip([rows[-1], *rows], rows, strict=False):
        if row is not reference:
            pairs.append((row, reference))
            if above is not reference and row is not rows[0]:
                pairs.append((row, above))
    return pairs


def row_names(sweep: Sweep) -> list[str]:
    """A name per job: its label if it has one, and what else differs within that label but seed and signal."""
    # Equal parameters may need another width for another signal.
    chosen = ("network.width",) if sweep.fairness == "parameters" else ()
    keys = {key for result in sweep.results for key in result.overrides}
    swept = [key for key in keys if len({r.overrides.get(key) for r in sweep.results}) > 1]
    if all(map(is_replicate, swept)) and not any(result.label for result in sweep.results):
        # Nothing but signals and seeds differs: then it is signals that are compared.
        return names(sweep, lambda key: key != "seed")
    return names(sweep, lambda key: not is_replicate(key) and key not in chosen)


def job_names(sweep: Sweep) -> list[str]:
    """A name per job: its label if it has one, and all that differs within that label."""
    return names(sweep, lambda key: True)


def names(sweep: Sweep, tells: Callable[[str], bool]) -> list[str]:
    """By the keys that `tells` accepts; the name of the sweep where nothing differs."""
    keys = {key for result in sweep.results for key in result.overrides}
    varied: dict[tuple[str | None, str], set[str | None]] = {}
    for result in sweep.results:
        for key in keys:
            varied.setdefault((result.label, key), set()).add(result.overrides.get(key))
    found = []
    for result in sweep.results:
        parts = [
            f"{key}={value}"
            for key, value in result.overrides.items()
            if len(varied[result.label, key]) > 1 and tells(key)
        ]
        found.append(" ".join([*filter(None, [result.label]), *parts]) or sweep.name)
    return found


def is_replicate(key: str) -> bool:
    return key == "seed" or key.partition(".")[0].partition("@")[0] == "signal"


def scores(rows: Sequence[Row]) -> list[str]:
    """The names of the metrics that tables show: not the loss of the last batch, not what has one per frequency."""
    found = dict.fromkeys(
        key for row in rows for result in row.results for key in result.metrics if is_score(key)
    )
    return list(found)


def is_score(key: str) -> bool:
    return "/" in key and key != "train/loss" and not metrics_file.is_detail(key)


def main_score(rows: Sequence[Row]) -> str | None:
    """The one that curves show: of the test if there is one."""
    found = scores(rows)
    return next(
        (key for kind in ("test/", "val/", "train/", "") for key in found if key.startswith(kind)), None
    )


def fairness(sweep: Sweep, rows: Sequence[Row]) -> str:
    """The rule by which rows are compared, in words, and whether they keep it."""
    if sweep.fairness == "seconds":
        return seconds_rule(equal_seconds(sweep))
    if sweep.fairness == "parameters":
        return parameters_rule(reference_row(sweep, rows), rows)
    steps = sorted({result.steps for row in rows for result in row.results if result.trained})
    if len(steps) < 2:
        return (
            f"Equal steps: every trained method takes {steps[0]:,} steps." if steps else "Nothing is trained."
        )
    return f"Not of equal steps: jobs take {' or '.join(f'{n:,}' for n in steps)} steps."


def seconds_rule(seconds: float | None) -> str:
    if seconds is None:
        return "Equal seconds of training: no trained job is finished, so there is nothing to read yet."
    return (
        f"Equal seconds: every trained method is read off its curve at {seconds:.4g} s of training, where the quickest "
        "of the finished jobs ended, by linear interpolation between its evaluations. The table of all jobs and "
        "results.csv hold each job's last step."
    )


def parameters_rule(reference: Row, rows: Sequence[Row]) -> str:
    """Where a row is split by what was swept within it, its first job stands for it."""
    counts = {row.name: row.results[0].parameters for row in rows if row.trained}
    wanted = counts.get(reference.name)
    if not wanted:
        return f"Equal parameters: those of {reference.name} are not known."
    off = [
        f"{name} has {count:,} ({count / wanted - 1:+.0%})"
        for name, count in counts.items()
        if count is not None and abs(count / wanted - 1) > TOLERANCE
    ]
    return (
        f"Equal parameters: every trained method has the {wanted:,} of {reference.name}, within {TOLERANCE:.0%}"
        + (f", except that {', '.join(off)}." if off else ".")
    )
