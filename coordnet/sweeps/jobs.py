"""The jobs of a sweep, each in a process of its own, some of them side by side.

What became of a job is read from its run directory alone. So a sweep that was killed goes on where it stood, and two
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
from coordnet.sweeps.worker import work
from coordnet.training.parent_watchdog import GRACE

POLL = 0.2
GOES_ON = ("not started", "killed", "interrupted")

Job = Mapping[str, Any]


def warm_up() -> Any:
    """Start the fork server, which loads torch and lightning while the caller goes on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["coordnet.sweeps.preload"])
    forkserver.ensure_running()
    return context


@dataclass
class Running:
    """A job in its process.

    Attributes:
        ends_at: When it is asked to stop for good reason of its own (`job_timeout`).
        killed_at: When it is killed, because it was asked to stop and did not.
    """

    job: Job
    process: ForkServerProcess
    started: float
    ends_at: float
    killed_at: float = float("inf")
    timed_out: bool = False

    def stop(self) -> None:
        self.process.terminate()
        self.killed_at = min(self.killed_at, time.monotonic() + GRACE)


def status_of(run: Path) -> str:
    """The status of a job's run; "damaged" where status.json cannot be read."""
    try:
        return str(read_status(run)["status"]) if is_run(run) else "not started"
    except UserError:
        return "damaged"


def run_jobs(
    directory: Path, side_by_side: int = 1, allow: Sequence[str] = (), timeout: float | None = None
) -> None:
    """Run what is left of a sweep.

    Jobs that have finished or diverged are left as they are, and started ones go on where their last checkpoint
    stands. One that failed or ran out of time before is tried again; one that another driver holds is waited for.

    Args:
        directory: Of the sweep.
        side_by_side: How many jobs run at once.
        allow: Packages that targets may lie in besides those of the shipped configs.
        timeout: Seconds after which a job is asked to stop, and killed 30 seconds later.

    Raises:
        Interrupted: A signal came; the running jobs have saved.
    """
    sweep = read_sweep(directory)
    context = warm_up()
    runs = {job["run"]: directory / job["run"] for job in sweep["jobs"]}
    before = {name: mark(run) for name, run in runs.items()}
    waiting = [job for job in sweep["jobs"] if status_of(runs[job["run"]]) not in ENDED]
    running: list[Running] = []
    with Display(directory, len(runs), len(runs) - len(waiting)) as display, noted_signals() as received:
        while waiting or running:
            for job in list(waiting):
                run = runs[job["run"]]
                if received or len(running) >= side_by_side:
                    break
                if is_locked(run):
                    continue
                waiting.remove(job)
                if status_of(run) in GOES_ON or mark(run) == before[job["run"]]:
                    process = context.Process(target=work, args=(run, job["config"], list(allow)))
                    process.start()
                    now = time.monotonic()
                    running.append(Running(job, process, now, now + (timeout or float("inf"))))
                else:
                    display.ended(job, "elsewhere", 0)
            if received and not running:
                break
            wait(running, display)
            for one in list(running):
                watch(one, stopping=bool(received))
                if one.process.exitcode is not None:
                    running.remove(one)
                    run = runs[one.job["run"]]
                    one.process.join()
                    if is_locked(run):
                        waiting.append(one.job)
                        continue
                    settle(one, run, timeout)
                    display.ended(one.job, status_of(run), time.monotonic() - one.started)
    if received:
        name = signal.Signals(received[0]).name
        raise Interrupted(f"{name}: the sweep goes on with coordnet resume {directory}", 128 + received[0])


def mark(run: Path) -> float:
    """Changes whenever status.json does."""
    path = run / STATUS
    return path.stat().st_mtime if path.exists() else 0.0


def wait(running: Sequence[Running], display: "Display") -> None:
    if running:
        multiprocessing.connection.wait([one.process.sentinel for one in running], timeout=POLL)
    else:
        time.sleep(POLL)
    display.refresh([one.job for one in running])


def watch(one: Running, stopping: bool) -> None:
    """Ask a job to stop that is out of time, or when the sweep stops; kill it where it does not."""
    now = time.monotonic()
    asked = one.killed_at < float("inf")
    if now > one.ends_at and not one.timed_out:
        one.timed_out = True
        one.stop()
    elif stopping and not asked:
        one.stop()
    if now > one.killed_at:
        one.process.kill()


def settle(one: Running, run: Path, timeout: float | None) -> None:
    """Write down what a job that ended from outside could not write itself."""
    status = status_of(run)
    code = one.process.exitcode
    if one.timed_out and status not in ENDED:
        found, reason = "timeout", f"it ran longer than job_timeout={timeout:g} seconds"
    elif status == "not started":
        found, reason = "killed" if code and code < 0 else "failed", f"it exited with code {code}"
    else:
        return
    try:
        with lock_run_dir(run):
            known = read_status(run) if is_run(run) else {}
            write_status(run, **{**known, "status": found, "reason": reason})
    except UserError as error:
        # Another driver has taken it up, or its files are damaged.
        print(f"{one.job['run']}: {error}", file=sys.stderr)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM as a growing list; a second one ends this process, and with it the jobs, at once."""
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


class Display:
    """A line per job that has ended, and on a terminal a bar for the sweep and for each running job."""

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

    def __enter__(self) -> "Display":
        if self.done:
            print(f"{self.done} of {self.total} jobs had ended before")
        self.progress.start()
        self.all = self.progress.add_task("sweep", total=self.total, completed=self.done, unit="jobs")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def refresh(self, running: Sequence[Job]) -> None:
        if not self.console.is_terminal:
            return
        for name in set(self.bars) - {job["run"] for job in running}:
            self.progress.remove_task(self.bars.pop(name))
        for job in running:
            if job["run"] not in self.bars:
                steps = job["config"]["max_steps"]
                self.bars[job["run"]] = self.progress.add_task(job["run"], total=steps, unit="steps")
            row = self.last_row(job)
            self.progress.update(self.bars[job["run"]], completed=row.get("step", 0))

    def last_row(self, job: Job) -> dict[str, float]:
        try:
            rows = metrics_file.read(self.directory / job["run"] / metrics_file.NAME)
        except UserError:
            return {}
        return rows[-1] if rows else {}

    def ended(self, job: Job, status: str, seconds: float) -> None:
        self.done += 1
        self.progress.update(self.all, completed=self.done)
        row = self.last_row(job)
        kept = [
            key for key in row if key.partition("/")[0] in ("val", "test", "train") and key != "train/loss"
        ]
        metrics = "  ".join(f"{key} {row[key]:.4g}" for key in kept)
        print(f"[{self.done}/{self.total}] {job['run']}: {status} in {seconds:.0f} s  {metrics}", flush=True)
        if status == "damaged":
            print(
                f"  to run it anew, delete {self.directory / job['run']} and resume the sweep",
                file=sys.stderr,
            )
