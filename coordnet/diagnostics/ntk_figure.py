"""A figure of the tangent kernels of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coordnet.viz import Picture, figure_to_image

# Eigenvalues below this share of the largest are rounding errors of float64.
_ROUNDING = 1e-14

Record = Mapping[str, Any]


def draw_ntk(records: Sequence[Record], reason: str | None) -> Picture:
    """Draw four panels: eigenvalues, energy of the target along the eigenvectors, the last kernel, and the loss.

    Args:
        records: Contents of the run's ntk-*.npz files by rising step: "step", "eigenvalues" (n,), "energy" (n,),
            "kernel" (n, n) and "mse". The first record also has "predicted_steps" and "predicted_mse" if the loss can
            be predicted.
        reason: Reason why the loss cannot be predicted, or None.
    """
    figure = Figure(figsize=(11, 8), dpi=80)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.07, top=0.95, hspace=0.25, wspace=0.2)
    axes = figure.subplots(2, 2)
    colors = colormaps["viridis"](np.linspace(0, 0.9, len(records)))
    for record, color in zip(records, colors, strict=True):
        eigenvalues = record["eigenvalues"]
        order = 1 + np.arange(len(eigenvalues))
        shown = eigenvalues > _ROUNDING * eigenvalues[0]
        name = f"step {int(record['step'])}"
        axes[0, 0].loglog(order[shown], eigenvalues[shown], color=color, label=name)
        axes[0, 1].semilogx(order, np.cumsum(record["energy"]), color=color, label=name)
    axes[0, 0].set(title="eigenvalues of the tangent kernel", xlabel="number", ylabel="eigenvalue")
    axes[0, 1].set(
        title="energy of the target in the first eigenvectors",
        xlabel="how many",
        ylim=(0, 1.02),
        ylabel="share",
    )
    if len(records) <= 12:
        axes[0, 1].legend(loc="upper left", fontsize=8)
    kernel = records[-1]["kernel"]
    top = max(np.quantile(np.abs(kernel), 0.99), np.finfo(np.float32).tiny)
    image = axes[1, 0].imshow(kernel / top, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    axes[1, 0].set(title=f"kernel at step {int(records[-1]['step'])}, over the 99th percentile of its values")
    axes[1, 0].set(xlabel="point", ylabel="point")
    figure.colorbar(image, ax=axes[1, 0])
    _draw_loss(axes[1, 1], records, reason)
    return figure_to_image(figure)


def _draw_loss(axes: Axes, records: Sequence[Record], reason: str | None) -> None:
    """Draw the measured mean squared error at the points and the prediction, if there is one."""
    steps = [int(record["step"]) for record in records]
    axes.plot(steps, [float(record["mse"]) for record in records], "ko", markersize=4, label="measured")
    axes.set(title="mean squared error at the points", xlabel="step", yscale="log")
    # A symmetric logarithm, because the axis starts at 0.
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(-0.2, 1.5 * max(1, steps[-1]))
    first = records[0]
    if "predicted_mse" in first:
        axes.plot(first["predicted_steps"], first["predicted_mse"], label="predicted by the kernel at step 0")
        axes.legend(fontsize=8)
    else:
        text = f"No prediction: {reason or 'there is no kernel of step 0'}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=9, wrap=True)
