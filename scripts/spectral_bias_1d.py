"""The order in which frequencies are learned, without and with an encoding: the figure and tables of
docs/spectral-bias.md.

    python scripts/spectral_bias_1d.py [--paper] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=spectral_bias_1d`, with `--paper` `spectral_bias_1d_paper` (Rahaman et al. 2019 in full: days), in two
processes of one thread each, or reads a finished sweep. Further overrides go to `coordnet train`.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from reproduction import print_table, save, train

from coordnet.diagnostics.bands import LEARNED, steps_until_learned
from coordnet.reports.results import Metrics, Result, load_sweep
from coordnet.reports.tables import Table

ERROR, AMPLITUDE = "sine_error/k", "sine_amplitude/k"
EQUAL, INCREASING = "equal amplitudes", "increasing amplitudes"
# Read off Rahaman et al. 2019, fig. 1, by color: thousands of steps, means of 20 runs with k = 5, 10, ..., 50.
PUBLISHED = {
    EQUAL: {5: 1000, 10: 7000, 15: 14000, 20: 33000, 25: 38000, 30: 55000},
    INCREASING: {20: 20000, 25: 30000},
}
Learned = dict[float, float | None]


class Run(NamedTuple):
    """One finished job."""

    history: Sequence[Metrics]

    @property
    def frequencies(self) -> list[float]:
        return [float(name.removeprefix(ERROR)) for name in self.history[0] if name.startswith(ERROR)]

    @property
    def steps(self) -> list[float]:
        return [row["step"] for row in self.history]

    def column(self, prefix: str) -> NDArray[np.floating]:
        """(evaluations, frequencies)"""
        names = [name for name in self.history[0] if name.startswith(prefix)]
        return np.array([[row[name] for name in names] for row in self.history])

    def learned(self, for_good: bool = False) -> Learned:
        """The first step at which the error of each frequency is below LEARNED, or stays below; None for never."""
        steps = self.steps
        found: Learned = {}
        for k, errors in zip(self.frequencies, self.column(ERROR).T, strict=True):
            below = np.flatnonzero(errors < LEARNED)
            first = steps[below[0]] if len(below) else None
            found[k] = steps_until_learned(steps, errors) if for_good else first
        return found


Groups = dict[tuple[str, str], list[Run]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    name = "spectral_bias_1d" + "_paper" * options.paper
    groups = grouped(load_sweep(options.sweep or train(name, overrides)).finished)
    options.figures.mkdir(parents=True, exist_ok=True)
    save(heat_maps(groups), options.figures / f"{name}.png")
    rule = f"the error of a sine is below {LEARNED} of its energy: mean (lowest to highest run)"
    print_table(f"Steps until {rule}", steps(groups))
    print_table(f"Steps until, from then on, {rule}", steps(groups, for_good=True))
    print_table("Without an encoding, beside the published steps (read off by color)", compared(groups))


def grouped(results: Sequence[Result]) -> Groups:
    groups: Groups = {}
    for result in results:
        amplitudes = result.config["signal"]["amplitudes"]
        case = EQUAL if amplitudes is None or len(set(amplitudes)) == 1 else INCREASING
        groups.setdefault((str(result.label), case), []).append(Run(result.history))
    return groups


# Figure


def heat_maps(groups: Groups) -> Figure:
    """The share of each sine's amplitude that is learned, over steps, mean over seeds: a panel per row and case."""
    labels, cases = (list(dict.fromkeys(names)) for names in zip(*groups, strict=True))
    figure = Figure(figsize=(3 * len(labels) + 1, 3.4 * len(cases)), dpi=80, layout="constrained")
    panels = figure.subplots(len(cases), len(labels), sharey=True, squeeze=False)
    last = max(run.steps[-1] for runs in groups.values() for run in runs)
    for (label, case), runs in groups.items():
        ax = panels[cases.index(case), labels.index(label)]
        steps = runs[0].steps
        values = np.mean([run.column(AMPLITUDE) for run in runs], axis=0)
        k = np.arange(values.shape[1] + 1) - 0.5
        # An evaluation is shown until the next one.
        edges = np.append(steps, steps[-1] * 1.01)
        image = ax.pcolormesh(k, edges, values, vmin=0, vmax=1, cmap="viridis")
        ax.set(
            title=label if case == cases[0] else "",
            yscale="log",
            ylim=(10, last),
            xlabel="frequency k",
            facecolor="0.85",
        )
        ax.set_xticks(range(values.shape[1]), [f"{k:g}" for k in runs[0].frequencies])
    for ax, case in zip(panels[:, 0], cases, strict=True):
        ax.set_ylabel(f"{case}\n\nstep")
    figure.colorbar(image, ax=panels, label="amplitude learned, as a share of the target's")
    return figure


# Tables


def steps(groups: Groups, for_good: bool = False) -> Table:
    rows = []
    for (label, case), runs in groups.items():
        learned = [run.learned(for_good) for run in runs]
        row = {
            "variant": label,
            "case": case,
            "runs": str(len(runs)),
            "trained for": f"{runs[0].steps[-1]:,.0f}",
        }
        row |= {f"k = {k:g}": spoken([each[k] for each in learned], runs[0].steps[-1]) for k in learned[0]}
        row["order"] = f"{mean(map(order, learned)):+.2f}"
        row["last / first"] = ratio(learned)
        rows.append(row)
    return rows


def spoken(steps: list[float | None], trained_for: float) -> str:
    """The mean and the range; "> T" for a run that never gets there, and for a mean with such a run in it."""
    reached = [step for step in steps if step is not None]
    low, high = (f"{f(reached):,.0f}" if reached else "" for f in (min, max))
    never = f"> {trained_for:,.0f}"
    if not reached:
        return never
    if len(reached) < len(steps):
        return f"{never} in {len(steps) - len(reached)} of {len(steps)} (from {low})"
    return f"{mean(reached):,.0f}" + (f" ({low} to {high})" if low != high else "")


def order(learned: Learned) -> float:
    """The mean over pairs of frequencies of +1 where the lower is learned first and -1 where it is not.

    Pairs that are learned at the same evaluation count 0 (Kendall's tau-a between frequency and step).
    """
    when = [np.inf if step is None else step for step in learned.values()]
    return mean(float(np.sign(b - a)) if a != b else 0.0 for a, b in combinations(when, 2))


def ratio(learned: list[Learned]) -> str:
    """Steps until all are learned, over steps until the first is; mean over the runs."""
    times = [list(each.values()) for each in learned]
    ratios = [max(t for t in each if t) / min(t for t in each if t) for each in times if any(each)]
    if not ratios:
        return "-"
    return ("> " if any(None in each for each in times) else "") + f"{mean(ratios):.1f}"


def compared(groups: Groups) -> Table:
    rows = []
    for case, published in PUBLISHED.items():
        runs = groups.get(("none", case), [])
        for k, step in published.items():
            reached = [run.learned().get(k) for run in runs if k in run.frequencies]
            if not reached:
                continue
            known = [r for r in reached if r is not None]
            deviation = f"{(mean(known) / step - 1):+.0%}" if len(known) == len(reached) else "-"
            here = spoken(reached, runs[0].steps[-1])
            rows.append(
                {"case": case, "k": f"{k}", "published": f"{step:,}", "here": here, "deviation": deviation}
            )
    return rows


if __name__ == "__main__":
    main()
