"""A sweep's job list: written once to sweep.json and never changed.

The state of each job is read from the job's own run directory.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import product as cartesian_product
from pathlib import Path
from typing import Any

from coordnet.config.build import did_you_mean
from coordnet.errors import UserError
from coordnet.runs.directory import write_text

SWEEP = "sweep.json"
FORMAT = 3
# Largest relative difference between two parameter counts that count as equal.
TOLERANCE = 0.02

Job = list[str]


def select_variants(variants: Mapping[str, Sequence[str]], product: Sequence[Job]) -> list[Job]:
    """Combine variants with the product of the other overrides.

    An override of the command line replaces the variant's own. An override of a key without a dot, such as
    `label=gaussian` or `encoding=gaussian`, selects: if some variant has that value, only the variants with that value
    are run.

    Args:
        variants: Label to overrides "key=value".
        product: Lists of overrides "key=value", without commas.

    Raises:
        UserError: A label is not a plain name or belongs to no variant, or no variant is selected.
    """
    for label in variants:
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", label):
            raise UserError(
                f"hydra.sweeper.variants: the name {label!r} must consist of letters, digits and . _ + - only"
            )
    labeled = [[f"label={label}", *own] for label, own in variants.items()]
    everything = {override for variant in labeled for override in variant}
    jobs = []
    for others, variant in cartesian_product(product, labeled):
        chosen = dict(override.split("=", 1) for override in others)
        if "label" in chosen and chosen["label"] not in variants:
            raise UserError(
                f"label={chosen['label']} is not a variant of this ablation"
                f"{did_you_mean(chosen['label'], variants)}"
            )
        selecting = {
            key for key, value in chosen.items() if "." not in key and f"{key}={value}" in everything
        }
        own = dict(override.split("=", 1) for override in variant)
        if all(own.get(key) == chosen[key] for key in selecting):
            kept = [f"{key}={value}" for key, value in own.items() if key not in chosen]
            jobs.append([*kept, *others])
    if not jobs:
        raise UserError("the command line selects no variant of this ablation")
    return sorted(jobs, key=lambda job: list(variants).index(dict(o.split("=", 1) for o in job)["label"]))


def run_names(jobs: Sequence[Job]) -> list[str]:
    """Make a directory name per job: the job's number, and the label or else the values that differ between jobs."""
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
    match: str = "steps",
) -> None:
    """Make a sweep's directory and write its job list.

    Args:
        directory: New or empty directory.
        jobs: Overrides of each job.
        configs: Plain config of each job.
        reference: Label of the variant that the others are compared with.
        match: Quantity that is held equal between variants: "steps", "parameters" or "seconds".

    Raises:
        UserError: The directory is not empty.
    """
    if directory.exists() and any(directory.iterdir()):
        raise UserError(f"hydra.sweep.dir={directory} is not empty; choose a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "format": FORMAT,
        "command": ["coordnet", "train", *sys.argv[1:]],
        "reference": reference,
        "match": match,
        "jobs": [
            {"job": i, "run": run, "label": config["label"], "overrides": job, "config": config}
            for i, (run, job, config) in enumerate(zip(run_names(jobs), jobs, configs, strict=True))
        ],
    }
    write_text(directory / SWEEP, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_sweep(directory: Path) -> Mapping[str, Any]:
    """Read a sweep's job list.

    Raises:
        UserError: The directory has no sweep.json, or the file is damaged or of another format.
    """
    path = directory / SWEEP
    if not path.is_file():
        raise UserError(f"{directory} is not a sweep: it has no {SWEEP}")
    damaged = UserError(f"{path} is damaged: the file holds no list of jobs")
    try:
        sweep = json.loads(path.read_text())
        form, jobs = sweep["format"], sweep["jobs"]
    except (ValueError, KeyError, TypeError):
        raise damaged from None
    if form != FORMAT:
        raise UserError(f"{path} has format {form!r}; this version reads format {FORMAT}")
    try:
        whole = jobs and all(isinstance(job["config"], dict) and _is_name(job["run"]) for job in jobs)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise damaged
    return dict(sweep)


def _is_name(run: str) -> bool:
    """Return True if a run's name is a folder directly inside the sweep's directory."""
    return Path(run).name == run and run not in ("", "..")
