"""A figure of the measurements of an encoding."""

from textwrap import fill

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coordnet.coords import Domain
from coordnet.diagnostics.encoding_report import Report
from coordnet.encodings.base import Encoding
from coordnet.viz import Picture, figure_to_image

_MAX_POSITIONS = 512
# Letters in a line of the title.
_LETTERS = 150


def draw_encoding(title: str, encoding: Encoding, domain: Domain, report: Report) -> Picture:
    """Draw six panels: features along x, frequencies, kernel, step response, Gram matrix, and shift.

    Args:
        title: Title that names the encoding and the signal.
        encoding: Encoding of coordinates of `domain`.
        domain: Domain of the signal.
        report: Result of `measure_encoding`, with an entry "signal" if the spectrum of the signal is known.
    """
    figure = Figure(figsize=(15, 8), dpi=90, layout="constrained")
    figure.suptitle(fill(title, _LETTERS))
    axes = figure.subplots(2, 3)
    _draw_features(axes[0, 0], encoding, domain, report)
    _draw_frequencies(axes[0, 1], report)
    _draw_kernel(axes[0, 2], report)
    _draw_response(axes[1, 0], report)
    _draw_eigenvalues(axes[1, 1], report)
    _draw_shift(axes[1, 2], report)
    return figure_to_image(figure)


def _coords_along_x(domain: Domain) -> Tensor:
    """Return coordinates (n, dim) of neighboring samples through the center, along the first axis."""
    n = domain.size[0]
    index = (torch.tensor(domain.size) // 2).repeat(min(n, _MAX_POSITIONS), 1)
    index[:, 0] = max(0, n - _MAX_POSITIONS) // 2 + torch.arange(len(index))
    return domain.index_to_coords(index)


def _draw_features(axes: Axes, encoding: Encoding, domain: Domain, report: Report) -> None:
    features = encoding(_coords_along_x(domain)).detach().numpy()
    scale = np.maximum(np.abs([report["range"]["min"], report["range"]["max"]]).max(axis=0), 1e-12)
    left = max(0, domain.size[0] - _MAX_POSITIONS) // 2
    extent = (float(left), float(left + len(features)), features.shape[1] - 0.5, -0.5)
    axes.imshow(features.T / scale[:, None], aspect="auto", cmap="RdBu", vmin=-1, vmax=1, extent=extent)
    axes.set(
        title="features along x, each over its largest value",
        xlabel="position (samples)",
        ylabel="feature",
    )


def _draw_frequencies(axes: Axes, report: Report) -> None:
    found = report["frequencies"]
    axes.set(title="frequencies", xlabel="cycles across the domain")
    axes.set_xscale("log", base=2)
    if found is not None:
        values = np.array(found["values"])
        edges = 2.0 ** np.arange(np.floor(np.log2(values.min())), np.log2(values.max()) + 1.5, 0.5)
        axes.hist(values, bins=edges.tolist(), color="tab:blue", alpha=0.7)
        axes.set_ylabel("waves of the encoding, per half octave", color="tab:blue")
        axes.axvline(found["training_nyquist"], color="black", linestyle="--", linewidth=1)
        axes.text(
            found["training_nyquist"],
            0.98,
            "training Nyquist",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
        )
    signal = report.get("signal")
    if signal is not None:
        twin = axes.twinx()
        centers = np.array(signal["octaves"]) * np.sqrt(2)
        twin.plot(centers, signal["power"], "o-", color="tab:orange")
        twin.set_yscale("log")
        twin.set_ylabel("power of the signal, per octave", color="tab:orange")
    elif found is None:
        axes.text(0.5, 0.5, "no waves", transform=axes.transAxes, ha="center")


def _draw_kernel(axes: Axes, report: Report) -> None:
    kernel = report["kernel"]
    axes.plot(kernel["distance"], kernel["value"], linewidth=1)
    axes.axhline(0, color="gray", linewidth=0.5)
    source = "closed form" if kernel["closed_form"] else "mean over positions"
    shift = "shift (training samples)"
    if kernel["width"] is not None:
        axes.axvline(kernel["width"], color="tab:red", linewidth=1)
        axes.set_xlim(0, min(max(16.0, 12 * kernel["width"]), kernel["distance"][-1]))
        shift += f"; half width {kernel['width']:.3g}"
    axes.set(
        title=f"kernel along x ({source})", xlabel=shift, ylabel="gamma(x) . gamma(x + shift), normalized"
    )


def _draw_response(axes: Axes, report: Report) -> None:
    response = np.array(report["step_response"])
    axes.semilogy(np.maximum(response, 1e-8), ".", markersize=4, label="step of one training sample along x")
    axes.semilogy(np.maximum(report["range"]["std"], 1e-8), "_", color="gray", label="standard deviation")
    axes.set(title="response of each feature", xlabel="feature", ylabel="root mean square change")
    axes.legend(loc="lower left", fontsize=8)


def _draw_eigenvalues(axes: Axes, report: Report) -> None:
    gram = report["gram"]
    eigenvalues = np.maximum(np.array(gram["eigenvalues"]) / gram["eigenvalues"][0], 1e-20)
    axes.semilogy(eigenvalues, ".", markersize=4)
    axes.set_ylim(min(1e-3, eigenvalues.min() / 2), 2)
    axes.set(
        title=f"Gram matrix over the samples: rank {gram['rank']} of {report['features']}",
        xlabel="eigenvalue",
        ylabel="over the largest",
    )


def _draw_shift(axes: Axes, report: Report) -> None:
    names = ("linear", "affine", "rotation")
    for i, shift in enumerate(report["shift"]):
        values = [max(shift[name], 1e-16) if shift[name] is not None else np.nan for name in names]
        place = np.arange(len(names)) + 0.4 * i - 0.2
        axes.bar(place, values, width=0.38, label=f"by {shift['by']} training samples")
    axes.set_yscale("log")
    axes.set_ylim(1e-16, 3)
    axes.set_xlim(-0.5, 2.5)
    axes.set_xticks(np.arange(len(names)), ["best linear map", "best affine map", "exact rotation"])
    axes.set(title="residual of gamma(x) -> gamma(x + shift)", ylabel="1: no better than the mean")
    axes.legend(fontsize=8)
