"""Several processes that share each batch (Lightning's DDP), watched by the one that started them."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from coordnet.config.check import Config
from coordnet.errors import Diverged, Interrupted, UserError
from coordnet.training.parent_watchdog import start_parent_watchdog

# Seconds that the others get to end by themselves once one ended in good order, or was lost.
GRACE, SHORT_GRACE = 30.0, 1.0
# Exit codes of a run that says why it ended, and has written what it had.
ORDERLY = (UserError.exit_code, Diverged.exit_code, 130, 138, 143)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def launch_ddp(
    config: Config, directory: Path, resumed_from: Path | None, allow: Sequence[str], facts: Mapping[str, Any]
) -> bool:
    """Train in `trainer.devices` processes; returns and raises what `train` does.

    Raises:
        RuntimeError: One of them failed or was killed; the others were ended.
    """
    world = config["trainer"]["devices"]
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    task = (config, directory, resumed_from, tuple(allow), dict(facts), free_port(), theirs)
    processes: list[BaseProcess] = [
        spawn.Process(target=ddp_worker, args=(rank, *task), name=f"process {rank} of {world}")
        for rank in range(world)
    ]

    def pass_on(number: int, _: object) -> None:
        for process in processes:
            if process.pid and process.is_alive():
                os.kill(process.pid, number)

    for process in processes:
        process.start()
    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        codes = _watch(processes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    said = ours.recv() if ours.poll() else None
    if not any(codes) and isinstance(said, bool):
        return said
    lost = [
        f"{p.name} was killed by {signal.Signals(-c).name}"
        for p, c in zip(processes, codes, strict=True)
        if c < 0
    ]
    if lost or not said:
        raise RuntimeError(", ".join(lost) or "a process of the run ended without a word")
    code = max(code for code in codes if code in ORDERLY or code == 1)
    if code in (143, 138, 130):
        raise Interrupted(said, code)
    raise {UserError.exit_code: UserError, Diverged.exit_code: Diverged}.get(code, RuntimeError)(said)


def _watch(processes: Sequence[BaseProcess]) -> list[int]:
    """Wait for all; once one has failed, the others get some seconds. The exit codes, 0 for those ended from here."""
    while True:
        # Asked in this order: of processes that end between two questions, one would be missed.
        alive = [process for process in processes if process.is_alive()]
        failed = [process.exitcode for process in processes if process.exitcode]
        if failed:
            grace = GRACE if all(code in ORDERLY for code in failed) else SHORT_GRACE
            deadline = time.monotonic() + grace
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
            codes = [process.exitcode or 0 for process in processes]
            for process in processes:
                process.kill()
                process.join()
            return codes
        if not alive:
            return [0] * len(processes)
        wait([process.sentinel for process in alive])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ddp_worker(
    rank: int,
    config: Config,
    directory: Path,
    resumed_from: Path | None,
    allow: Sequence[str],
    facts: Mapping[str, Any],
    port: int,
    out: Connection,
) -> None:
    """One of the processes; the first says how it ended."""
    # Ctrl-C reaches the one that started us, which passes it on.
    os.setpgid(0, 0)
    start_parent_watchdog()
    world = config["trainer"]["devices"]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": world}
    os.environ |= {key: str(value) for key, value in {**address, "LOCAL_RANK": rank, "RANK": rank}.items()}
    from coordnet.training.prepare import build_run
    from coordnet.training.trainer import train

    code: int = 1
    said: str | bool
    try:
        _, model = build_run({**config, "threads": max(1, config["threads"] // world)}, allow)
        said, code = train(config, model, directory, resumed_from, facts, rank, allow), 0
    except (UserError, Diverged, Interrupted) as error:
        said, code = str(error), error.exit_code
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    if rank == 0:
        out.send(said)
    sys.stdout.flush()
    sys.stderr.flush()
    # Past the destructors: those of a process group whose peers have gone may abort.
    os._exit(code)
