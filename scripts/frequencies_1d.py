"""Kernel theory against training on a line, frequency by frequency: figs. 2 to 4 of Tancik et al. 2020.

    python scripts/frequencies_1d.py [--paper] [--figures docs/images] [--sweep DIR] [--families DIR] [key=value ...]

Trains `ablation=frequencies_1d` (figs. 2 and 3) and `ablation=frequencies_1d_families` (fig. 4), with `--paper` their
full protocols, in two processes of one thread each, or reads finished sweeps. Further overrides go to `coordnet train`.

The prediction starts at step 0: from the tangent kernel and the residual before training, by the exact discrete
formula, at the trained and at the other samples. (The notebook released with the paper starts its theory anew at each
step, from what the network gives by then, so that its curves say little of how far the first kernel carries.)
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from reproduction import print_table, save, train

from coordnet.diagnostics.ntk import predicted_residuals, tangent_kernel
from coordnet.reports.results import Result, load_sweep
from coordnet.reports.tables import Table
from coordnet.runs.config_file import read_config
from coordnet.runs.load import load as load_run
from coordnet.training.callbacks.ntk import in_double
from coordnet.training.prepare import prepare

Values = NDArray[np.floating]

FREQUENCIES = (1, 5, 15)
# Final mean squared errors, read off fig. 3 of the paper (one signal): of the trained samples and of those between.
PUBLISHED = {
    "p0": (1e-5, 9e-3),
    "p1": (1e-3, 6e-3),
    "pinf": (1.3e-2, 1.2e-2),
    "none": (3.3e-2, 4e-2),
}
# Read off fig. 4: the least error between 1,024 samples, and where it is, in cycles across the domain (Nyquist 512).
PUBLISHED_BEST = {0.5: (5e-3, "5.7 to 128"), 1.0: (9e-5, "16 to 64"), 1.5: (6e-7, "16")}


class Run(NamedTuple):
    """One line and one mapping, measured and predicted; times in steps.

    Attributes:
        steps: (s,) of the evaluations.
        train, test: Measured mean squared errors (s,), at the trained samples and at all others.
        errors: Measured |p_k - t_k|^2 / |t_k|^2 of the trained samples, (s, frequencies).
        times: (t,) of the predictions.
        train_predicted, test_predicted, errors_predicted: Likewise.
        kernel: (32, 32), at the trained samples before training.
        target, values: (n,), all samples of the line and what is learned in the end.
        train_stride: Training uses every train_stride-th sample.
    """

    steps: Values
    train: Values
    test: Values
    errors: Values
    times: Values
    train_predicted: Values
    test_predicted: Values
    errors_predicted: Values
    kernel: Values
    target: Values
    values: Values
    train_stride: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument(
        "--sweep", type=Path, help="directory of the finished sweep of figs. 2 and 3; then nothing is trained"
    )
    parser.add_argument(
        "--families", type=Path, help="directory of the finished sweep of fig. 4; then nothing is trained"
    )
    options, overrides = parser.parse_known_args()
    options.figures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    suffix = "_paper" * options.paper
    sweep = options.sweep or train(f"frequencies_1d{suffix}", overrides)
    groups: dict[str, list[Run]] = {}
    for result in load_sweep(sweep).finished:
        groups.setdefault(str(result.label), []).append(measured(sweep / result.run))
    save(theory_and_training(groups), options.figures / f"frequencies_1d{suffix}.png")
    count = max(map(len, groups.values()))
    print_table(
        f"Final mean squared error, geometric mean of {count} lines, beside the paper's one", final(groups)
    )
    print_table(
        "Error of sine k of the trained samples: measured | predicted at step 0", by_frequency(groups)
    )
    print_table("The kernel of the trained samples before training", kernels(groups))
    families = options.families or train(f"frequencies_1d_families{suffix}", overrides)
    points = [point(families / result.run, result) for result in load_sweep(families).finished]
    save(u_curves(points), options.figures / f"frequencies_1d_families{suffix}.png")
    print_table("Error between the samples against the deviation of the frequencies", best(points))


# Figures 2 and 3


def measured(directory: Path) -> Run:
    """Read a run, and predict it from its field before training."""
    config, model = prepare(read_config(directory))
    signal: Any = model.batches.signal
    coords, target = signal.domain.grid(), signal.values
    trained = torch.arange(len(target)) % signal.train_stride == 0
    kernel = tangent_kernel(in_double(model.field), coords.double())
    with torch.no_grad():
        residual = (model.field(coords) - target)[:, 0]
    first = np.load(directory / "ntk-0000000.npz")
    if not np.allclose(first["kernel"], kernel[trained][:, trained], rtol=1e-4):
        raise SystemExit(
            f"{directory}: the field before training is another one here; use the machine that trained"
        )
    last = int(config["max_steps"])
    times = np.unique(np.concatenate([[0], np.geomspace(1, last, 200).round()]))
    rate = 2 * config["optimizer"]["lr"] / int(trained.sum())
    left = predicted_residuals(kernel, residual, rate, torch.from_numpy(times), trained)
    history = list(load_sweep(directory).results[0].history)
    energy = {name: float(target[part].double().square().sum()) for name, part in parts(signal).items()}
    squares = {name: np.array([row[f"{name}/nmse"] for row in history]) * energy[name] for name in energy}
    others = int((~trained).sum())
    spectrum, aim = (np.fft.fft(v.numpy(), axis=-1) for v in (left[:, trained], target[trained, 0].double()))
    values = load_run(directory)(coords)[:, 0]
    return Run(
        steps=np.array([row["step"] for row in history]),
        train=squares["train"] / int(trained.sum()),
        test=(squares["test"] + squares["val"]) / others,
        errors=np.array([[row[f"sine_error/k{k:03d}"] for k in FREQUENCIES] for row in history]),
        times=times,
        train_predicted=left[:, trained].square().mean(dim=1).numpy(),
        test_predicted=left[:, ~trained].square().mean(dim=1).numpy(),
        errors_predicted=np.stack([np.abs(spectrum[:, k] / aim[k]) ** 2 for k in FREQUENCIES], axis=1),
        kernel=kernel[trained][:, trained].numpy(),
        target=target[:, 0].numpy(),
        values=values.numpy(),
        train_stride=signal.train_stride,
    )


def parts(signal: Any) -> dict[str, Any]:
    """The samples of each of the signal's scores."""
    place = torch.arange(len(signal.values)) % signal.train_stride
    middle = signal.train_stride // 2
    return {"train": place == 0, "test": place == middle, "val": (place != 0) & (place != middle)}


def theory_and_training(groups: dict[str, list[Run]]) -> Figure:
    """The panels of figs. 2 and 3, of the first line; solid is measured, dashed predicted before training."""
    figure = Figure(figsize=(20, 8), dpi=70, layout="constrained")
    axes = figure.subplots(2, 5)
    runs = {label: group[0] for label, group in groups.items()}
    colors = dict(zip(runs, colormaps["turbo"](np.linspace(0.05, 0.95, len(runs))), strict=True))
    for ax, label in zip(axes[0, :2], ("none", "pinf"), strict=True):
        if label in runs:
            ax.imshow(runs[label].kernel, cmap="inferno")
            ax.set(title=f"kernel of the trained samples: {label}", xlabel="sample", ylabel="sample")
    for label, run in runs.items():
        row = cyclic_mean(run.kernel)
        half = len(row) // 2
        if label != "none":
            axes[0, 2].plot(
                np.arange(-half, half) / len(row), np.roll(row, half), color=colors[label], label=label
            )
            axes[0, 3].semilogy(np.abs(np.fft.rfft(row)), color=colors[label], label=label)
        place = slice(len(run.target) // 2, len(run.target) * 3 // 4)
        x = np.arange(len(run.target)) / len(run.target)
        axes[0, 4].plot(x[place], run.values[place], color=colors[label], label=label)
        for ax, got, said in (
            (axes[1, 0], run.train, run.train_predicted),
            (axes[1, 1], run.test, run.test_predicted),
            *zip(axes[1, 2:], run.errors.T, run.errors_predicted.T, strict=True),
        ):
            ax.plot(run.steps, got, color=colors[label])
            ax.plot(run.times, said, "--", color=colors[label])
    run = next(iter(runs.values()))
    axes[0, 4].plot(x[place], run.target[place], "k", linewidth=1, label="target")
    axes[0, 4].plot(x[place][:: run.train_stride], run.target[place][:: run.train_stride], "ko", markersize=4)
    axes[0, 2].set(title="kernel against distance", xlabel="distance (domains)")
    axes[0, 3].set(title="its Fourier transform: speeds", xlabel="cycles across the domain")
    axes[0, 4].set(title="learned, and the trained samples", xlabel="t")
    axes[0, 4].legend(fontsize=7)
    axes[0, 3].legend()
    titles = ("train mean squared error", "test", *(f"error of {k} cycles" for k in FREQUENCIES))
    for ax, title in zip(axes[1], titles, strict=True):
        ax.set(title=f"{title} (dashed: predicted)", xscale="symlog", yscale="log", xlabel="step")
        ax.set_ylim(1e-6, 3)
    return figure


def cyclic_mean(kernel: Values) -> Values:
    """The mean of the kernel at each cyclic distance, (n,)."""
    return np.mean([np.roll(row, -i) for i, row in enumerate(kernel)], axis=0)


def geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def final(groups: dict[str, list[Run]]) -> Table:
    rows = []
    for label, runs in groups.items():
        row = {"mapping": label}
        for i, name in enumerate(("train", "test")):
            got = geometric([getattr(run, name)[-1] for run in runs])
            said = geometric([getattr(run, f"{name}_predicted")[-1] for run in runs])
            row |= {
                name: f"{got:.2g}",
                f"{name} predicted": f"{said:.2g}",
                "measured / predicted " + name: f"{got / said:.2f}",
            }
            published = PUBLISHED.get(label)
            row |= {
                f"{name} published": "" if published is None else f"{published[i]:.2g}",
                f"{name} / published": "" if published is None else f"{got / published[i]:.2g}",
            }
        rows.append(row)
    return rows


def by_frequency(groups: dict[str, list[Run]]) -> Table:
    """Tabulate the errors at a tenth of the training and at the end."""
    rows = []
    for label, runs in groups.items():
        row = {"mapping": label}
        for share in (0.1, 1.0):
            step = share * runs[0].steps[-1]
            for i, k in enumerate(FREQUENCIES):
                pairs = [
                    (
                        run.errors[np.argmin(np.abs(run.steps - step)), i],
                        np.interp(
                            run.steps[np.argmin(np.abs(run.steps - step))],
                            run.times,
                            run.errors_predicted[:, i],
                        ),
                    )
                    for run in runs
                ]
                got, said = (geometric([pair[j] for pair in pairs]) for j in (0, 1))
                row[f"k = {k}, step {step:.0f}"] = f"{got:.2g} | {said:.2g}"
        rows.append(row)
    return rows


def kernels(groups: dict[str, list[Run]]) -> Table:
    """Describe the kernel of the first line: cyclicity, largest eigenvalue, and learning speed of each frequency."""
    rows = []
    for label, runs in groups.items():
        kernel = runs[0].kernel
        row = cyclic_mean(kernel)
        cyclic = np.stack([np.roll(row, i) for i in range(len(row))])
        off = ((kernel - cyclic) ** 2).sum() / ((kernel - kernel.mean()) ** 2).sum()
        speeds = np.abs(np.fft.rfft(row))
        # Waves are eigenvectors, and have a speed, only if the kernel is cyclic.
        speed = {k: f"{speeds[k] / speeds[1]:.2g}" if off < 0.5 else "" for k in FREQUENCIES[1:]}
        rows.append(
            {
                "mapping": label,
                "not cyclic (share of its variance)": f"{off:.2g}",
                "largest eigenvalue": f"{np.linalg.eigvalsh(kernel)[-1]:.3g}",
                **{f"speed of k = {k} over that of k = 1": value for k, value in speed.items()},
            }
        )
    return rows


# Figure 4


class Point(NamedTuple):
    """One set of frequencies on one line: their root mean square over the training Nyquist frequency, and errors."""

    family: str
    exponent: float
    deviation: float
    nyquist: float
    train: float
    test: float


def point(directory: Path, result: Result) -> Point:
    signal: Any
    encoding: Any
    _, model = prepare(read_config(directory))
    signal, encoding = model.batches.signal, model.field.encoding
    metrics = result.metrics
    mean_square = {
        name: float(signal.values[part].square().mean()) for name, part in parts(signal).items() if part.any()
    }
    weights = (
        encoding.amplitudes.square()
        if encoding.amplitudes is not None
        else torch.ones(len(encoding.frequencies))
    )
    spread = (weights[:, None] * encoding.frequencies.square()).sum() / weights.sum()
    return Point(
        family=str(result.label).partition("-")[0],
        exponent=float(result.config["signal"]["exponent"]),
        deviation=float(spread.sqrt()),
        nyquist=max(signal.domain.nyquist),
        train=metrics["train/nmse"] * mean_square["train"],
        test=metrics["test/nmse"] * mean_square["test"],
    )


def curves(points: Sequence[Point]) -> dict[tuple[float, str], tuple[Values, Values, Values]]:
    """By exponent and family: deviations, and the geometric means of train and test errors over the lines."""
    grouped: dict[tuple[float, str], dict[float, list[Point]]] = {}
    for p in points:
        grouped.setdefault((p.exponent, p.family), {}).setdefault(round(p.deviation, 6), []).append(p)
    found = {}
    for key, by_deviation in grouped.items():
        order = sorted(by_deviation)
        train, test = (
            np.array([geometric([getattr(p, name) for p in by_deviation[d]]) for d in order])
            for name in ("train", "test")
        )
        found[key] = (np.array(order), train, test)
    return found


def u_curves(points: Sequence[Point]) -> Figure:
    found = curves(points)
    exponents = sorted({exponent for exponent, _ in found})
    figure = Figure(figsize=(5 * len(exponents), 4.2), dpi=80, layout="constrained")
    for ax, exponent in zip(figure.subplots(1, len(exponents), squeeze=False)[0], exponents, strict=True):
        for (other, family), (deviation, train_error, test_error) in found.items():
            if other == exponent:
                (line,) = ax.loglog(deviation, test_error, "o-", markersize=4, label=family)
                ax.loglog(deviation, train_error, ":", color=line.get_color())
        ax.axvline(points[0].nyquist, color="black", linestyle="--", linewidth=1)
        ax.set(title=f"noise 1 / f^{exponent:g}: test (solid), train (dotted)")
        ax.set(xlabel="deviation of the frequencies (cycles); line: Nyquist", ylabel="mean squared error")
        # The values lie in [-1/2, 1/2]; errors below 1e-8 are rounding of float32 and chance.
        ax.set_ylim(1e-8, 0.2)
    ax.legend()
    return figure


def best(points: Sequence[Point]) -> Table:
    nyquist = points[0].nyquist
    rows = []
    for (exponent, family), (deviation, _, test) in sorted(curves(points).items()):
        least = int(np.argmin(test))
        error, place = PUBLISHED_BEST.get(exponent, (None, ""))
        rows.append(
            {
                "exponent": f"{exponent:g}",
                "family": family,
                "least error": f"{test[least]:.2g}",
                "at deviation": f"{deviation[least]:.3g}",
                "over Nyquist": f"{deviation[least] / nyquist:.2g}",
                "at the narrowest / least": f"{test[0] / test[least]:.3g}",
                "at the widest / least": f"{test[-1] / test[least]:.3g}",
                "published least error": "" if error is None else f"{error:g}",
                "least / published": "" if error is None else f"{test[least] / error:.2g}",
                "its deviation, Nyquist 512": place,
            }
        )
    return rows


if __name__ == "__main__":
    main()
