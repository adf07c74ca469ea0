"""The speed of coordnet on this machine, with comparisons: the numbers of docs/performance.md.

    python scripts/bench [step framework encodings grids scaling memory fit start] [--rounds 5] [--json bench.json]

Runs all parts by default. Within a part the cases take turns in one process, so that each sees the same machine;
figures are medians over the rounds with the lowest and the highest, and ratios are taken turn by turn.
"""

import argparse
import json
import os
import platform
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("COORDNET_RUN_ID", "bench")

import fit
import grids
import step
import torch
import trainer

from coordnet.training.runtime import set_threads

PARTS = {
    "step": step.steps,
    "framework": trainer.framework,
    "encodings": grids.encodings,
    "grids": grids.grids,
    "scaling": step.scaling,
    "memory": step.memory,
    "fit": fit.fit,
    "start": trainer.start_up,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="parts to run; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write every figure here too")
    options = parser.parse_args()
    threads = set_threads(None)
    print(f"{platform.machine()}, {threads} threads, torch {torch.__version__}")
    figures = {}
    for name in options.parts or PARTS:
        print(f"\n## {name}\n\n{PARTS[name].__doc__}\n", flush=True)
        figures[name] = PARTS[name](options.rounds)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
