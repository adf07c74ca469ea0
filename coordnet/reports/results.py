"""What became of each job of a sweep, read from its run directory; whatever state that is in."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import STATUS, is_run, read_status
from coordnet.sweeps.sweep import read_sweep

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """One job.

    Attributes:
        job: Its number.
        run: The name of its directory in the sweep's.
        label: Of its row, or None.
        overrides: What was swept, key to value.
        config: As resolved before the run.
        status: As `read_status` has it, but "incomplete" for a finished run whose metrics.csv ends early, and "damaged"
            where files cannot be read.
        reason: Why it is not finished; empty if it is.
        facts: What status.json holds.
        history: The rows of metrics.csv, up to the first damaged line.
    """

    job: int
    run: str
    label: str | None
    overrides: Mapping[str, str]
    config: Mapping[str, Any]
    status: str
    reason: str
    facts: Mapping[str, Any]
    history: Sequence[Metrics]

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def trained(self) -> bool:
        """False for an interpolation baseline, which has nothing to train."""
        return not self.config["baseline"]

    @property
    def metrics(self) -> Metrics:
        """Those of the last step; none before the first evaluation."""
        return self.history[-1] if self.history else {}

    @property
    def steps(self) -> int:
        """How many the job was to take."""
        return int(self.config["max_steps"]) if self.trained else 0

    @property
    def steps_missing(self) -> int:
        """From the last evaluation to the end."""
        return self.steps - int(self.metrics.get("step", 0))

    @property
    def parameters(self) -> int | None:
        count = self.facts.get("parameters")
        return count if isinstance(count, int) else None

    @property
    def pair(self) -> tuple[str, Any]:
        """What it shares with the jobs of other rows that it may be compared with: the signal and the seed."""
        return json.dumps(self.config["signal"], sort_keys=True), self.config["seed"]


@dataclass(frozen=True)
class Sweep:
    """A finished, failed or running sweep.

    Attributes:
        name: Of the ablation.
        command: That started it.
        reference: The label of the row that others are compared with; None for the first row.
        fairness: steps, parameters or seconds.
        results: One per job.
    """

    name: str
    command: Sequence[str]
    reference: str | None
    fairness: str
    results: Sequence[Result]

    @property
    def finished(self) -> list[Result]:
        return [result for result in self.results if result.finished]

    @property
    def unfinished(self) -> list[Result]:
        return [result for result in self.results if not result.finished]


def load(directory: Path) -> Sweep:
    """A sweep, or a single run as a sweep of one job.

    Raises:
        UserError: The directory is neither, or its job list or the single run's config is damaged.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} does not exist")
    sweep = alone(directory.resolve()) if is_run(directory) else read_sweep(directory)
    place = directory.resolve().parent if is_run(directory) else directory
    try:
        results = [job_result(place, job) for job in sweep["jobs"]]
        # What is read of every config later on.
        used = [(str(r.config["name"]), r.pair, r.steps, r.trained) for r in results]
        return Sweep(
            name=used[0][0],
            command=[str(word) for word in sweep["command"]],
            reference=sweep.get("reference"),
            fairness=sweep.get("fairness", "steps"),
            results=results,
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{directory} is damaged: its list of jobs or a config in it: {error!r}") from None


def alone(run: Path) -> dict[str, Any]:
    """The job list that a single run would be."""
    from coordnet.runs.config_file import read_config

    config = read_config(run)
    job: dict[str, Any] = {
        "job": 0,
        "run": run.name,
        "label": config.get("label"),
        "overrides": [],
        "config": config,
    }
    return {"command": [], "jobs": [job]}


def job_result(directory: Path, job: Mapping[str, Any]) -> Result:
    run = directory / job["run"]
    facts = read_facts(run)
    history, damage = read_history(run / metrics_file.NAME)
    found = Result(
        job=job["job"],
        run=job["run"],
        label=None if job["label"] is None else str(job["label"]),
        overrides=swept(job["overrides"]),
        config=job["config"],
        status=str(facts["status"]),
        reason=" ".join(str(facts.get("reason") or "").split()),
        facts=facts,
        history=history,
    )
    if damage:
        status = "damaged" if found.finished else found.status
        reason = found.reason if damage in found.reason else f"{found.reason}; {damage}".lstrip("; ")
        return replace(found, status=status, reason=reason)
    if found.finished and not history:
        return replace(found, status="incomplete", reason=f"{metrics_file.NAME} holds no evaluation")
    if found.finished and found.steps_missing > 0:
        return replace(found, status="incomplete", reason=f"{metrics_file.NAME} ends early")
    return found


def swept(overrides: Sequence[str]) -> dict[str, str]:
    parts = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value for key, _, value in parts}


def read_facts(run: Path) -> Mapping[str, Any]:
    """What status.json holds, and a status whatever state that file is in."""
    try:
        return read_status(run)
    except (UserError, OSError) as error:
        if not (run / STATUS).exists() and not (run / metrics_file.NAME).exists():
            return {"status": "not started"}
        return {"status": "damaged", "reason": str(error).replace(f"{run}/", "")}


def read_history(path: Path) -> tuple[list[dict[str, float]], str]:
    """Rows of metrics.csv up to the first damaged one, and what is wrong with that; "" if nothing is."""
    try:
        rows, damage = metrics_file.read_valid_rows(path)
    except OSError as error:
        return [], f"{path.name} cannot be read: {error.strerror}"
    if rows and not {"step", "seconds"} <= set(rows[0]):
        return [], f"{path.name} is damaged: it has no columns step and seconds"
    step, seconds = -1.0, 0.0
    for i, row in enumerate(rows):
        if not step < row["step"] < math.inf or not seconds <= row["seconds"] < math.inf:
            return rows[:i], f"{path.name} is damaged: line {i + 2} goes back in time"
        step, seconds = row["step"], row["seconds"]
    return rows, damage and f"{path.name} is damaged: {damage}"
