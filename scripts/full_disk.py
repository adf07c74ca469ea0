"""Train onto disks that become full or cannot be written: one clear line, and the last good checkpoint stays.

    python scripts/full_disk.py

Mounts small tmpfs file systems, for which it needs root; elsewhere it says so and does nothing. Some are too small for
a checkpoint of the run, others are filled while it trains, others are read-only. Each time the command must end with
exit code 4 and one line that names a path on that disk, and leave no temporary file; the checkpoint it had must load;
and with room again `coordnet resume` must finish the run as if nothing had happened. Prints a table and exits 1 if
anything else happened. Takes about four minutes.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from coordnet.errors import STORAGE, UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.directory import read_status

COORDNET = (sys.executable, "-m", "coordnet.cli.main")
# Checkpoints of about 3 MB: weights and Adam's two averages.
RUN = (
    *("signal.resize=[96,64]", "encoding.num_frequencies=64", "network.depth=4", "network.width=256"),
    *("trainer.batch_size=64", "trainer.precision=float32", "max_steps=200", "eval_every=60", "threads=1"),
)
# Size of the disk in checkpoints: first best.ckpt is written, then last.ckpt, then the best one of the next score, ...
SIZES = (0.5, 1.5, 2.5, 3.5)
# Steps after which the disk is filled, and bytes that are left on it: what comes next are metrics, the event file and
# pictures (the next ones at step 20) or, from step 60 on, checkpoints.
FILLED = ((10, 0), (10, 4096), (10, 65536), (60, 0), (60, 8192), (100, 1000000))
ROOM, EVENTS = "256m", "64k"
SECONDS = 200


class Command(NamedTuple):
    """The end of a command.

    Attributes:
        code: Exit code.
        said: Text that the command wrote to stderr.
        seconds: Duration of the command.
    """

    code: int
    said: str
    seconds: float


class Check(NamedTuple):
    """A line of the table."""

    case: str
    wrong: list[str]
    said: str


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        print("skipped: needs root, to mount small disks")
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        straight = root / "straight"
        train(straight)
        size = (straight / "checkpoints" / checkpoint.LAST).stat().st_size
        print(f"a checkpoint has {size:,} bytes", flush=True)
        checks = [show(check) for check in all_checks(root, straight, size)]
    failed = sum(bool(check.wrong) for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} as expected")
    sys.exit(1 if failed else 0)


def all_checks(root: Path, straight: Path, size: int) -> Iterator[Check]:
    for share in SIZES:
        yield too_small(root, straight, share, int(share * size))
    for step, left in FILLED:
        yield filled(root, straight, step, left)
    yield event_file(root, straight)
    yield from read_only(root, straight)


def show(check: Check) -> Check:
    print(f"{'WRONG' if check.wrong else 'ok':6}{check.case}: {check.said}", flush=True)
    for what in check.wrong:
        print(f"      {what}", flush=True)
    return check


# Commands


@contextmanager
def begun(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs meanwhile, and is killed if it still does in the end."""
    process = subprocess.Popen(
        [*COORDNET, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> Command:
    """Wait for a command."""
    start = time.monotonic()
    said = process.communicate(timeout=SECONDS)[1]
    return Command(process.returncode, said, time.monotonic() - start)


def coordnet(*arguments: str) -> Command:
    with begun(*arguments) as process:
        return end(process)


def train(run: Path) -> Command:
    return coordnet("train", *RUN, f"hydra.run.dir={run}")


# Disks


def mounted(root: Path, size: str) -> AbstractContextManager[Path]:
    """A disk of that size in an empty folder of its own."""
    return mounted_at(Path(tempfile.mkdtemp(dir=root, prefix="disk")), size)


@contextmanager
def mounted_at(disk: Path, size: str) -> Iterator[Path]:
    call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk))
    try:
        yield disk
    finally:
        call("umount", "--lazy", str(disk))


def remount(disk: Path, option: str) -> None:
    call("mount", "-o", f"remount,{option}", str(disk))


def call(*command: str) -> None:
    subprocess.run(command, check=True)


def fill(disk: Path, left: int) -> None:
    """Leave that many bytes free on a disk."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - left))


# Checks


def too_small(root: Path, straight: Path, share: float, size: int) -> Check:
    with mounted(root, str(size)) as disk:
        ended = train(disk / "run")
        wrong = [*stopped(ended, disk), *kept(disk / "run")]
        wrong += finishes(disk / "run", straight, lambda: remount(disk, f"size={ROOM}"))
    return Check(f"room for {share} checkpoints", wrong, last_line(ended, disk))


def filled(root: Path, straight: Path, step: int, left: int) -> Check:
    with mounted(root, ROOM) as disk, begun("train", *RUN, f"hydra.run.dir={disk / 'run'}") as process:
        wait_for_row(process, disk / "run", step)
        # So that it cannot write meanwhile.
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        fill(disk, left)
        process.send_signal(signal.SIGCONT)
        ended = end(process)
        wrong = [*stopped(ended, disk), *kept(disk / "run")]
        wrong += finishes(disk / "run", straight, (disk / "filler").unlink)
    return Check(f"{left:,} bytes left from step {step} on", wrong, last_line(ended, disk))


def event_file(root: Path, straight: Path) -> Check:
    """A killed run goes on, and only TensorBoard's folder is on a disk that is too small."""
    run = root / "events"
    kill_after_row(run, 10)
    with mounted_at(run / "tb", EVENTS) as disk:
        ended = coordnet("resume", str(run))
        wrong = [*stopped(ended, disk.parent), *kept(run)]
        wrong += finishes(run, straight, lambda: remount(disk, f"size={ROOM}"))
    return Check(f"room for {EVENTS} bytes of the event file", wrong, last_line(ended, run))


def kill_after_row(run: Path, step: int) -> None:
    with begun("train", *RUN, f"hydra.run.dir={run}") as process:
        wait_for_row(process, run, step)


def read_only(root: Path, straight: Path) -> Iterator[Check]:
    """A new directory, an empty one, and a run that was killed, on a disk that cannot be written."""
    with mounted(root, ROOM) as disk:
        new, empty, killed = (disk / name for name in ("new", "empty", "killed"))
        empty.mkdir()
        kill_after_row(killed, 10)
        remount(disk, "ro")
        tried = {
            "a new directory": train(new),
            "an empty directory": train(empty),
            "a killed run": coordnet("resume", str(killed)),
        }
        wrong = {case: stopped(ended, disk) for case, ended in tried.items()}
        wrong["a new directory"] += when(new.exists(), "it exists")
        wrong["a killed run"] += finishes(killed, straight, lambda: remount(disk, "rw"))
        for case, ended in tried.items():
            yield Check(f"read-only, {case}, {ended.seconds:.0f} s", wrong[case], last_line(ended, disk))


def stopped(ended: Command, disk: Path) -> list[str]:
    """List the faults in the end of a command."""
    lines = ended.said.strip().splitlines() or [""]
    reason = lines[-1].removeprefix("coordnet: ")
    times = sum(reason in line for line in lines)
    return [
        *when(ended.code != STORAGE, f"exit code {ended.code}, not {STORAGE}"),
        *when(not lines[-1].startswith("coordnet: "), f"the last line is no error: {ended.said}"),
        *when(str(disk) not in reason, "the error names no path of the disk"),
        *when(times > 1, f"the error is said {times} times"),
        *when("Traceback" in ended.said, f"a traceback: {ended.said}"),
    ]


def kept(run: Path) -> list[str]:
    """List the faults in the remaining files of a run."""
    wrong = [f"litter: {file}" for file in run.rglob(".*.tmp*")]
    for path in (run / "checkpoints").glob("*.ckpt"):
        try:
            checkpoint.load_checkpoint(path)
        except UserError as error:
            wrong.append(str(error))
    if any(row["step"] > 0 for row in rows(run)):
        wrong += when(not (run / "checkpoints" / checkpoint.LAST).exists(), "there is no last.ckpt")
    return wrong


def finishes(run: Path, straight: Path, make_room: Callable[[], object]) -> list[str]:
    """List the faults of the run after the resume."""
    make_room()
    ended = coordnet("resume", str(run))
    if ended.code != 0 or read_status(run)["status"] != "finished":
        return [f"resume: exit code {ended.code}: {ended.said}"]
    weights, expected = (
        checkpoint.load_checkpoint(folder / "checkpoints" / checkpoint.LAST)["state_dict"]
        for folder in (run, straight)
    )
    equal = checkpoint.same(dict(weights), dict(expected))
    return [
        *when(not equal, "the weights are not those of a straight run"),
        *when(str(rows(run)) != str(rows(straight)), "the metrics are not those of a straight run"),
    ]


def when(bad: bool, words: str) -> list[str]:
    return [words] if bad else []


def rows(run: Path) -> Sequence[dict[str, float]]:
    """metrics.csv without the seconds."""
    return [row | {"seconds": 0} for row in metrics_file.read(run / metrics_file.NAME)]


def wait_for_row(process: subprocess.Popen[str], run: Path, step: int) -> None:
    while not any(row["step"] >= step for row in rows(run)):
        assert process.poll() is None, f"the run ended before step {step}"
        time.sleep(0.01)


def last_line(ended: Command, disk: Path) -> str:
    lines = ended.said.strip().splitlines()
    return lines[-1].replace(f"{disk}/", "") if lines else "nothing said"


if __name__ == "__main__":
    main()
