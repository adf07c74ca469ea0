"""Run the jobs of a sweep, each in a process of its own, several at once.

The driver reads the state of a job from the job's run directory alone. So a killed sweep can be resumed, and two
drivers on one sweep share its jobs.
"""

import multiprocessing
import multiprocessing.connection
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from coordnet.errors import Interrupted, UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import ENDED, STATUS, is_locked, is_run, lock_run_dir, read_status, write_status
from coordnet.sweeps.sweep import read_sweep
from coordnet.sweeps.worker import run_job_process
from coordnet.training.parent_watchdog import GRACE

# Seconds between two checks of the running jobs.
POLL = 0.2
# Statuses of jobs that are continued.
RESUMABLE = ("not started", "killed", "interrupted")

Job = Mapping[str, Any]


def warm_up() -> Any:
    """Start the fork server, which loads torch and lightning in the background; returns the multiprocessing context."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["coordnet.sweeps.preload"])
    forkserver.ensure_running()
    return context


@dataclass
class RunningJob:
    """A job and its process. Times are in seconds of `time.monotonic`.

    Attributes:
        job: Entry of the job list.
        process: Process of the job.
        started: Time of the start.
        ends_at: Time from which on `job_timeout` stops the job.
        killed_at: Time from which on the process is killed; infinite until the process is asked to stop.
        timed_out: True once the process was asked to stop because of `job_timeout`.
    """

    job: Job
    process: ForkServerProcess
    started: float
    ends_at: float
    killed_at: float = float("inf")
    timed_out: bool = False

    def stop(self) -> None:
        """Ask the process to save and exit, and schedule the kill."""
        self.process.terminate()
        self.killed_at = min(self.killed_at, time.monotonic() + GRACE)


def status_of(run: Path) -> str:
    """Return the status of a job's run: "damaged" if status.json cannot be read."""
    try:
        return str(read_status(run)["status"]) if is_run(run) else "not started"
    except UserError:
        return "damaged"


def run_jobs(
    directory: Path, num_parallel: int = 1, allow: Sequence[str] = (), timeout: float | None = None
) -> None:
    """Run all jobs of a sweep that have not ended.

    Finished and diverged jobs are skipped, and started jobs continue from their last checkpoint. Failed and timed-out
    jobs are tried again. The driver waits for a job that another driver has locked.

    Args:
        directory: Directory of the sweep.
        num_parallel: Number of jobs that run at once.
        allow: Packages that `_target_` may name besides the shipped targets.
        timeout: Seconds after which a job is asked to stop; the process is killed 30 seconds later.

    Raises:
        Interrupted: A signal was received; the running jobs have saved.
    """
    sweep = read_sweep(directory)
    context = warm_up()
    runs = {job["run"]: directory / job["run"] for job in sweep["jobs"]}
    before = {name: status_mtime(run) for name, run in runs.items()}
    waiting = [job for job in sweep["jobs"] if status_of(runs[job["run"]]) not in ENDED]
    running: list[RunningJob] = []
    with (
        SweepProgress(directory, len(runs), len(runs) - len(waiting)) as display,
        collected_signals() as received,
    ):
        while waiting or running:
            for job in list(waiting):
                run = runs[job["run"]]
                if received or len(running) >= num_parallel:
                    break
                if is_locked(run):
                    continue
                waiting.remove(job)
                if status_of(run) in RESUMABLE or status_mtime(run) == before[job["run"]]:
                    process = context.Process(target=run_job_process, args=(run, job["config"], list(allow)))
                    process.start()
                    now = time.monotonic()
                    running.append(RunningJob(job, process, now, now + (timeout or float("inf"))))
                else:
                    display.job_ended(job, "elsewhere", 0)
            if received and not running:
                break
            _wait(running, display)
            for one in list(running):
                enforce_timeout(one, stopping=bool(received))
                if one.process.exitcode is not None:
                    running.remove(one)
                    run = runs[one.job["run"]]
                    one.process.join()
                    if is_locked(run):
                        waiting.append(one.job)
                        continue
                    record_exit(one, run, timeout)
                    display.job_ended(one.job, status_of(run), time.monotonic() - one.started)
    if received:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"{name}: continue the sweep with coordnet resume {directory}", 128 + received[0])


def status_mtime(run: Path) -> float:
    """Return the modification time of status.json, or 0 if the file does not exist."""
    path = run / STATUS
    return path.stat().st_mtime if path.exists() else 0.0


def _wait(running: Sequence[RunningJob], display: "SweepProgress") -> None:
    if running:
        multiprocessing.connection.wait([one.process.sentinel for one in running], timeout=POLL)
    else:
        time.sleep(POLL)
    display.refresh([one.job for one in running])


def enforce_timeout(one: RunningJob, stopping: bool) -> None:
    """Ask a job to stop when its time is over or the sweep stops; kill the process if it has not exited in time."""
    now = time.monotonic()
    asked = one.killed_at < float("inf")
    if now > one.ends_at and not one.timed_out:
        one.timed_out = True
        one.stop()
    elif stopping and not asked:
        one.stop()
    if now > one.killed_at:
        one.process.kill()


def record_exit(one: RunningJob, run: Path, timeout: float | None) -> None:
    """Write the status of a job that could not write its own, because it was killed or never started."""
    status = status_of(run)
    code = one.process.exitcode
    if one.timed_out and status not in ENDED:
        found, reason = "timeout", f"the job ran longer than job_timeout={timeout:g} seconds"
    elif status == "not started":
        found, reason = "killed" if code and code < 0 else "failed", f"the job exited with code {code}"
    else:
        return
    try:
        with lock_run_dir(run):
            known = read_status(run) if is_run(run) else {}
            write_status(run, **{**known, "status": found, "reason": reason})
    except UserError as error:
        # Another driver has taken the job, or the files of the run are damaged.
        print(f"{one.job['run']}: {error}", file=sys.stderr)


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a growing list; a second signal ends this process, and with it the jobs."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class SweepProgress:
    """Prints a line per ended job and, on a terminal, shows a bar for the sweep and for each running job."""

    def __init__(self, directory: Path, total: int, done: int) -> None:
        self.directory = directory
        self.total = total
        self.done = done
        self.console = Console(file=sys.stderr)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
        )
        self.progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> "SweepProgress":
        if self.done:
            print(f"{self.done} of {self.total} jobs had ended before")
        self.progress.start()
        self.all = self.progress.add_task("sweep", total=self.total, completed=self.done, unit="jobs")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def refresh(self, running: Sequence[Job]) -> None:
        """Update the bars of the running jobs."""
        if not self.console.is_terminal:
            return
        for name in set(self.bars) - {job["run"] for job in running}:
            self.progress.remove_task(self.bars.pop(name))
        for job in running:
            if job["run"] not in self.bars:
                steps = job["config"]["max_steps"]
                self.bars[job["run"]] = self.progress.add_task(job["run"], total=steps, unit="steps")
            row = self._last_row(job)
            self.progress.update(self.bars[job["run"]], completed=row.get("step", 0))

    def _last_row(self, job: Job) -> dict[str, float]:
        try:
            rows = metrics_file.read(self.directory / job["run"] / metrics_file.NAME)
        except UserError:
            return {}
        return rows[-1] if rows else {}

    def job_ended(self, job: Job, status: str, seconds: float) -> None:
        """Print the status and the main metrics of an ended job."""
        self.done += 1
        self.progress.update(self.all, completed=self.done)
        row = self._last_row(job)
        metrics = "  ".join(
            f"{key} {row[key]:.4g}" for key in row if metrics_file.is_main(key) and key != "train/loss"
        )
        print(f"[{self.done}/{self.total}] {job['run']}: {status} in {seconds:.0f} s  {metrics}", flush=True)
        if status == "damaged":
            print(
                f"  to run it anew, delete {self.directory / job['run']} and resume the sweep",
                file=sys.stderr,
            )
