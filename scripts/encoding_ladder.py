"""The ladder from an index to sine and cosine pairs: every figure and table of docs/positional-encoding.md.

    python scripts/encoding_ladder.py [--figures docs/images] [--sweeps outputs/encoding_ladder]

Measures every rung as `coordnet inspect` does, draws the figures, trains `ablation=encoding_ladder` (168 small runs in
two processes of one thread each) and prints the tables. The figures and what is measured before training take under a
minute (`--no-training`); the runs take about nine minutes of processor time, shared by two cores.
"""

import argparse
import csv
import math
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from reproduction import print_table, save
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.diagnostics.encoding_report import displacement, measure_encoding, rotate_features
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import positional, transformer
from coordnet.encodings.ladder import Binary, Index, Normalized, Sine
from coordnet.networks.mlp import Mlp
from coordnet.runs import metrics_file

RUNGS: dict[str, Callable[[Domain], Encoding]] = {
    "index": Index,
    "normalized": Normalized,
    "binary": Binary,
    "gray": partial(Binary, gray=True),
    "sine": Sine,
    "sinusoidal": partial(positional, min_frequency=0.5),
    "transformer": transformer,
}
LENGTHS = (8, 64, 512, 4096)
VALUES = ("smooth", "stepped", "random")
LEARNED = 0.01
# Steps of one position, and of a fifth of 512, a number that no period divides.
STEPS = (1, 101)
SHOWN = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweeps", type=Path, help="a new directory; default outputs/encoding_ladder/<time>")
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    options.figures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    domain = Domain((SHOWN,))
    rungs = {name: make(domain) for name, make in RUNGS.items()}
    figures = {
        "ladder_heat": heat_maps(rungs, domain),
        "ladder_paths": paths(domain),
        "ladder_shift": shift_maps(rungs, domain),
        "ladder_kernels": kernels(rungs, domain),
        "ladder_response": responses(),
    }
    for name, figure in figures.items():
        save(figure, options.figures / f"{name}.png")
    print_table(f"Measured before training, at {SHOWN} positions", properties(rungs, domain))
    print_table("Response of each sine to a step, root mean square, N = 512", response_table())
    print_table("Largest stable step of gradient descent on a linear layer", stable_steps())
    print_table(
        "One network for the lengths 32 and 64 at once: the value is a function of the index", two_lengths()
    )
    if not options.no_training:
        sweeps = options.sweeps or Path("outputs/encoding_ladder", time.strftime("%Y%m%d-%H%M%S"))
        results = [row for values in train(sweeps) for row in values]
        for values in VALUES:
            print_table(
                f"Trained on {values} values: error at the positions | interpolation | extrapolation",
                trained(results, values),
            )
        print_table(f"Steps until the error at the positions is below {LEARNED}", speed(results))
        print_table(
            "Share of runs that learn nothing (error at the positions of 1 or more, or diverged)",
            failed(results),
        )


# Figures


def features(encoding: Encoding, domain: Domain) -> np.ndarray:
    """Return the features (N, F) at the positions."""
    with torch.no_grad():
        return encoding(domain.grid()).double().numpy()


def heat_maps(rungs: dict[str, Encoding], domain: Domain) -> Figure:
    """Position by depth, each rung in its own range."""
    figure = Figure(figsize=(14, 5), dpi=80, layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for ax, (name, encoding) in zip(axes, rungs.items(), strict=False):
        values = features(encoding, domain)
        top = np.abs(values).max()
        image = ax.imshow(values.T, aspect="auto", cmap="RdBu", vmin=-top, vmax=top, interpolation="nearest")
        ax.set(title=f"{name} ({values.shape[1]} deep)", xlabel="position", ylabel="depth")
        figure.colorbar(image, ax=ax)
    axes[-1].axis("off")
    return figure


def paths(domain: Domain) -> Figure:
    """The first three digits jump from corner to corner; sines of the same periods run; a pair runs evenly."""
    figure = Figure(figsize=(14, 4.2), dpi=80, layout="constrained")
    fine = torch.linspace(0, 16, 1601)
    where = domain.index_to_coords(fine[:, None])
    # One sine per digit, whose sign is that digit: periods of 2, 4 and 8 positions.
    periods = torch.tensor([2.0, 4.0, 8.0])
    sines = torch.sin(2 * math.pi * (fine[:, None] + 0.5) / periods).numpy()
    digits = Binary(domain)(where)[:, :3].numpy()
    for i, (title, line) in enumerate(
        {"3 binary digits": digits, "sines of the same periods": sines}.items()
    ):
        ax: Any = figure.add_subplot(1, 4, i + 1, projection="3d")
        ax.plot(*line.T, linewidth=1)
        ax.scatter(*line[::100].T, s=14, color="black")
        ax.set_title(f"{title}: positions 0 to 16")
    one = torch.linspace(0, 1, 33) * math.pi
    ax = figure.add_subplot(1, 4, 3)
    ax.plot(torch.sin(one / 2), torch.sin(one), "o-", markersize=3)
    ax.set(
        title="two sines: equal steps, unequal distances",
        xlabel="sin(t / 2)",
        ylabel="sin(t)",
        aspect="equal",
    )
    ax = figure.add_subplot(1, 4, 4)
    ax.plot(torch.sin(2 * one), torch.cos(2 * one), "o-", markersize=3)
    ax.set(title="a pair: equal steps turn equally", xlabel="sin(2 t)", ylabel="cos(2 t)", aspect="equal")
    return figure


def shift_maps(rungs: dict[str, Encoding], domain: Domain) -> Figure:
    """The best linear map from gamma(p) to gamma(p + 1), fitted anywhere in the domain, and the exact rotation."""
    figure = Figure(figsize=(14, 4.4), dpi=80, layout="constrained")
    axes = figure.subplots(1, 4)
    report = {
        name: measure_encoding(rungs[name], domain)["shift"][0] for name in ("binary", "sine", "sinusoidal")
    }
    points = torch.rand(4096, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.9 - 1
    step = displacement(domain, 1.0)
    for ax, name in zip(axes, report, strict=False):
        encoding = RUNGS[name](domain).double()
        matrix = torch.linalg.pinv(encoding(points), rtol=1e-10) @ encoding(points + step)
        title = f"{name}: residual {report[name]['linear']:.1e}"
        ax.imshow(matrix.T, cmap="RdBu", vmin=-1, vmax=1)
        ax.set(title=title, xlabel="feature at p", ylabel="feature at p + 1")
    exact = positional(domain, min_frequency=0.5).double()
    rotation = rotate_features(exact, torch.eye(exact.out_dim, dtype=torch.float64), step)
    axes[-1].imshow(rotation.T, cmap="RdBu", vmin=-1, vmax=1)
    axes[-1].set(title=f"exact rotation: {report['sinusoidal']['rotation']:.1e}", xlabel="feature at p")
    return figure


def kernels(rungs: dict[str, Encoding], domain: Domain) -> Figure:
    """gamma(p) . gamma(q) for all pairs of positions, over the largest."""
    figure = Figure(figsize=(14, 2.6), dpi=80, layout="constrained")
    for ax, (name, encoding) in zip(figure.subplots(1, len(rungs)), rungs.items(), strict=True):
        values = features(encoding, domain)
        products = values @ values.T
        top = np.abs(products).max()
        ax.imshow(products / top, cmap="RdBu", vmin=-1, vmax=1)
        ax.set(title=name, xticks=(), yticks=())
    return figure


def responses() -> Figure:
    """Plot the change of each band with a step of one position, and of a quarter of the sequence."""
    figure = Figure(figsize=(12, 3.6), dpi=80, layout="constrained")
    domain = Domain((512,))
    for ax, name in zip(figure.subplots(1, 2), ("sinusoidal", "transformer"), strict=True):
        encoding = RUNGS[name](domain).double()
        bands = encoding.feature_frequencies()
        assert bands is not None
        for by in STEPS:
            change = response(encoding, domain, by)
            ax.loglog(bands[:, 0], change, ".", label=f"a step of {by} position{'s' * (by > 1)}")
        ax.axvline(max(domain.nyquist), color="black", linestyle="--", linewidth=1)
        ax.set(title=f"{name}, N = 512", xlabel="frequency (cycles across the sequence)", ylabel="rms change")
        ax.legend()
    return figure


def response(encoding: Encoding, domain: Domain, by: int) -> Tensor:
    """Root mean square change of each feature, (F,), over the positions, when they move on by some positions."""
    points = domain.grid().double()
    return (encoding(points + displacement(domain, float(by))) - encoding(points)).square().mean(dim=0).sqrt()


# Tables

Table = list[dict[str, str]]


def short(value: float | None) -> str:
    if value is None:
        return "-"
    return "infinite" if math.isinf(value) else f"{value:.2g}"


def properties(rungs: dict[str, Encoding], domain: Domain) -> Table:
    rows = []
    for name, encoding in rungs.items():
        report = measure_encoding(encoding, domain)
        shift = report["shift"][0]
        rows.append(
            {
                "rung": name,
                "features": str(report["features"]),
                "largest value": short(max(map(abs, [*report["range"]["min"], *report["range"]["max"]]))),
                "nearest two positions": short(report["nearest"]["distance"]),
                "steepest slope per position": short(report["lipschitz"]["per_training_sample"]),
                "shift: linear": short(shift["linear"]),
                "affine": short(shift["affine"]),
                "rotation": short(shift["rotation"]),
                "condition": short(report["gram"]["condition"]),
            }
        )
    return rows


def response_table() -> Table:
    """Tabulate the response of the sines; the cosines respond alike."""
    domain = Domain((512,))
    encoding = RUNGS["sinusoidal"](domain).double()
    bands = encoding.feature_frequencies()
    assert bands is not None
    half = encoding.out_dim // 2
    rows = [{"frequency": f"{f:g}"} for f in bands[:half, 0].tolist()]
    for by in STEPS:
        for row, change in zip(rows, response(encoding, domain, by)[:half].tolist(), strict=True):
            row[f"a step of {by}"] = short(change)
    return rows


def stable_steps() -> Table:
    """The limit 1 / (largest eigenvalue), and what 2,000 steps of gradient descent do just below and just above it."""
    rows = []
    for name in ("index", "normalized", "binary", "sinusoidal"):
        row = {"rung": name}
        for length in LENGTHS:
            domain = Domain((length,))
            encoding = RUNGS[name](domain)
            limit = measure_encoding(encoding, domain)["gram"]["largest_stable_step"]
            below, above = (descend(encoding, domain, share * limit) for share in (0.95, 1.05))
            verdict = "as predicted" if below < 1 < above else f"below {below:.1e}, above {above:.1e}"
            row[f"N = {length}"] = f"{limit:.1e} ({verdict})"
        rows.append(row)
    return rows


def descend(encoding: Encoding, domain: Domain, rate: float) -> float:
    """Growth of the weights' error, in its worst direction, over 2,000 steps of gradient descent."""
    phi = encoding.double()(domain.grid().double())
    weights = torch.randn(phi.shape[1], 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hessian = 2 / len(phi) * phi.T @ phi
    worst = torch.linalg.eigh(hessian).eigenvectors[:, -1]
    start = (worst @ weights).abs()
    for _ in range(2000):
        weights = weights - rate * hessian @ weights
    return float((worst @ weights).abs() / start)


def two_lengths() -> Table:
    """Values of the index, sin(2 pi i / 16), learned for two lengths by one network; mean error over both."""
    rows = []
    for name, options in {"normalized": {}, "normalized with the length": {"length": True}}.items():
        inputs, targets = [], []
        for length in (32, 64):
            domain = Domain((length,))
            inputs.append(Normalized(domain, **options)(domain.grid()))
            targets.append(torch.sin(2 * math.pi * torch.arange(length) / 16)[:, None])
        rows.append({"input": name, "error": short(fit(torch.cat(inputs), torch.cat(targets)))})
    return rows


def fit(inputs: Tensor, targets: Tensor) -> float:
    """Mean squared error over the targets' variance after 3,000 steps of Adam on all of them."""
    torch.manual_seed(0)
    network = Mlp(inputs.shape[1], 1, depth=3, width=128)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)
    for _ in range(3000):
        optimizer.zero_grad()
        loss = F.mse_loss(network(inputs), targets)
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item() / targets.var().item()


# Training


def train(sweeps: Path) -> Iterable[list[dict[str, Any]]]:
    """Run the sweep for each kind of values, two sweeps at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(partial(sweep, sweeps), VALUES))


def sweep(sweeps: Path, values: str) -> list[dict[str, Any]]:
    directory = sweeps / values
    command = [sys.executable, "-m", "coordnet.cli.main", "train", "ablation=encoding_ladder", "threads=1"]
    command += [f"signal.values={values}", f"hydra.sweep.dir={directory}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    with (directory / "results.csv").open() as file:
        return [with_speed(directory, row) for row in csv.DictReader(file)]


def with_speed(directory: Path, row: dict[str, Any]) -> dict[str, Any]:
    scores = metrics_file.read(directory / row["run"] / metrics_file.NAME)
    learned = [score["step"] for score in scores if score["train/nmse"] < LEARNED]
    return {**row, "learned": min(learned, default=math.inf)}


def grouped(
    results: list[dict[str, Any]], keys: tuple[str, ...]
) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    groups = defaultdict(list)
    for row in results:
        groups[tuple(row[key] for key in keys)].append(row)
    return groups


def trained(results: list[dict[str, Any]], values: str) -> Table:
    """Tabulate medians over the seeds."""
    groups = grouped(results, ("label", "signal.num_samples", "signal.values"))
    rows = []
    for name in RUNGS:
        row = {"rung": name}
        for length in LENGTHS:
            runs = groups[name, str(length), values]
            scores = (
                median(float(run[f"{m}/nmse"]) for run in runs)
                for m in ("train", "interpolation", "extrapolation")
            )
            row[f"N = {length}"] = " \\| ".join(map(short, scores))
        rows.append(row)
    return rows


def speed(results: list[dict[str, Any]]) -> Table:
    """Tabulate medians over the seeds."""
    groups = grouped(results, ("label", "signal.num_samples", "signal.values"))
    rows = []
    for name in RUNGS:
        row = {"rung": name}
        for values in ("smooth", "random"):
            for length in (64, 512, 4096):
                steps = median(run["learned"] for run in groups[name, str(length), values])
                row[f"{values}, N = {length}"] = "> 500" if math.isinf(steps) else f"{steps:.0f}"
        rows.append(row)
    return rows


def failed(results: list[dict[str, Any]]) -> Table:
    groups = grouped(results, ("label", "signal.num_samples"))
    rows = []
    for name in RUNGS:
        row = {"rung": name}
        for length in LENGTHS:
            runs = groups[name, str(length)]
            bad = [run["status"] != "finished" or not float(run["train/nmse"]) < 1 for run in runs]
            row[f"N = {length}"] = f"{sum(bad)} of {len(bad)}"
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
