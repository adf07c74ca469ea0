"""Kill a run at random moments and resume it, again and again: it must end as the run that never stopped, bit for bit.

    python scripts/kill_run.py [--times 200] [--compare 10] [--seed 0]

Each start is a child forked from a process that has imported everything, and dies by SIGKILL: after a random time;
while it saves, as soon as its temporary file is seen; or, by its own hand, between the two renames of a save, when
last.ckpt is gone and only previous.ckpt is left. After each kill a checkpoint must load; when a run gets to its end,
its checkpoints and metrics must be those of the straight run, and a new one begins. Prints a line per 20 kills, and
exits 1 if anything was not as it should be.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("COORDNET_RUN_ID", "kill")

import torch

import coordnet.diagnostics.spectrum_figure  # noqa: F401  what a run would import late
from coordnet.config.check import Config
from coordnet.config.compose import compose_config
from coordnet.errors import UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.checkpoint import BEST, LAST, PREVIOUS
from coordnet.runs.config_file import CONFIG
from coordnet.runs.directory import is_run, read_status
from coordnet.training.run import resume, start

RUN = (
    *("signal.resize=[48,32]", "network.depth=2", "network.width=16", "trainer.batch_size=64"),
    *("max_steps=1500", "eval_every=40", "trainer.pictures=end", "threads=1"),
)
SAVED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step")
HOW = ("at random", "in a save", "between renames")
SHARES = (4, 4, 1)
# Seconds: from a temporary file to the kill; until a child that should have ended counts as hanging.
DELAY = 0.003
PATIENCE = 120
# A child lives for the time it takes to start and, at most, this share of a straight run more.
REACH = 0.25


@dataclass
class Count:
    """Counts of events."""

    kills: int = 0
    saves: int = 0
    previous: int = 0
    compared: int = 0
    wrong: list[str] = field(default_factory=list)


class Pace(NamedTuple):
    """Seconds within which a child is killed: one that has to make the first checkpoint, and all later ones."""

    birth: float
    life: float


def make_config() -> Config:
    return compose_config(*RUN)


def fork(task: Callable[[], object], log: Path) -> int:
    """Do a task in a child of this process, which must not have used more than one thread; returns its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with log.open("a") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        task()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def go(config: Config, run: Path) -> None:
    """Begin a run, or go on with it, unless it was killed when it had just finished."""
    if is_run(run) and read_status(run)["status"] == "finished":
        return
    if (run / CONFIG).exists():
        resume(run)
    else:
        start(config, run)


def go_and_die(config: Config, run: Path, saves: int) -> None:
    """As `go`, but die between the two renames of the n-th save that makes a previous.ckpt."""
    rename, left = Path.replace, saves

    def replace(self: Path, target: str | os.PathLike[str]) -> Path:
        nonlocal left
        result = rename(self, target)
        left -= Path(target).name == PREVIOUS
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace  # type: ignore[assignment,method-assign]
    go(config, run)


def written(run: Path) -> dict[str, int]:
    """Temporary files of checkpoints by name, with the time of their last write."""
    found = {}
    for name in (LAST, BEST):
        for path in (run / "checkpoints").glob(f".{name}.tmp-*"):
            with suppress(FileNotFoundError):
                found[name] = path.stat().st_mtime_ns
    return found


def saving(run: Path, before: dict[str, int]) -> bool:
    """Return True if a new temporary file has been written."""
    return any(before.get(name) != moment for name, moment in written(run).items())


def wait(child: int, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
    """The status of a child that ended in time; None once the time is over or something else has happened."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    return None


def live(config: Config, run: Path, log: Path, how: str, seconds: float, draw: random.Random) -> int:
    """Start a child and kill it in some way, unless it is done before that; its status as `os.waitpid` has it."""
    if how == HOW[2]:
        saves = draw.randint(1, 8)
        child = fork(lambda: go_and_die(config, run, saves), log)
        status = wait(child, PATIENCE)
    else:
        before = written(run)
        child = fork(lambda: go(config, run), log)
        status = wait(child, seconds)
        if status is None and how == HOW[1]:
            status = wait(child, PATIENCE, lambda: saving(run, before))
            if status is None:
                status = wait(child, draw.uniform(0, DELAY))
    if status is None:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return status


def loads(path: Path) -> bool:
    try:
        checkpoint.load_checkpoint(path)
    except UserError:
        return False
    return True


def rows(run: Path) -> str:
    """metrics.csv without the seconds; as text, because nan differs from itself."""
    return str([row | {"seconds": 0} for row in metrics_file.read(run / metrics_file.NAME)])


def differences(run: Path, straight: Path) -> list[str]:
    """List the differences between a finished run and the straight run."""
    found = [] if rows(run) == rows(straight) else [metrics_file.NAME]
    for name in (LAST, BEST):
        a, b = (checkpoint.load_checkpoint(folder / "checkpoints" / name) for folder in (run, straight))
        found += [f"{part} of {name}" for part in SAVED if not checkpoint.same(a[part], b[part])]
    return found


def litter(run: Path) -> list[str]:
    """Temporary files beyond one per name."""
    names = [file.name.rpartition(".tmp")[0] for file in run.rglob(".*.tmp*")]
    return sorted(f"{names.count(name)} of {name}" for name in set(names) if names.count(name) > 1)


def check_killed(run: Path, count: Count, had: bool) -> bool:
    """See that a killed run can go on; returns whether it has had a checkpoint by now."""
    folder = run / "checkpoints"
    if loads(folder / LAST):
        return True
    if loads(folder / PREVIOUS):
        count.previous += 1
        return True
    if had:
        count.wrong.append(f"{run}: no checkpoint is left")
    return False


def kill_once(config: Config, run: Path, count: Count, seconds: float, draw: random.Random) -> int:
    """One start and its end; the status of the child."""
    before = written(run)
    status = live(config, run, run.with_suffix(".log"), draw.choices(HOW, SHARES)[0], seconds, draw)
    if status == signal.SIGKILL:
        count.kills += 1
        count.saves += saving(run, before)
    elif status:
        said = run.with_suffix(".log").read_text().strip().splitlines()
        count.wrong.append(
            f"{run}: exit code {os.waitstatus_to_exitcode(status)}: {said[-1] if said else ''}"
        )
    return status


def torture(config: Config, run: Path, straight: Path, count: Count, pace: Pace, draw: random.Random) -> None:
    """Kill and resume one run until it is finished or goes wrong."""
    had = False
    while True:
        seconds = draw.uniform(0, pace.life if had else pace.birth)
        status = kill_once(config, run, count, seconds, draw)
        if status != signal.SIGKILL:
            break
        had = check_killed(run, count, had)
        if count.kills % 20 == 0:
            show(count)
    if status == 0:
        count.compared += 1
        count.wrong += [f"{run}: {what} differs" for what in differences(run, straight)]
    count.wrong += [f"{run}: litter: {what}" for what in litter(run)]


def show(count: Count) -> None:
    print(
        f"{count.kills} kills, {count.saves} of them in a save; previous.ckpt was needed {count.previous} times; "
        f"{count.compared} runs compared, {len(count.wrong)} things wrong",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=200, help="kills, at least")
    parser.add_argument("--compare", type=int, default=10, help="finished runs, at least")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # A process forked from one whose OpenMP threads have run would hang.
    torch.set_num_threads(1)
    draw, count, config = random.Random(options.seed), Count(), make_config()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        straight, begun = root / "straight", time.monotonic()
        child = fork(lambda: start(config, straight), root / "straight.log")
        wait(child, PATIENCE, (straight / "checkpoints" / LAST).exists)
        ready = time.monotonic() - begun
        assert wait(child, PATIENCE) == 0, (root / "straight.log").read_text()
        whole = time.monotonic() - begun
        print(f"a straight run takes {whole:.1f} s, its first checkpoint {ready:.1f} s", flush=True)
        pace, number = Pace(1.5 * ready, ready + REACH * (whole - ready)), 0
        while (count.kills < options.times or count.compared < options.compare) and len(count.wrong) < 10:
            torture(config, root / str(number), straight, count, pace, draw)
            number += 1
    show(count)
    print("\n".join(count.wrong))
    sys.exit(1 if count.wrong else 0)


if __name__ == "__main__":
    main()
