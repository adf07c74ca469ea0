"""The gain of a process per job: the same six jobs in parallel and one after another.

    python scripts/bench_sweep.py [--rounds 2]

Sweeps the demo's Gaussian row over six seeds, 100 steps each, with jobs=2 (one thread each), with jobs=1 and one
thread, and with jobs=1 and two threads, in turns, and prints seconds from the command to the table, and their ratios.
The start of a job is measured by six jobs of one step: what five more of them take.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SWEEP = ("ablation=image_quick", "label=gaussian", "max_steps=100", "eval_every=100")
TINY = (*SWEEP, "max_steps=1", "signal.resize=[64,64]", "network.width=16", "encoding.num_frequencies=16")
SEEDS = "seed=0,1,2,3,4,5"
SETTINGS = {
    "jobs=2, one thread each": ("jobs=2", "threads=1"),
    "jobs=1, one thread": ("jobs=1", "threads=1"),
    "jobs=1, two threads": ("jobs=1", "threads=2"),
}


def seconds(*overrides: str) -> float:
    """Measure the seconds from the command to the table."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "coordnet.cli.main", "train", *overrides]
        started = time.perf_counter()
        subprocess.run(
            [*command, f"hydra.sweep.dir={Path(folder) / 'sweep'}"], check=True, stdout=subprocess.DEVNULL
        )
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    measured: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, setting in SETTINGS.items():
            measured[name].append(seconds(*SWEEP, SEEDS, *setting))
    first = measured["jobs=2, one thread each"]
    print("| six jobs | seconds, each round | throughput of jobs=2 against it |")
    print("|---|---|---|")
    for name, values in measured.items():
        ratios = [value / mine for value, mine in zip(values, first, strict=True)]
        print(f"| {name} | {', '.join(f'{v:.1f}' for v in values)} | {median(ratios):.2f} |")
    one, six = seconds(*TINY, "seed=0", "threads=1"), seconds(*TINY, SEEDS, "threads=1")
    print(
        f"\nOne job of one step {one:.1f} s, six {six:.1f} s: {(six - one) / 5:.2f} s for each after the first."
    )


if __name__ == "__main__":
    main()
