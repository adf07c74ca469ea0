"""The tables of a sweep as text, and their form in Markdown."""

import math
from collections import Counter
from collections.abc import Sequence

from coordnet.reports.results import Result, Sweep
from coordnet.reports.statistics import Difference, mean_and_std
from coordnet.reports.variants import Variant, comparisons, job_names, score_names

Table = list[dict[str, str]]

HEADINGS = {
    "train/psnr": "train PSNR",
    "val/psnr": "val PSNR",
    "test/psnr": "test PSNR",
    "test/psnr_all": "PSNR on all",
    "test/ssim": "test SSIM",
    "fbp/psnr": "FBP PSNR",
    "train/nmse": "train NMSE",
    "test/nmse": "test NMSE",
    "interpolation/nmse": "NMSE interpolation",
    "extrapolation/nmse": "NMSE extrapolation",
}
DIGITS = {"seconds": 1, "psnr": 2, "psnr_all": 2, "ssim": 3}
NONE = "–"
# Columns of words; all other columns hold numbers.
WORDS = ("variant", "minus", "run", "job", "jobs", "status", "reason", "fact", "value")
NOT_PROVENANCE = ("status", "reason", "traceback", "parameters")


def score_columns(variants: Sequence[Variant]) -> list[str]:
    """List the scores in the order of the columns: those of HEADINGS first."""
    found = score_names(variants)
    return [*(key for key in HEADINGS if key in found), *(key for key in found if key not in HEADINGS)]


def heading(metric: str) -> str:
    """Return the column heading of a metric."""
    return HEADINGS.get(metric, metric)


def variant_table(sweep: Sweep, variants: Sequence[Variant]) -> Table:
    """Tabulate each variant: number of jobs, statuses if a job is unfinished, means and standard deviations."""
    table = []
    metrics = score_columns(variants)
    for variant in variants:
        entry = {"variant": variant.name, "n": str(len(variant.finished))}
        if sweep.unfinished:
            entry["jobs"] = count_statuses(variant.results)
        entry["parameters"] = _parameters(variant)
        entry |= {heading(metric): _format_mean(variant, metric) for metric in metrics}
        if sweep.match == "seconds":
            entry["steps"] = _format_mean(variant, "step")
        table.append(entry | {"seconds": _format_mean(variant, "seconds")})
    return table


def count_statuses(results: Sequence[Result]) -> str:
    """Count the jobs of each status, such as "1 failed, 3 finished"."""
    counts = Counter(result.status for result in results)
    return ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))


def _parameters(variant: Variant) -> str:
    counts = [result.parameters for result in variant.results if result.parameters is not None]
    return " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)})) if counts else NONE


def _format_mean(variant: Variant, metric: str) -> str:
    """Format mean and standard deviation, and the number of replicates if some lack the metric."""
    n, value, std = mean_and_std(variant.values(metric))
    if n == 0:
        return NONE
    text = format_metric(metric, value) + (
        "" if n == 1 else f" ± {format_metric(metric, std, significant=2)}"
    )
    return text if n == len(variant.scores) else f"{text} (n = {n})"


def format_metric(metric: str, value: float, significant: int = 4) -> str:
    """Format a value with the decimals of DIGITS, or with `significant` digits for all other metrics."""
    if metric == "step":
        return f"{value:.0f}"
    digits = DIGITS.get(metric.rpartition("/")[2])
    return f"{value:.{significant}g}" if digits is None else f"{value:.{digits}f}"


def difference_table(sweep: Sweep, variants: Sequence[Variant], metrics: Sequence[str]) -> Table:
    """Tabulate mean paired differences with their intervals; a star marks an interval that excludes zero."""
    table = []
    for variant, other in comparisons(sweep, variants):
        found = {metric: variant.paired_difference_to(other, metric) for metric in metrics}
        pairs = max((difference.pairs for difference in found.values()), default=0)
        entry = {"variant": variant.name, "minus": other.name, "pairs": str(pairs)}
        table.append(entry | {heading(m): _format_difference(m, d) for m, d in found.items()})
    return table


def _format_difference(metric: str, found: Difference) -> str:
    if found.pairs == 0:
        return NONE
    signed = [_signed(metric, value) for value in (found.mean, found.low, found.high)]
    if math.isnan(found.half_width):
        return signed[0]
    return f"{signed[0]} [{signed[1]}, {signed[2]}]" + (" *" if found.excludes_zero else "")


def _signed(metric: str, value: float) -> str:
    text = format_metric(metric, value)
    return text if text.startswith("-") or math.isnan(value) else f"+{text}"


def job_table(sweep: Sweep, variants: Sequence[Variant]) -> Table:
    """Tabulate every job with the metrics of its last evaluation."""
    metrics = [*score_columns(variants), "seconds"]
    return [
        identity
        | {"parameters": NONE if result.parameters is None else f"{result.parameters:,}"}
        | {heading(metric): _last(result, metric) for metric in metrics}
        for result, identity in zip(sweep.results, _identities(sweep), strict=True)
    ]


def fault_table(sweep: Sweep) -> Table:
    """Tabulate every unfinished job with the reason."""
    jobs = zip(sweep.results, _identities(sweep), strict=True)
    return [identity | {"reason": fault(result)} for result, identity in jobs if not result.finished]


def _identities(sweep: Sweep) -> Table:
    """Tabulate the name, the status and the number of steps of every job."""
    return [
        {
            "run": result.run,
            "job": name,
            "status": result.status,
            "steps": f"{result.steps - result.steps_missing:,} of {result.steps:,}"
            if result.trained
            else NONE,
        }
        for result, name in zip(sweep.results, job_names(sweep), strict=True)
    ]


def _last(result: Result, metric: str) -> str:
    return format_metric(metric, result.metrics[metric]) if metric in result.metrics else NONE


def fault(result: Result) -> str:
    """Describe why a job has not finished, and the number of missing steps; empty for a finished job."""
    if result.finished:
        return ""
    missing = (
        f"{result.steps_missing:,} of {result.steps:,} steps are missing" if result.steps_missing else ""
    )
    return "; ".join(filter(None, [result.reason, missing]))


def provenance_table(sweep: Sweep) -> Table:
    """Tabulate what the jobs recorded about code and machine; values that differ come with the number of jobs."""
    facts = [result.facts for result in sweep.results]
    seconds = [result.metrics["seconds"] for result in sweep.results if result.metrics]
    table = [
        {"fact": name, "value": _tally([str(f[name]) for f in facts if name in f])}
        for name in dict.fromkeys(name for f in facts for name in f if name not in NOT_PROVENANCE)
    ]
    if seconds:
        spent = f"{sum(seconds):.1f} in total, {min(seconds):.1f} to {max(seconds):.1f} per job, without evaluations"
        table.append({"fact": "seconds of training", "value": spent})
    return table


def _tally(values: Sequence[str]) -> str:
    counts = Counter(values)
    return ", ".join(value if len(counts) == 1 else f"{value} ({n} jobs)" for value, n in counts.items())


def markdown(table: Table) -> list[str]:
    """Format a table as lines of Markdown: cells of equal width, words to the left and numbers to the right."""
    lines = [list(table[0]), *([cell.replace("|", "\\|") for cell in line.values()] for line in table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = [str.ljust if head in WORDS else str.rjust for head in lines[0]]
    lines.insert(1, ["-" * width for width in widths])
    return [
        f"| {' | '.join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True))} |"
        for line in lines
    ]
