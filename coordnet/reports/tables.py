"""What a person reads of a sweep: tables of text, and how they look in Markdown."""

import math
from collections import Counter
from collections.abc import Sequence

from coordnet.reports.results import Result, Sweep
from coordnet.reports.statistics import Difference, mean_and_std
from coordnet.reports.variants import Row, comparisons, job_names, scores

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
    "between/nmse": "NMSE between",
    "beyond/nmse": "NMSE beyond",
}
DIGITS = {"seconds": 1, "psnr": 2, "psnr_all": 2, "ssim": 3}
NONE = "–"
# Columns of words; all others hold numbers.
WORDS = ("row", "minus", "run", "job", "jobs", "status", "reason", "what", "value")
NOT_PROVENANCE = ("status", "reason", "traceback", "parameters")


def shown(rows: Sequence[Row]) -> list[str]:
    """The scores, those with a heading of their own first."""
    found = scores(rows)
    return [*(key for key in HEADINGS if key in found), *(key for key in found if key not in HEADINGS)]


def heading(metric: str) -> str:
    return HEADINGS.get(metric, metric)


def row_table(sweep: Sweep, rows: Sequence[Row]) -> Table:
    """Per row: how many jobs, what became of them where not all have finished, and means with standard deviations."""
    table = []
    metrics = shown(rows)
    for row in rows:
        entry = {"row": row.name, "n": str(len(row.finished))}
        if sweep.unfinished:
            entry["jobs"] = statuses(row.results)
        entry["parameters"] = parameters(row)
        entry |= {heading(metric): mean(row, metric) for metric in metrics}
        if sweep.fairness == "seconds":
            entry["steps"] = mean(row, "step")
        table.append(entry | {"seconds": mean(row, "seconds")})
    return table


def statuses(results: Sequence[Result]) -> str:
    counts = Counter(result.status for result in results)
    return ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))


def parameters(row: Row) -> str:
    counts = [result.parameters for result in row.results if result.parameters is not None]
    return " to ".join(f"{n:,}" for n in sorted({min(counts), max(counts)})) if counts else NONE


def mean(row: Row, metric: str) -> str:
    """Mean and standard deviation, and of how many replicates where some lack the metric."""
    n, value, std = mean_and_std(row.values(metric))
    if n == 0:
        return NONE
    text = number(metric, value) + ("" if n == 1 else f" ± {number(metric, std, significant=2)}")
    return text if n == len(row.readings) else f"{text} (n = {n})"


def number(metric: str, value: float, significant: int = 4) -> str:
    """With the digits that are usual for a metric, or so many significant ones."""
    if metric == "step":
        return f"{value:.0f}"
    digits = DIGITS.get(metric.rpartition("/")[2])
    return f"{value:.{significant}g}" if digits is None else f"{value:.{digits}f}"


def difference_table(sweep: Sweep, rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """Mean paired differences with their intervals; a star where the interval excludes zero."""
    table = []
    for row, other in comparisons(sweep, rows):
        found = {metric: row.minus(other, metric) for metric in metrics}
        pairs = max((difference.pairs for difference in found.values()), default=0)
        entry = {"row": row.name, "minus": other.name, "pairs": str(pairs)}
        table.append(entry | {heading(m): difference(m, d) for m, d in found.items()})
    return table


def difference(metric: str, found: Difference) -> str:
    if found.pairs == 0:
        return NONE
    signed = [signed_number(metric, value) for value in (found.mean, found.low, found.high)]
    if math.isnan(found.half_width):
        return signed[0]
    return f"{signed[0]} [{signed[1]}, {signed[2]}]" + (" *" if found.excludes_zero else "")


def signed_number(metric: str, value: float) -> str:
    text = number(metric, value)
    return text if text.startswith("-") or math.isnan(value) else f"+{text}"


def job_table(sweep: Sweep, rows: Sequence[Row]) -> Table:
    """Every job with the metrics of its last evaluation."""
    metrics = [*shown(rows), "seconds"]
    return [
        identity
        | {"parameters": NONE if result.parameters is None else f"{result.parameters:,}"}
        | {heading(metric): last(result, metric) for metric in metrics}
        for result, identity in zip(sweep.results, identities(sweep), strict=True)
    ]


def fault_table(sweep: Sweep) -> Table:
    """Every job that is not finished, with the reason."""
    jobs = zip(sweep.results, identities(sweep), strict=True)
    return [identity | {"reason": fault(result)} for result, identity in jobs if not result.finished]


def identities(sweep: Sweep) -> Table:
    """How every job is called, and how far it came."""
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


def last(result: Result, metric: str) -> str:
    return number(metric, result.metrics[metric]) if metric in result.metrics else NONE


def fault(result: Result) -> str:
    """Why a job is not finished, and how much of it is missing."""
    if result.finished:
        return ""
    missing = (
        f"{result.steps_missing:,} of {result.steps:,} steps are missing" if result.steps_missing else ""
    )
    return "; ".join(filter(None, [result.reason, missing]))


def provenance_table(sweep: Sweep) -> Table:
    """What the results depend on besides their configs, as the jobs recorded it; with counts where they differ."""
    facts = [result.facts for result in sweep.results]
    seconds = [result.metrics["seconds"] for result in sweep.results if result.metrics]
    table = [
        {"what": name, "value": tally([str(f[name]) for f in facts if name in f])}
        for name in dict.fromkeys(name for f in facts for name in f if name not in NOT_PROVENANCE)
    ]
    if seconds:
        spent = f"{sum(seconds):.1f} in all, {min(seconds):.1f} to {max(seconds):.1f} per job; evaluations not counted"
        table.append({"what": "seconds of training", "value": spent})
    return table


def tally(values: Sequence[str]) -> str:
    counts = Counter(values)
    return ", ".join(value if len(counts) == 1 else f"{value} ({n} jobs)" for value, n in counts.items())


def markdown(table: Table) -> list[str]:
    """Lines with cells of equal width, words to the left and numbers to the right."""
    lines = [list(table[0]), *([cell.replace("|", "\\|") for cell in line.values()] for line in table)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = [str.ljust if head in WORDS else str.rjust for head in lines[0]]
    lines.insert(1, ["-" * width for width in widths])
    return [
        f"| {' | '.join(put(cell, width) for put, cell, width in zip(align, line, widths, strict=True))} |"
        for line in lines
    ]
