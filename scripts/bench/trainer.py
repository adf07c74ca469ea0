"""The overhead of `coordnet train`: per step, and before the first step."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import composed
from rich.progress import track
from timing import ratios, show, spread

from coordnet.config.check import Config
from coordnet.losses.mse import mse
from coordnet.runs import metrics_file
from coordnet.training.prepare import prepare
from coordnet.training.run import start
from coordnet.training.runtime import keep_memory

FIRST, LAST = 20, 120
CASES = {
    "3 x 256, 65,536 points": ["trainer.batch_size=65536", "max_steps=40"],
    "3 x 256, 8,192 points": [],
    "3 x 256, 1,024 points": ["trainer.batch_size=1024"],
    "2 x 64, 16,384 points": ["network.depth=2", "network.width=64", "trainer.batch_size=16384"],
}
PATIENCE = 120


def make_config(overrides: list[str]) -> Config:
    common = ["encoding=gaussian", "encoding.scale=10", "schedule=constant"]
    return composed(*common, f"max_steps={LAST}", f"eval_every={FIRST}", *overrides)


def bare_step(config: Config) -> float:
    """Milliseconds per step of a bare loop over batches that lie ready."""
    _, model = prepare(config)
    last = config["max_steps"]
    batches = [model.batches(step) for step in range(last)]
    optimizer = model.optimizer(model.parameters())
    started = 0.0
    for step, batch in enumerate(batches):
        if step == FIRST:
            started = time.perf_counter()
        loss = mse(model.forward_map(model.field, batch), batch, model.field)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / (last - FIRST) * 1000


def trainer_step(config: Config) -> float:
    """Milliseconds per step of `coordnet train`, by its own clock."""
    with tempfile.TemporaryDirectory() as directory:
        start(config, Path(directory) / "run")
        rows = metrics_file.read(Path(directory) / "run" / "metrics.csv")
    seconds = {row["step"]: row["seconds"] for row in rows}
    last = config["max_steps"]
    return (seconds[last] - seconds[FIRST]) / (last - FIRST) * 1000


def framework(rounds: int) -> Any:
    """Measure the overhead of `coordnet train` over a bare loop over the same tensors.

    The trainer's seconds come from metrics.csv: with batch sampling, schedule, logging and progress, but without
    evaluations and checkpoints.
    """
    keep_memory()
    found = {}
    for name, overrides in CASES.items():
        config = make_config(overrides)
        pairs = [
            (bare_step(config), trainer_step(config)) for _ in track(range(rounds), name, transient=True)
        ]
        bare, trained = (list(times) for times in zip(*pairs, strict=True))
        found[name] = {"bare": bare, "coordnet train": trained}
    show(
        [
            {
                "what": name,
                "bare loop, ms": spread(ms["bare"]),
                "coordnet train, ms": spread(ms["coordnet train"]),
                "ratio": spread(ratios(ms["coordnet train"], ms["bare"])),
            }
            for name, ms in found.items()
        ]
    )
    return found


def start_up(rounds: int) -> Any:
    """Seconds from the command `coordnet train` to its first step (the checkpoint of step 0 is saved), and to the
    first picture in TensorBoard's file; the first time after the kernel was told to forget what it read."""
    dropped = drop_caches()
    first, *others = [seconds() for _ in track(range(rounds + 1), "start", transient=True)]
    rows = [
        {
            "what": "cold" if dropped else "the first",
            **{name: f"{value:.1f}" for name, value in first.items()},
        }
    ]
    rows.append({"what": "again", **{name: spread([each[name] for each in others]) for name in first}})
    show(rows)
    return {"cold": dropped, "first": first, "again": others}


def drop_caches() -> bool:
    """Needs root, and Linux."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def seconds() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        waits: dict[str, Callable[[], bool]] = {
            "first step": lambda: (run / "checkpoints" / "last.ckpt").exists(),
            "first picture": lambda: any(b"PNG" in file.read_bytes() for file in run.glob("tb/events*")),
        }
        command = [
            sys.executable,
            "-m",
            "coordnet.cli.main",
            "train",
            "max_steps=1000000",
            f"hydra.run.dir={run}",
        ]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            found: dict[str, float] = {}
            while len(found) < len(waits):
                now = time.perf_counter() - started
                found |= {name: now for name, done in waits.items() if name not in found and done()}
                if now > PATIENCE or process.poll() is not None:
                    raise SystemExit(f"`{' '.join(command)}` has not got to its {' nor '.join(waits)}")
                time.sleep(0.02)
            process.terminate()
    return {name: found[name] for name in waits}
