"""The tangent kernels of encodings on an image: eigenvalues, kernels and eigenvectors beside what is published.

    python scripts/ntk.py [--paper] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=ntk`, with `--paper` takes the untrained networks of `ablation=ntk_paper` (Yuce et al. 2022), in two
processes of one thread each, or reads a finished sweep. Further overrides go to `coordnet train`.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from reproduction import print_table, save, train

from coordnet.coords import Domain
from coordnet.diagnostics.ntk import (
    condition_number,
    effective_rank,
    eigendecomposition,
    entropy_rank,
    num_for_share,
    tangent_kernel,
)
from coordnet.encodings.fourier import gaussian
from coordnet.fields.field import Field
from coordnet.networks.mlp import Mlp
from coordnet.reports.results import Metrics, load_sweep
from coordnet.reports.tables import Table
from coordnet.training.callbacks.ntk import in_double

Values = NDArray[np.floating]

SHOWN = (1, 2, 3, 5, 10, 30, 100)
# Speeds below this share of the fastest are not drawn: rounding of float64.
FLOOR = 1e-13


class Kernel(NamedTuple):
    """At one step of one run, on a square grid of side s.

    Attributes:
        step: 0 before training.
        matrix: (s^2, s^2).
        eigenvalues: (s^2,), falling.
        eigenvectors: (s^2, k), the first ones.
        energy: (s^2,), shares of the image's energy along the eigenvectors.
    """

    step: int
    matrix: Values
    eigenvalues: Values
    eigenvectors: Values
    energy: Values

    @property
    def side(self) -> int:
        return round(len(self.matrix) ** 0.5)


class Run(NamedTuple):
    """One encoding: its kernels before and after training, which are one where nothing is trained."""

    before: Kernel
    after: Kernel
    metrics: Metrics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    options.figures.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    name = "ntk" + "_paper" * options.paper
    sweep = options.sweep or train(name, overrides)
    runs: dict[str, Run] = {}
    for result in load_sweep(sweep).finished:
        files = sorted((sweep / result.run).glob("ntk-*.npz"))
        runs.setdefault(str(result.label), Run(read(files[0]), read(files[-1]), result.metrics))
    save(curves(runs), options.figures / f"{name}.png")
    save(pictures(runs), options.figures / f"{name}_eigenvectors.png")
    print_table("The tangent kernel before training / after it", table(runs))
    print(
        f"\n512 points of a network of 3 x 256 with 256 Gaussian frequencies, one thread: {seconds():.2f} s"
    )


def read(file: Path) -> Kernel:
    record = np.load(file)
    return Kernel(
        int(record["step"]), record["kernel"], record["eigenvalues"], record["eigenvectors"], record["energy"]
    )


def curves(runs: dict[str, Run]) -> Figure:
    """Eigenvalues and energies, dashed after training; and the kernel of two pixels along their row."""
    figure = Figure(figsize=(18, 5), dpi=75, layout="constrained")
    axes = figure.subplots(1, 4)
    colors = colormaps["turbo"](np.linspace(0.03, 0.97, len(runs)))
    for (label, run), color in zip(runs.items(), colors, strict=True):
        for kernel, style in ((run.before, "-"), (run.after, "--")):
            number = np.arange(1, len(kernel.eigenvalues) + 1)
            relative = kernel.eigenvalues / kernel.eigenvalues[0]
            real = relative > FLOOR
            name = label if style == "-" else None
            axes[0].loglog(number[real], relative[real], style, color=color, label=name, linewidth=1.2)
            axes[1].semilogx(number, np.cumsum(kernel.energy), style, color=color, linewidth=1.2)
        for ax, place in zip(axes[2:], places(run.before.side), strict=True):
            along = seen_from(run.before, place)[place]
            ax.plot(along / np.abs(along).max(), color=color, linewidth=1.2)
    axes[0].set(
        title="eigenvalues over the largest (dashed: after training)", xlabel="number", ylim=(1e-9, 1.5)
    )
    axes[1].set(title="energy of the image in the first eigenvectors", xlabel="how many", ylim=(0, 1.02))
    axes[2].set(title="kernel of the central pixel along its row", xlabel="pixel")
    axes[3].set(title="kernel of a pixel near the corner along its row", xlabel="pixel")
    axes[0].legend(loc="lower left", fontsize=8)
    return figure


def places(side: int) -> tuple[int, int]:
    """The row, and column, of the central pixel and of one near the corner."""
    return side // 2, side // 8


def seen_from(kernel: Kernel, place: int) -> Values:
    """The kernel of the pixel in that row and column with all others, as an image."""
    return kernel.matrix[place * kernel.side + place].reshape(kernel.side, kernel.side)


def pictures(runs: dict[str, Run]) -> Figure:
    """Draw for each variant: the kernel of two pixels, and some eigenvectors, before training."""
    heads = ["kernel of the center", "near the corner", *(f"eigenvector {k}" for k in SHOWN)]
    figure = Figure(figsize=(1.5 * len(runs) + 0.6, 1.5 * len(heads) + 0.3), dpi=70, layout="constrained")
    axes = figure.subplots(len(heads), len(runs), squeeze=False)
    for column, (label, run) in zip(axes.T, runs.items(), strict=True):
        images = [seen_from(run.before, place) for place in places(run.before.side)]
        images += [run.before.eigenvectors[:, k - 1].reshape(run.before.side, -1) for k in SHOWN]
        for ax, image in zip(column, images, strict=True):
            top = np.abs(image).max()
            ax.imshow(image, cmap="RdBu", vmin=-top, vmax=top, interpolation="nearest")
            ax.set(xticks=(), yticks=())
        column[0].set_title(label, fontsize=10)
    for ax, head in zip(axes[:, 0], heads, strict=True):
        ax.set_ylabel(head, fontsize=8)
    return figure


def table(runs: dict[str, Run]) -> Table:
    rows = []
    for label, run in runs.items():
        row = {"variant": label}
        for kernel in (run.before, *([run.after] if run.after.step else [])):
            eigenvalues, energy = torch.from_numpy(kernel.eigenvalues), torch.from_numpy(kernel.energy)
            entries = {
                "effective rank": f"{effective_rank(eigenvalues):.3g}",
                "entropy rank": f"{entropy_rank(eigenvalues):.3g}",
                "eigenvectors for 90 %": str(num_for_share(energy, 0.9)),
                "energy at a tenth of the fastest or more": (
                    f"{float(energy[eigenvalues >= 0.1 * eigenvalues[0]].sum()):.2f}"
                ),
                "condition": f"{condition_number(eigenvalues):.0e}",
                "not of the shift alone": f"{shift_dependence(kernel):.2f}",
            }
            row = {**row, **{k: f"{row[k]} / {v}" if k in row else v for k, v in entries.items()}}
        for metric in ("train/psnr", "test/psnr"):
            if metric in run.metrics:
                row[metric.replace("/psnr", " PSNR")] = f"{run.metrics[metric]:.2f}"
        rows.append(row)
    return rows


def shift_dependence(kernel: Kernel) -> float:
    """The share of the kernel's variance that is not explained by its mean at each displacement: 0 is stationary."""
    side = kernel.side
    y, x = np.divmod(np.arange(side * side), side)
    shift = (y[:, None] - y + side) * 2 * side + (x[:, None] - x + side)
    count = np.bincount(shift.ravel())
    mean = np.bincount(shift.ravel(), kernel.matrix.ravel()) / np.maximum(count, 1)
    return float(((kernel.matrix - mean[shift]) ** 2).mean() / kernel.matrix.var())


def seconds() -> float:
    """To compute kernel and spectrum in float64, the least of five times."""
    domain = Domain((64, 64), 2)
    encoding = gaussian(domain)
    field = in_double(Field(encoding, Mlp(encoding.out_dim, 3), (0.0, 1.0)))
    points = domain.grid().double().flatten(0, 1)[::8]
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        eigendecomposition(tangent_kernel(field, points))
        taken.append(time.perf_counter() - start)
    return min(taken)


if __name__ == "__main__":
    main()
