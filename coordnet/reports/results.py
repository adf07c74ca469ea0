"""Results of the jobs of a sweep, read from their run directories, also from incomplete and damaged ones."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.config_file import read_config
from coordnet.runs.directory import STATUS, is_run, read_status
from coordnet.sweeps.sweep import read_sweep

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """The result of one job.

    Attributes:
        job: Number of the job.
        run: Name of the run directory in the sweep's directory.
        label: Label of the job's variant, or None.
        overrides: Swept keys and their values.
        config: Resolved config of the run.
        status: Status that `read_status` returns, but "incomplete" for a finished run whose metrics.csv ends early, and
            "damaged" for files that cannot be read.
        reason: Reason why the job has not finished; empty for a finished job.
        facts: Content of status.json.
        history: Rows of metrics.csv, up to the first damaged line.
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
        """True if the job has finished and its files are whole."""
        return self.status == "finished"

    @property
    def trained(self) -> bool:
        """True unless the job is an interpolation baseline, which has no parameters."""
        return not self.config["baseline"]

    @property
    def metrics(self) -> Metrics:
        """Metrics of the last evaluation; empty before the first evaluation."""
        return self.history[-1] if self.history else {}

    @property
    def steps(self) -> int:
        """Number of steps that the config asks for."""
        return int(self.config["max_steps"]) if self.trained else 0

    @property
    def steps_missing(self) -> int:
        """Number of steps from the last evaluation to the end."""
        return self.steps - int(self.metrics.get("step", 0))

    @property
    def parameters(self) -> int | None:
        """Number of trainable parameters, or None if status.json does not hold the number."""
        count = self.facts.get("parameters")
        return count if isinstance(count, int) else None

    @property
    def pair(self) -> tuple[str, Any]:
        """Signal and seed, which this job shares with the jobs of other variants that it is compared with."""
        return json.dumps(self.config["signal"], sort_keys=True), self.config["seed"]


@dataclass(frozen=True)
class Sweep:
    """A finished, failed or running sweep.

    Attributes:
        name: Name of the ablation.
        command: Command that started the sweep.
        reference: Label of the variant that others are compared with; None for the first variant.
        match: Quantity that is held equal between variants: "steps", "parameters" or "seconds".
        results: Result of each job.
    """

    name: str
    command: Sequence[str]
    reference: str | None
    match: str
    results: Sequence[Result]

    @property
    def finished(self) -> list[Result]:
        """Results of the finished jobs."""
        return [result for result in self.results if result.finished]

    @property
    def unfinished(self) -> list[Result]:
        """Results of all other jobs."""
        return [result for result in self.results if not result.finished]


def load_sweep(directory: Path) -> Sweep:
    """Read a sweep, or a single run as a sweep of one job.

    Raises:
        UserError: The directory is neither a sweep nor a run, or the job list or the single run's config is damaged.
    """
    if not directory.is_dir():
        raise UserError(f"{directory} does not exist")
    sweep = _single_job_sweep(directory.resolve()) if is_run(directory) else read_sweep(directory)
    place = directory.resolve().parent if is_run(directory) else directory
    try:
        results = [_job_result(place, job) for job in sweep["jobs"]]
        # Later code reads these keys of every config.
        used = [(str(r.config["name"]), r.pair, r.steps, r.trained) for r in results]
        return Sweep(
            name=used[0][0],
            command=[str(word) for word in sweep["command"]],
            reference=sweep.get("reference"),
            match=sweep.get("match", "steps"),
            results=results,
        )
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{directory} is damaged: its list of jobs or a config in it: {error!r}") from None


def _single_job_sweep(run: Path) -> dict[str, Any]:
    """Make the job list of a sweep that holds only this run."""

    config = read_config(run)
    job: dict[str, Any] = {
        "job": 0,
        "run": run.name,
        "label": config.get("label"),
        "overrides": [],
        "config": config,
    }
    return {"command": [], "jobs": [job]}


def _job_result(directory: Path, job: Mapping[str, Any]) -> Result:
    run = directory / job["run"]
    facts = _read_facts(run)
    history, damage = _read_history(run / metrics_file.NAME)
    found = Result(
        job=job["job"],
        run=job["run"],
        label=None if job["label"] is None else str(job["label"]),
        overrides=_swept(job["overrides"]),
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


def _swept(overrides: Sequence[str]) -> dict[str, str]:
    """Split overrides into keys, without a leading plus, and values."""
    parts = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value for key, _, value in parts}


def _read_facts(run: Path) -> Mapping[str, Any]:
    """Read status.json; the result has a status even if the file is missing or damaged."""
    try:
        return read_status(run)
    except (UserError, OSError) as error:
        if not (run / STATUS).exists() and not (run / metrics_file.NAME).exists():
            return {"status": "not started"}
        return {"status": "damaged", "reason": str(error).replace(f"{run}/", "")}


def _read_history(path: Path) -> tuple[list[dict[str, float]], str]:
    """Read the rows of metrics.csv up to the first damaged row, and describe the damage; "" if all rows are whole."""
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
