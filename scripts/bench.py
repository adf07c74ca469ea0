"""What `coordnet train` adds to a step, against a bare loop over the same tensors in the same process.

    python scripts/bench.py [--rounds 5] [--json bench.json]

Both fit the astronaut with Gaussian features from the same seed. The bare loop holds its batches ready, and does
forward, loss, backward and the optimiser's step, nothing else. The trainer's seconds are those of its metrics.csv:
they include drawing batches, the schedule, logging and the progress bar, and leave out evaluations and checkpoints.
Rounds alternate between the two, so that both see the same machine; figures are medians over rounds.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("COORDNET_RUN_ID", "bench")

import torch
from hydra import compose, initialize_config_dir
from rich.progress import track

from coordnet.cli.train import plain
from coordnet.config import Config
from coordnet.losses import mse
from coordnet.runs import metrics_file
from coordnet.runs.run import prepare, start
from coordnet.shipped import config_dir

FIRST, LAST = 20, 120
CASES = {
    "demo: 3 x 256, 8,192 points": [],
    "small: 2 x 64, 16,384 points": ["network.depth=2", "network.width=64", "trainer.batch_size=16384"],
}


def make_config(overrides: list[str]) -> Config:
    common = [
        "encoding=gaussian",
        "encoding.scale=10",
        "schedule=constant",
        f"max_steps={LAST}",
        f"eval_every={FIRST}",
    ]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return plain(compose("train", overrides=[*common, *overrides]))


def bare_step(config: Config) -> float:
    """Milliseconds per step of the bare loop."""
    _, model = prepare(config)
    batches = [model.batches(step) for step in range(LAST)]
    optimizer = model.optimizer(model.parameters())
    started = 0.0
    for step, batch in enumerate(batches):
        if step == FIRST:
            started = time.perf_counter()
        loss = mse(model.forward_map(model.field, batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / (LAST - FIRST) * 1000


def trainer_step(config: Config) -> float:
    """Milliseconds per step of `coordnet train`, by its own clock."""
    with tempfile.TemporaryDirectory() as directory:
        start(config, Path(directory) / "run")
        seconds = {
            row["step"]: row["seconds"] for row in metrics_file.read(Path(directory) / "run" / "metrics.csv")
        }
    return (seconds[LAST] - seconds[FIRST]) / (LAST - FIRST) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    figures = {}
    for name, overrides in CASES.items():
        config = make_config(overrides)
        pairs = [
            (bare_step(config), trainer_step(config))
            for _ in track(range(options.rounds), name, transient=True)
        ]
        bare, trainer = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = sorted(ours / theirs for theirs, ours in pairs)
        figures[name] = {"bare_ms": bare, "trainer_ms": trainer, "ratios": ratios}
        print(
            f"{name}: bare loop {bare:.1f} ms, coordnet train {trainer:.1f} ms a step; "
            f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, medians of {options.rounds} rounds")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
