"""Figures of errors by frequency, step and direction, and of the gain by frequency (MTF)."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray

from coordnet.diagnostics.bands import FLOOR, LEARNED, Bands, steps_until_learned
from coordnet.diagnostics.mtf import MTF_SECTORS, MTFCurve
from coordnet.viz import Picture, figure_to_image

Values = NDArray[np.floating]

DPI = 100
_MAX_TICKS = 9
# Straight cell sides that make the arc of a sector.
_ARC = 6
# Color scale of relative errors in dB; 0 means as much error as target.
_MIN_DECIBELS = -30.0
_SCALE = Normalize(_MIN_DECIBELS, 10)
_COLORMAP = "inferno"


def decibels(relative: Values) -> Values:
    """Convert relative errors to dB, clamped to the lowest color."""
    return 10 * np.log10(np.maximum(relative, 10 ** (_MIN_DECIBELS / 10)))


def _nyquist_line(axes: Axes, nyquist: float) -> None:
    axes.axvline(nyquist, color="black", linestyle="--", linewidth=1, label="training Nyquist")


def _color_bar(figure: Figure, mesh: QuadMesh, where: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(where)
    figure.colorbar(mesh, cax=axes, extend="both")
    axes.set_title("error /\ntarget, dB", fontsize=9)


def draw_band_powers(bands: Bands, prediction: Values, height: int) -> Picture:
    """Draw the powers of target, prediction and error per band.

    Args:
        bands: Error and target of k bands.
        prediction: Variance (k,) of the prediction by band.
        height: Height of the picture in pixels.
    """
    figure = Figure(figsize=(1.25 * height / DPI, height / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.17, right=0.97, bottom=0.17, top=0.97)
    axes = figure.add_subplot()
    center = np.sqrt(np.maximum(bands.edges[:-1], 1) * bands.edges[1:])
    top = max(bands.target.max(), bands.error.max(), prediction.max(), 1e-12)
    lowest = top * 1e-7
    lines = (("target", bands.target, "o"), ("prediction", prediction, "s"), ("error", bands.error, "x"))
    for (name, power, marker), color in zip(lines, ("black", "tab:blue", "tab:red"), strict=True):
        axes.plot(center, np.maximum(power, lowest), marker=marker, color=color, ms=4, lw=1.2, label=name)
    _nyquist_line(axes, bands.nyquist)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(lowest, top * 4)
    decades = np.arange(math.ceil(math.log10(lowest)), math.log10(top * 4), 2)
    axes.set_yticks(10.0**decades, [f"1e{decade:.0f}" for decade in decades])
    octaves = bands.edges[1:] if len(bands.edges) < 8 else bands.edges[1::2]
    axes.set_xticks(octaves, [f"{edge:g}" for edge in octaves], fontsize=8)
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("cycles across the domain", fontsize=8, labelpad=2)
    axes.set_ylabel("power per octave", fontsize=8, labelpad=2)
    axes.legend(fontsize=7, framealpha=0.6)
    return figure_to_image(figure)


def draw_history(steps: Values, bands: Bands, errors: Values) -> Picture:
    """Draw a heat map of relative errors, bands by steps, and the step from which each band is learned.

    Args:
        steps: Steps (n,) of the evaluations, at least two. The axis is logarithmic, with step 0 at the left end.
        bands: Error and target of k bands; the target's share of each band is printed.
        errors: Relative errors (k, n).
    """
    count = len(errors)
    figure = Figure(figsize=(9, 1.7 + 0.33 * count), dpi=DPI)
    tall = figure.get_figheight()
    figure.subplots_adjust(left=0.09, right=0.62, bottom=0.62 / tall, top=1 - 0.75 / tall)
    axes = figure.add_subplot()
    borders = cell_borders(steps)
    mesh = axes.pcolormesh(borders, np.arange(count + 1), decibels(errors), norm=_SCALE, cmap=_COLORMAP)
    ticks = tick_steps(steps)
    axes.set_xticks(step_positions(ticks), [f"{step:.0f}" for step in ticks])
    axes.set_yticks(np.arange(count + 1), [f"{edge:g}" for edge in bands.edges])
    axes.set_xlabel("step")
    axes.set_ylabel("cycles across the domain")
    line = int(np.searchsorted(bands.edges, bands.nyquist))
    axes.axhline(line, color="white", linewidth=2.5)
    axes.axhline(line, color="black", linestyle="--", linewidth=1.5)
    label = axes.text(0.01, line - 0.12, "training Nyquist", transform=axes.get_yaxis_transform())
    label.set(color="white", fontsize=8, va="top", bbox=dict(facecolor="black", alpha=0.5, pad=1, lw=0))
    figure.suptitle("error by frequency and step", x=0.02, y=1 - 0.1 / tall, ha="left", va="top", fontsize=12)
    _annotate_bands(axes, steps, bands, errors)
    _color_bar(figure, mesh, (0.9, 0.62 / tall, 0.02, 1 - 1.37 / tall))
    return figure_to_image(figure)


def _annotate_bands(axes: Axes, steps: Values, bands: Bands, errors: Values) -> None:
    """Print the share of the target and the step of learning of each band right of the map; empty bands in gray."""
    shares = bands.target / bands.total
    learned = [steps_until_learned(steps, error) for error in errors]
    columns = (
        [format_percent(share) for share in shares],
        [f"> {steps[-1]:,.0f}" if step is None else f"{step:,.0f}" for step in learned],
    )
    heads = ("share of\nthe target", f"learned at step\n(error < {LEARNED:g})")
    for x, head, column in zip((1.15, 1.39), heads, columns, strict=True):
        style: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "ha": "right", "fontsize": 9}
        axes.text(x, len(errors) + 0.15, head, va="bottom", **style)
        for i, text in enumerate(column):
            axes.text(x, i + 0.5, text, va="center", color="black" if shares[i] >= FLOOR else "0.6", **style)


def draw_sectors(edges: Values, nyquist: float, errors: Values) -> Picture:
    """Draw relative errors by frequency, outward, and by direction of the wave; cells without waves are gray.

    Args:
        edges: Edges (k + 1,) of the bands in cycles across the domain.
        nyquist: Training Nyquist frequency in cycles across the domain.
        errors: Relative errors (k, sectors) for equal parts of 90 degrees.
    """
    figure = Figure(figsize=(6.2, 5.8), dpi=DPI)
    axes = figure.add_axes((0.07, 0.05, 0.78, 0.88), projection="polar")
    assert isinstance(axes, PolarAxes)
    bands, sectors = errors.shape
    fine = np.linspace(0, math.pi / 2, _ARC * sectors + 1)
    angles, radii = fine[::_ARC], np.arange(1, bands + 2)
    axes.set(thetamin=0, thetamax=90, rlim=(0, bands + 1), facecolor="0.8")
    mesh = axes.pcolormesh(fine, radii, decibels(errors.repeat(_ARC, axis=1)), norm=_SCALE, cmap=_COLORMAP)
    axes.fill_between(fine, 1, color="white")
    axes.set_xticks(angles[:: sectors // 3], [f"{a:.0f}°" for a in np.degrees(angles[:: sectors // 3])])
    axes.set_yticks(radii, [f"{edge:g}" for edge in edges])
    axes.tick_params(labelsize=9)
    axes.grid(False)
    line = 1 + int(np.searchsorted(edges, nyquist))
    if line <= bands:
        axes.plot(fine, np.full(len(fine), line), color="white", linewidth=2.5)
        axes.plot(fine, np.full(len(fine), line), "k--", linewidth=1.5, label="training Nyquist")
        figure.legend(loc="upper right", fontsize=9, frameon=False)
    figure.suptitle("error by frequency and direction", x=0.02, y=0.98, ha="left", va="top", fontsize=12)
    figure.text(0.46, 0.015, "cycles across the domain; 0°: along x, 90°: along y", ha="center", fontsize=9)
    _color_bar(figure, mesh, (0.88, 0.15, 0.03, 0.6))
    return figure_to_image(figure)


def draw_mtf(curve: MTFCurve, nyquist: float) -> Picture:
    """Draw the gain over local frequency, for all directions and for parts of [0, 90] degrees.

    Args:
        curve: Gain by frequency.
        nyquist: Training Nyquist frequency in cycles across the domain.
    """
    figure = Figure(figsize=(7.6, 3.8), dpi=DPI)
    figure.subplots_adjust(left=0.09, right=0.76, bottom=0.13, top=0.9)
    axes = figure.add_subplot(title="gain of the prediction by frequency (MTF)")
    axes.axhline(0, color="0.6", linewidth=0.7)
    axes.axhline(1, color="0.6", linewidth=0.7)
    if curve.direction is None:
        for i, part in enumerate(curve.by_sector):
            low, high = 90 * i / MTF_SECTORS, 90 * (i + 1) / MTF_SECTORS
            axes.plot(curve.frequency, part, "o-", ms=3, lw=1, label=f"{low:.0f}° to {high:.0f}°")
        label = "all directions"
    else:
        label = f"{curve.gain[0]:.3f} at {curve.frequency[0]:.4g} cycles\nand {curve.direction:.4g}°"
    axes.plot(curve.frequency, curve.gain, "ko-", ms=4, lw=1.8, label=label)
    _nyquist_line(axes, nyquist)
    axes.set(xlabel="cycles across the domain", ylabel="gain", ylim=(-0.3, 1.3))
    axes.set_xlim(0, 1.05 * max(curve.frequency.max(), nyquist))
    axes.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False)
    return figure_to_image(figure)


def format_percent(share: float) -> str:
    return "0" if share == 0 else "< 0.01 %" if share < 1e-4 else f"{100 * share:.2g} %"


def step_positions(steps: Values) -> Values:
    """Return the positions of steps on the axis: log10, with step 0 a third of a decade before the first other step."""
    later = steps[steps > 0]
    start = math.log10(later.min()) - 1 / 3 if len(later) else 0.0
    return np.array([math.log10(step) if step > 0 else start for step in steps])


def cell_borders(steps: Values) -> Values:
    """Return the borders (n + 1,) halfway between steps on the axis."""
    at = step_positions(steps)
    middle = (at[1:] + at[:-1]) / 2
    return np.array([2 * at[0] - middle[0], *middle, 2 * at[-1] - middle[-1]])


def tick_steps(steps: Values) -> Values:
    """Select steps that are far enough apart on the axis for their labels, the last step among them."""
    at = step_positions(steps)
    gap = (at[-1] - at[0]) / _MAX_TICKS
    chosen = [len(steps) - 1]
    for i in reversed(range(len(steps))):
        if at[chosen[-1]] - at[i] >= gap:
            chosen.append(i)
    return steps[chosen[::-1]]
