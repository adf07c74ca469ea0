"""The cost of bfloat16: PSNR at equal steps in each precision, on five photographs, for rough and for close fits.

    python scripts/precision.py [--sweeps DIR DIR] [key=value ...]

Trains `ablation=precision` (every Fourier encoding and identity) and `ablation=precision_close` (pictures that the
network learns by heart), about 25 minutes, or reads the finished sweeps of both. Further overrides go to
`coordnet train`.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from reproduction import print_table, train

from coordnet.reports.results import Result, load_sweep
from coordnet.reports.statistics import mean_and_std, paired_difference

ABLATIONS = ("precision", "precision_close")
# At the last step: on pixels that were not trained on, where there are any.
METRICS = ("test/psnr", "train/psnr")
SPREAD = "mean (its 95 % interval over pairs of picture and seed)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sweeps", type=Path, nargs=2, help="directories of finished sweeps; then nothing is trained"
    )
    options, overrides = parser.parse_known_args()
    far, close = options.sweeps or [train(name, overrides) for name in ABLATIONS]
    results = load_sweep(far).results
    labels = list(dict.fromkeys(result.label for result in results))
    rows = [
        {"encoding": str(label)} | costs([r for r in results if r.label == label], precision_of, "bfloat16")
        for label in labels
    ]
    print_table(
        f"PSNR of float32 minus that of bfloat16, five photographs of 256 x 256: {SPREAD}",
        rows,
    )
    results = load_sweep(close).results
    names = list(dict.fromkeys(map(label_of, results)))
    rows = [{"variant": name} | costs(results, label_of, name) for name in names if name != "float32"]
    print_table(f"PSNR of float32 minus that of another, all pixels of 64 x 64 trained on: {SPREAD}", rows)


def costs(results: Sequence[Result], kind_of: Callable[[Result], str], kind: str) -> dict[str, str]:
    """Differences of each metric over pairs of picture and seed, and what float32 scores."""
    scores = {
        (kind_of(r), (r.config["signal"]["name"], r.config["seed"])): r.metrics for r in results if r.finished
    }
    pairs = sorted(pair for name, pair in scores if name == "float32" and (kind, pair) in scores)
    line = {"pictures": str(len({name for name, _ in pairs})), "pairs": str(len(pairs))}
    for metric in METRICS:
        if not pairs or not all(metric in found for found in scores.values()):
            continue
        full = {pair: scores["float32", pair][metric] for pair in pairs}
        found = paired_difference(full, {pair: scores[kind, pair][metric] for pair in pairs})
        lost = [full[pair] - scores[kind, pair][metric] for pair in pairs]
        line[f"{metric} in float32"] = f"{mean_and_std(list(full.values())).mean:.2f}"
        line[f"{metric} lost"] = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        line[f"{metric} lost: lowest, highest"] = f"{min(lost):+.2f}, {max(lost):+.2f}"
    return line


def label_of(result: Result) -> str:
    return str(result.label)


def precision_of(result: Result) -> str:
    return str(result.config["trainer"]["precision"])


if __name__ == "__main__":
    main()
