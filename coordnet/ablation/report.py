"""A sweep as one table, one CSV file and one sheet of pictures."""

import csv
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio

from coordnet import viz
from coordnet.ablation.sweep import read_sweep
from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import is_run, read_status, write_text

Result = dict[str, Any]
SHEET = "contact_sheet.png"
HEADINGS = {
    "parameters": "parameters",
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
    "seconds": "seconds",
}


def write_report(directory: Path) -> list[str]:
    """Write results.csv, report.md and contact_sheet.png into a sweep's directory; returns each job's status."""
    sweep = read_sweep(directory)
    results = [job_result(directory, job) for job in sweep["jobs"]]
    write_csv(directory / "results.csv", results)
    rows = table(results)
    sheet = write_sheet(directory, results)
    lines = [
        f"# {directory.resolve().parent.name}",
        "",
        f"    {shlex.join(sweep['command'])}",
        "",
        *markdown(rows),
        "",
    ]
    if sheet:
        lines += [f"![target, prediction and error of each row]({SHEET})", ""]
    write_text(directory / "report.md", "\n".join(lines))
    return [result["status"] for result in results]


def job_result(directory: Path, job: Mapping[str, Any]) -> Result:
    """One row of results.csv: the job, its status, what was swept, and the last metrics."""
    run = directory / job["run"]
    swept = dict(override.split("=", 1) for override in job["overrides"])
    result: Result = {"job": job["job"], "status": "not started", **swept, "run": job["run"]}
    if is_run(run):
        status = read_status(run)
        rows = metrics_file.read(run / metrics_file.NAME)
        result |= {"status": status["status"], "parameters": status.get("parameters")}
        result |= rows[-1] if rows else {}
    return result


def write_csv(path: Path, results: Sequence[Result]) -> None:
    columns = list(dict.fromkeys(name for result in results for name in result))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(results)


def table(results: Sequence[Result]) -> list[dict[str, str]]:
    """What a person reads: a name per row, the status where it is not finished, and the metrics.

    Known metrics come first; others have their own names for headings, except the loss of the last batch.
    """
    known = [name for name in HEADINGS if any(name in result for result in results)]
    metrics = dict.fromkeys(k for r in results for k, v in r.items() if "/" in k and isinstance(v, float))
    shown = [*known, *(key for key in metrics if key not in (*known, "train/loss"))]
    rows = []
    for result, name in zip(results, names(results), strict=True):
        row = {"row": name}
        if any(r["status"] != "finished" for r in results):
            row["status"] = result["status"]
        rows.append(row | {HEADINGS.get(key, key): spoken(key, result.get(key)) for key in shown})
    return rows


def names(results: Sequence[Result]) -> list[str]:
    """A name per job: its label if it has one, and what else differs between jobs."""
    fixed = ("job", "status", "run", "parameters", "step", "seconds")
    keys = [k for k in results[0] if k not in fixed and "/" not in k]
    labelled = any(r.get("label") for r in results)
    by_label: dict[str, set[str]] = {}
    for key in keys:
        groups: dict[Any, set[Any]] = {}
        for result in results:
            groups.setdefault(result.get("label"), set()).add(result.get(key))
        by_label[key] = {str(label) for label, values in groups.items() if len(values) > 1}
    found = []
    for result in results:
        label = str(result.get("label"))
        parts = [f"{k}={result[k]}" for k in keys if k != "label" and label in by_label[k] and k in result]
        found.append(" ".join(([label] if labelled else []) + parts) or f"job {result['job']}")
    return found


def spoken(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "parameters":
        return f"{value:,}"
    digits = {"seconds": 1, "psnr": 2, "psnr_all": 2, "ssim": 3}.get(key.rpartition("/")[2])
    return f"{value:.4g}" if digits is None else f"{value:.{digits}f}"


def markdown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    heads = list(rows[0])
    widths = [max(len(head), *(len(row[head]) for row in rows)) for head in heads]
    lines = [" | ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True))]
    lines.append("-|-".join("-" * width for width in widths))
    for row in rows:
        cells = [row[heads[0]].ljust(widths[0])]
        cells += [row[head].rjust(width) for head, width in zip(heads[1:], widths[1:], strict=True)]
        lines.append(" | ".join(cells))
    return [f"| {line} |" if "-|-" not in line else f"|-{line}-|" for line in lines]


def write_sheet(directory: Path, results: Sequence[Result]) -> bool:
    """One picture of all jobs' last pictures, with their names; False where there are none."""
    pictures = {}
    for result, name in zip(results, names(results), strict=True):
        files = sorted((directory / result["run"] / "images").glob("target-prediction*.png"))
        if files:
            score = result.get("test/psnr", result.get("train/psnr"))
            caption = name if score is None else f"{name}: {score:.2f} dB"
            pictures[caption] = imageio.imread(files[-1])
    if not pictures:
        return False
    imageio.imwrite(directory / SHEET, viz.sheet(pictures))
    return True


def where_to_look(directory: Path) -> list[str]:
    sheet = [f"pictures:     {directory / SHEET}"] if (directory / SHEET).exists() else []
    return [*sheet, f"TensorBoard:  coordnet board {shlex.quote(str(directory))}"]


def load(directory: Path) -> list[Result]:
    """Results of a sweep, or of a single run."""
    if is_run(directory):
        return [job_result(directory.parent, {"job": 0, "run": directory.name, "overrides": []})]
    if not directory.is_dir():
        raise UserError(f"{directory} does not exist")
    return [job_result(directory, job) for job in read_sweep(directory)["jobs"]]
