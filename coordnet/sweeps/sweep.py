"""The job list of a sweep: made once, never changed; what became of each job is read from its run directory."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import product as all_pairs
from pathlib import Path
from typing import Any

from coordnet.config.build import did_you_mean, matches
from coordnet.errors import UserError
from coordnet.runs.directory import write_text

SWEEP = "sweep.json"
FORMAT = 2
# Keys of the config that a sweep reads and its runs do not.
SETTINGS = ("jobs", "job_timeout", "fairness")
RULES = ("steps", "parameters", "seconds")
# How far parameters that are equal may be apart.
TOLERANCE = 0.02

Job = list[str]


def check_settings(jobs: Any, job_timeout: Any, fairness: Any) -> None:
    """Check the values of the keys in SETTINGS.

    Raises:
        UserError: The message names the key.
    """
    if not matches(jobs, int) or jobs < 1:
        raise UserError(f"jobs={jobs!r} must be a whole number of at least 1")
    if job_timeout is not None and (not matches(job_timeout, float | int) or not job_timeout > 0):
        raise UserError(f"job_timeout={job_timeout!r} must be a number of seconds above 0, or null")
    if fairness not in RULES:
        raise UserError(f"fairness={fairness!r} must be one of {', '.join(RULES)}")


def narrow(rows: Mapping[str, Sequence[str]], product: Sequence[Job]) -> list[Job]:
    """Combine rows with the product of the other overrides.

    What the command line sets wins. Where it sets a key without a dot to a value that some row has, as in
    `label=gaussian` or `encoding=gaussian`, it selects: only the rows with that value are run.

    Args:
        rows: Label to overrides "key=value".
        product: Lists of overrides "key=value", without commas.

    Raises:
        UserError: A label that no row has.
    """
    for label in rows:
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", label):
            raise UserError(
                f"row {label!r} of this ablation must be named by letters, digits and . _ + - only"
            )
    labeled = [[f"label={label}", *row] for label, row in rows.items()]
    everything = {override for row in labeled for override in row}
    jobs = []
    for others, row in all_pairs(product, labeled):
        chosen = dict(override.split("=", 1) for override in others)
        if "label" in chosen and chosen["label"] not in rows:
            raise UserError(
                f"label={chosen['label']} is no row of this ablation{did_you_mean(chosen['label'], rows)}"
            )
        selecting = {
            key for key, value in chosen.items() if "." not in key and f"{key}={value}" in everything
        }
        own = dict(override.split("=", 1) for override in row)
        if all(own.get(key) == chosen[key] for key in selecting):
            kept = [f"{key}={value}" for key, value in own.items() if key not in chosen]
            jobs.append([*kept, *others])
    if not jobs:
        raise UserError("the command line selects no row of this ablation")
    return sorted(jobs, key=lambda job: list(rows).index(dict(o.split("=", 1) for o in job)["label"]))


def run_names(jobs: Sequence[Job]) -> list[str]:
    """A directory name per job: its number, and its label or else the values that differ between jobs."""
    names = []
    for i, job in enumerate(jobs):
        chosen = dict(override.split("=", 1) for override in job)
        varied = [o.split("=", 1)[1] for o in job if any(o not in other for other in jobs)]
        text = re.sub(r"[^A-Za-z0-9_.+-]+", "-", chosen.get("label") or " ".join(varied))
        names.append(f"{i}-{text}"[:80].strip("-"))
    return names


def create_sweep(
    directory: Path,
    jobs: Sequence[Job],
    configs: Sequence[Mapping[str, Any]],
    reference: str | None = None,
    fairness: str = "steps",
) -> None:
    """Make a sweep's directory and its job list.

    Args:
        directory: New, or empty.
        jobs: The overrides of each job.
        configs: The plain config of each job.
        reference: Label of the row that the others are compared with.
        fairness: What the rows have in common: "steps", "parameters" or "seconds".

    Raises:
        UserError: The directory holds something already.
    """
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"hydra.sweep.dir={directory} is not empty; choose a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "command": ["coordnet", "train", *sys.argv[1:]],
        "reference": reference,
        "fairness": fairness,
        "jobs": [
            {"job": i, "run": run, "label": config["label"], "overrides": job, "config": config}
            for i, (run, job, config) in enumerate(zip(run_names(jobs), jobs, configs, strict=True))
        ],
    }
    write_text(directory / SWEEP, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_sweep(directory: Path) -> Mapping[str, Any]:
    path = directory / SWEEP
    if not path.is_file():
        raise UserError(f"{directory} is no sweep: it has no {SWEEP}")
    try:
        sweep = json.loads(path.read_text())
        form, jobs = sweep["format"], sweep["jobs"]
        whole = jobs and all(isinstance(job["config"], dict) and is_inside(job["run"]) for job in jobs)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: it holds no list of jobs") from None
    if form != FORMAT:
        raise UserError(f"{path} has format {form!r}; this version reads {FORMAT}")
    if not whole:
        raise UserError(f"{path} is damaged: it holds no list of jobs")
    return dict(sweep)


def is_inside(run: str) -> bool:
    """Whether a run's name is that of a folder right inside the sweep's."""
    return Path(run).name == run and run not in ("", "..")
