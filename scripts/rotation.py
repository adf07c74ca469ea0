"""Axis-aligned against isotropic features, grating by grating: a figure and the tables of docs/spectral-bias.md.

    python scripts/rotation.py [--paper] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=rotation` (minutes), with `--paper` `rotation_paper` (Tancik et al. 2020, fig. 11, full size: hours),
in two processes of one thread each, or reads a finished sweep. Further overrides go to `coordnet train`.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from reproduction import print_table, save, train

from coordnet.reports.results import load_sweep
from coordnet.reports.statistics import Difference, paired_difference
from coordnet.reports.tables import Table

# Fig. 11 has no numbers in print: a curve each for log_linear ("positional encoding" there) and gaussian.
PUBLISHED = {"log_linear": "worse off the axes", "gaussian": "flat"}
ISOTROPIC = "gaussian"
METRICS = {"train PSNR": "train/psnr", "test PSNR": "test/psnr", "contrast": "wave/contrast"}

# (angle in degrees, cycles across the image) to score.
Scores = dict[tuple[float, float], float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    name = "rotation" + "_paper" * options.paper
    directory = options.sweep or train(name, overrides)
    scores = {part: read(directory, metric) for part, metric in METRICS.items()}
    test = scores["test PSNR"]
    options.figures.mkdir(parents=True, exist_ok=True)
    save(curves(test), options.figures / f"{name}.png")
    print_table("On the axes and between them, mean over gratings", on_and_off(scores))
    print_table(f"Test PSNR of {ISOTROPIC} above the others, by the angle to the nearest axis", lead(test))


def read(directory: Path, metric: str) -> dict[str, Scores]:
    scores: dict[str, Scores] = {}
    for result in load_sweep(directory).finished:
        signal = result.config["signal"]
        of_row = scores.setdefault(str(result.label), {})
        of_row[float(signal["angle"]), float(signal["frequency"])] = result.metrics[metric]
    return scores


def to_axis(angle: float) -> float:
    """Degrees to the nearest axis, in [0, 45]."""
    return min(angle % 90, 90 - angle % 90)


def mean_by_angle(of_row: Scores) -> dict[float, float]:
    """Average over frequencies, as fig. 11 does; angles rise."""
    angles = sorted({angle for angle, _ in of_row})
    return {angle: float(np.mean([v for (a, _), v in of_row.items() if a == angle])) for angle in angles}


# Figure


def curves(scores: dict[str, Scores]) -> Figure:
    """Plot PSNR over the angle: a panel per variant, a line per frequency, and their mean."""
    figure = Figure(figsize=(4 * len(scores) + 1, 3.8), dpi=80, layout="constrained")
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for ax, (label, of_row) in zip(panels, scores.items(), strict=True):
        angles, frequencies = (sorted(set(values)) for values in zip(*of_row, strict=True))
        for i, frequency in enumerate(frequencies):
            line = [of_row[angle, frequency] for angle in angles]
            ax.plot(angles, line, ".-", color=f"C{i}", linewidth=1, label=f"f = {frequency:g}")
        average = mean_by_angle(of_row)
        ax.plot(list(average), list(average.values()), "k-", linewidth=2, label="mean")
        for axis in (0, 90, 180):
            ax.axvline(axis, color="0.8", zorder=0)
        ax.set(title=label, xlabel="angle of the wave vector (degrees)", xticks=range(0, 181, 45))
        ax.grid(axis="y", color="0.9")
    panels[0].set_ylabel("test PSNR (dB)")
    panels[0].legend(loc="upper right", fontsize="small")
    return figure


# Tables


def on_and_off(scores: dict[str, dict[str, Scores]]) -> Table:
    """Gratings at 0 and 90 degrees, and those of the same frequency at 45 and 135."""
    table = []
    for part, of_rows in scores.items():
        digits = 3 if part == "contrast" else 1
        for label, of_row in of_rows.items():
            on = {key: score for key, score in of_row.items() if to_axis(key[0]) == 0}
            off = {(angle, f): of_row[angle + 45, f] for angle, f in on}
            line = {"measure": part, "variant": label}
            line["on the axes"] = f"{np.mean(list(on.values())):.{digits}f}"
            line["at 45°"] = f"{np.mean(list(off.values())):.{digits}f}"
            line["difference"] = spoken(paired_difference(off, on), digits)
            by_angle = mean_by_angle(of_row).values()
            line["range over angles"] = f"{max(by_angle) - min(by_angle):.{digits}f}"
            table.append(line | {"fig. 11": PUBLISHED.get(label, "-")})
    return table


def lead(test: dict[str, Scores]) -> Table:
    """Over gratings: the difference at the same angle and frequency."""
    distances = sorted({to_axis(angle) for angle, _ in test[ISOTROPIC]})
    table = []
    for label in test:
        if label == ISOTROPIC:
            continue
        line = {"above": label}
        for distance in distances:
            here = {key: score for key, score in test[ISOTROPIC].items() if to_axis(key[0]) == distance}
            found = paired_difference(here, test[label])
            line[f"{distance:g}° (n = {found.pairs})"] = spoken(found)
        table.append(line)
    return table


def spoken(found: Difference, digits: int = 1) -> str:
    """The mean and its 95 % interval."""
    mean, low, high = (f"{value:+.{digits}f}" for value in (found.mean, found.low, found.high))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main()
