"""The variants that an ablation compares. Jobs that differ by seed and signal only are replicates of one variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coordnet.reports.results import Metrics, Result, Sweep
from coordnet.reports.statistics import Difference, at_seconds, paired_difference
from coordnet.runs import metrics_file
from coordnet.sweeps.sweep import TOLERANCE


@dataclass(frozen=True)
class Variant:
    """A method of an ablation and its replicates.

    Attributes:
        name: Label, and the values that were swept within the label.
        results: All jobs of the variant.
        scores: Metrics of each finished job, in the order of `finished`: at the last step or, with match=seconds, at
            the seconds that all jobs reached.
    """

    name: str
    results: Sequence[Result]
    scores: Sequence[Metrics]

    @property
    def finished(self) -> list[Result]:
        """Finished jobs."""
        return [result for result in self.results if result.finished]

    @property
    def trained(self) -> bool:
        """True if some job trains; interpolation baselines do not."""
        return any(result.trained for result in self.results)

    def values(self, metric: str) -> list[float]:
        """Return a metric of each finished job that has the metric."""
        return [score[metric] for score in self.scores if metric in score]

    def paired_difference_to(self, other: "Variant", metric: str) -> Difference:
        """Compare two variants over jobs of equal seed and signal.

        Signal options that a variant itself sets do not count: jobs that differ by them are still a pair.
        """
        swept = sorted(self._swept | other._swept)
        mine, others = (
            {
                tuple(result.overrides.get(key) for key in swept): score[metric]
                for result, score in zip(variant.finished, variant.scores, strict=True)
                if metric in score
            }
            for variant in (self, other)
        )
        return paired_difference(mine, others)

    @property
    def _swept(self) -> set[str]:
        """Keys of seed and signal by which the jobs differ."""
        keys = {key for result in self.results for key in result.overrides if is_replicate(key)}
        return {key for key in keys if len({result.overrides.get(key) for result in self.results}) > 1}


def make_variants(sweep: Sweep) -> list[Variant]:
    """Group the jobs of a sweep into variants, in the order of the jobs."""
    seconds = equal_seconds(sweep)
    groups: dict[str, list[Result]] = {}
    for result, name in zip(sweep.results, _variant_names(sweep), strict=True):
        groups.setdefault(name, []).append(result)
    return [
        Variant(name, group, [_score(result, seconds) for result in group if result.finished])
        for name, group in groups.items()
    ]


def _score(result: Result, seconds: float | None) -> Metrics:
    return result.metrics if seconds is None or not result.trained else at_seconds(result.history, seconds)


def equal_seconds(sweep: Sweep) -> float | None:
    """Return the training seconds at which all jobs are compared.

    Returns:
        The time of the fastest finished trained job; None unless match=seconds and there is such a job.
    """
    if sweep.match != "seconds":
        return None
    return min((result.metrics["seconds"] for result in sweep.finished if result.trained), default=None)


def reference_variant(sweep: Sweep, variants: Sequence[Variant]) -> Variant:
    """Return the variant that the sweep names as the reference if it was run, else the first variant."""
    label = sweep.reference
    named = (variant for variant in variants if label is not None and variant.results[0].label == label)
    return next(named, variants[0])


def comparisons(sweep: Sweep, variants: Sequence[Variant]) -> list[tuple[Variant, Variant]]:
    """List the pairs to compare: each variant with the reference, and with the variant above unless they are equal."""
    reference = reference_variant(sweep, variants)
    pairs = []
    for above, variant in zip([variants[-1], *variants], variants, strict=False):
        if variant is not reference:
            pairs.append((variant, reference))
            if above is not reference and variant is not variants[0]:
                pairs.append((variant, above))
    return pairs


def _variant_names(sweep: Sweep) -> list[str]:
    """Name the variant of each job: the label, and all that differs within the label except seed and signal."""
    # Equal parameters may need another width for another signal.
    chosen = ("network.width",) if sweep.match == "parameters" else ()
    keys = {key for result in sweep.results for key in result.overrides}
    swept = [key for key in keys if len({r.overrides.get(key) for r in sweep.results}) > 1]
    if all(map(is_replicate, swept)) and not any(result.label for result in sweep.results):
        # If only signals and seeds differ, the signals are compared.
        return _names(sweep, lambda key: key != "seed")
    return _names(sweep, lambda key: not is_replicate(key) and key not in chosen)


def job_names(sweep: Sweep) -> list[str]:
    """Name each job: the label, and all that differs within the label."""
    return _names(sweep, lambda key: True)


def _names(sweep: Sweep, is_shown: Callable[[str], bool]) -> list[str]:
    """Name each job by its label and the keys that `is_shown` accepts; by the sweep's name if no key differs."""
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
            if len(varied[result.label, key]) > 1 and is_shown(key)
        ]
        found.append(" ".join([*filter(None, [result.label]), *parts]) or sweep.name)
    return found


def is_replicate(key: str) -> bool:
    """Return True for the keys by which replicates of one variant differ: the seed and the signal's options."""
    return key == "seed" or key.partition(".")[0].partition("@")[0] == "signal"


def score_names(variants: Sequence[Variant]) -> list[str]:
    """List the metrics of tables: neither the loss of the last batch nor metrics with one entry per frequency."""
    found = dict.fromkeys(
        key
        for variant in variants
        for result in variant.results
        for key in result.metrics
        if "/" in key and key != "train/loss" and not metrics_file.is_detail(key)
    )
    return list(found)


def main_score(variants: Sequence[Variant]) -> str | None:
    """Return the metric that curves show: the first of the test split, else of val, else of train, else any."""
    found = score_names(variants)
    return next(
        (key for kind in ("test/", "val/", "train/", "") for key in found if key.startswith(kind)), None
    )


def matching_rule(sweep: Sweep, variants: Sequence[Variant]) -> str:
    """Describe the quantity that is equal between variants, and the variants that deviate."""
    if sweep.match == "seconds":
        return _seconds_rule(equal_seconds(sweep))
    if sweep.match == "parameters":
        return _parameters_rule(reference_variant(sweep, variants), variants)
    steps = sorted({result.steps for variant in variants for result in variant.results if result.trained})
    if len(steps) < 2:
        return (
            f"Equal steps: every trained variant takes {steps[0]:,} steps."
            if steps
            else "No variant is trained."
        )
    return f"The steps are not equal: jobs take {' or '.join(f'{n:,}' for n in steps)} steps."


def _seconds_rule(seconds: float | None) -> str:
    if seconds is None:
        return "Equal seconds of training: no trained job has finished, so no scores can be compared yet."
    return (
        f"Equal seconds: the scores of every trained variant are those at {seconds:.4g} s of training, when the "
        "fastest finished job ended, by linear interpolation between evaluations. The table of all jobs and "
        "results.csv hold each job's last step."
    )


def _parameters_rule(reference: Variant, variants: Sequence[Variant]) -> str:
    """Compare the parameters of the first job of each variant."""
    counts = {variant.name: variant.results[0].parameters for variant in variants if variant.trained}
    wanted = counts.get(reference.name)
    if not wanted:
        return f"Equal parameters: the parameter count of {reference.name} is not known."
    off = [
        f"{name} has {count:,} ({count / wanted - 1:+.0%})"
        for name, count in counts.items()
        if count is not None and abs(count / wanted - 1) > TOLERANCE
    ]
    return (
        f"Equal parameters: every trained variant has the {wanted:,} parameters of {reference.name} within "
        f"{TOLERANCE:.0%}" + (f", except that {', '.join(off)}." if off else ".")
    )
