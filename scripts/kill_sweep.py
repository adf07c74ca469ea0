"""Kill a sweep at random moments, go on with `coordnet resume`, and compare its table with that of a straight one.

    python scripts/kill_sweep.py [--times 20] [--seed 0]

Each time, six small jobs start two by two; the driver gets SIGKILL or SIGTERM after a random time, and so does the
first `coordnet resume` of every second time; the next one runs to its end. Prints one line per time and exits 1 if any
table differs in anything but the seconds.
"""

import argparse
import csv
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COORDNET = (sys.executable, "-m", "coordnet.cli.main")
SWEEP = (
    *("train", "ablation=image_quick", "label=identity,gaussian,bicubic", "seed=0,1", "jobs=2"),
    *("signal.resize=[48,32]", "network.depth=2", "network.width=16", "trainer.batch_size=64"),
    *("max_steps=600", "eval_every=100"),
)


def table(sweep: Path) -> list[dict[str, str]]:
    """results.csv without the seconds."""
    rows = csv.DictReader((sweep / "results.csv").read_text().splitlines())
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def run(folder: Path, *arguments: str, kill: tuple[float, signal.Signals] | None = None) -> int:
    """The exit code of a command that is killed after some seconds, or runs to its end."""
    with (folder / "log").open("a") as log:
        process = subprocess.Popen([*COORDNET, *arguments], cwd=folder, stdout=log, stderr=log)
        if kill:
            time.sleep(kill[0])
            process.send_signal(kill[1])
        return process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        started = time.monotonic()
        assert run(root, *SWEEP, "hydra.sweep.dir=straight") == 0, (root / "log").read_text()
        whole = time.monotonic() - started
        expected = table(root / "straight")
        for i in range(options.times):
            number = draw.choice([signal.SIGKILL, signal.SIGTERM])
            moments = [draw.uniform(0.3, 1) * whole]
            run(root, *SWEEP, f"hydra.sweep.dir={i}", kill=(moments[0], number))
            if not (root / str(i) / "sweep.json").exists():
                print(f"{i}: {number.name} after {moments[0]:.1f} s, before there was a sweep")
                continue
            if i % 2:
                moments.append(draw.uniform(0.3, 1) * whole)
                run(root, "resume", str(i), "--jobs", "2", kill=(moments[1], number))
            code = run(root, "resume", str(i), "--jobs", "2")
            same = code == 0 and table(root / str(i)) == expected
            wrong += not same
            said = " and ".join(f"{moment:.1f}" for moment in moments)
            print(
                f"{i}: {number.name} after {said} s: {'equal' if same else f'differs, exit code {code}'}",
                flush=True,
            )
    print(f"{options.times - wrong} of {options.times} as expected")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
