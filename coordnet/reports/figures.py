"""The figures of a sweep: curves and heat maps as SVG, and a contact sheet of the jobs' pictures."""

import io
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as imageio
import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from coordnet import viz
from coordnet.reports.frequencies import (
    MAX_ERROR,
    MIN_ERROR,
    Kind,
    error_columns,
    error_map,
    first_beyond,
    frequency_label,
    shared_steps,
    trained_results,
)
from coordnet.reports.results import Result, Sweep
from coordnet.reports.tables import format_metric, heading
from coordnet.reports.variants import Variant, job_names, main_score

Values = NDArray[np.floating]

STYLE: Any = {
    # A fixed salt makes equal figures equal byte by byte.
    "svg.hashsalt": "coordnet",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.92",
}
MAX_COLORS = 10
MAX_TICKS = 12
MAX_PICTURES = 12
# Size of a panel in inches.
PANEL_WIDTH, PANEL_HEIGHT = 2.4, 1.9


def _to_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _escape(text: str) -> str:
    """Escape dollar signs, which would start a formula in matplotlib."""
    return text.replace("$", r"\$")


class Curve(NamedTuple):
    """A metric of a variant over training. A variant that is not trained has one step.

    Attributes:
        steps: Evaluated steps (s,).
        seconds: Mean training seconds of the jobs at each step (s,).
        mean: Mean of the metric over the jobs (s,).
        std: Sample standard deviation of the metric over the jobs (s,).
    """

    steps: Values
    seconds: Values
    mean: Values
    std: Values


def mean_curve(variant: Variant, metric: str) -> Curve:
    """Average a metric over the finished jobs that have the metric, at the steps that all of them share."""
    results = [result for result in variant.finished if metric in result.metrics]
    steps = shared_steps(results)
    kept = [[m for m in result.history if m["step"] in steps] for result in results]
    seconds, values = (
        np.array([[m.get(key, np.nan) for m in history] for history in kept]) for key in ("seconds", metric)
    )
    values[~np.isfinite(values)] = np.nan
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    return Curve(np.array(steps), seconds.mean(axis=0), values.mean(axis=0), std)


def draw_curves(variants: Sequence[Variant], metric: str) -> bytes | None:
    """Draw a metric over steps and over seconds: the mean of each variant's finished jobs within one deviation.

    Dashed lines are variants that are not trained.

    Returns:
        An SVG, or None if no trained variant has the metric.
    """
    found = {variant.name: mean_curve(variant, metric) for variant in variants if variant.values(metric)}
    trained = {variant.name for variant in variants if trained_results(variant)}
    lines = [line for name, line in found.items() if name in trained]
    if not lines:
        return None
    with matplotlib.rc_context(STYLE):
        ncols = math.ceil(len(found) / 20)
        figure = Figure(figsize=(10 + 1.6 * ncols, 4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for color, (name, line) in zip(_colors(len(found)), found.items(), strict=True):
            for axes, x in zip(panels, (line.steps, line.seconds), strict=True):
                if name in trained:
                    axes.plot(x, line.mean, color=color, linewidth=1.5, label=_escape(name))
                    axes.fill_between(
                        x, line.mean - line.std, line.mean + line.std, color=color, alpha=0.15, linewidth=0
                    )
                else:
                    axes.axhline(
                        line.mean[-1], color=color, linewidth=1.2, linestyle="--", label=_escape(name)
                    )
        ranges = {
            "steps": np.concatenate([line.steps for line in lines]),
            "seconds of training": np.concatenate([line.seconds for line in lines]),
        }
        for axes, (unit, points) in zip(panels, ranges.items(), strict=True):
            axes.set_xscale(
                "symlog", linthresh=points[points > 0].min(initial=points.max() or 1), linscale=0.3
            )
            axes.set_xlim(0, points.max() or 1)
            axes.set_xlabel(unit)
            axes.grid(True)
        _set_limits(panels[0], found, trained, metric)
        panels[0].set_ylabel(heading(metric))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, ncols=ncols)
        return _to_svg(figure)


def _set_limits(axes: Axes, found: Mapping[str, Curve], trained: Set[str], metric: str) -> None:
    """Fit the y axis to the trained variants, and to the untrained variants that are near."""
    lines = [found[name] for name in trained & found.keys()]
    if metric.endswith("nmse") and any((line.mean > 0).any() for line in lines):
        axes.set_yscale("log")
        return
    ends = np.concatenate([line.mean + sign * line.std for line in lines for sign in (-1, 1)])
    if not np.isfinite(ends).any():
        return
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    near = [line.mean[-1] for line in found.values() if abs(line.mean[-1] - (low + high) / 2) <= high - low]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.05 * (high - low) or 1
    axes.set_ylim(float(low - margin), float(high + margin))


def _colors(count: int) -> list[Any]:
    """Return up to ten distinct colors, or a range of hues for more."""
    if count <= MAX_COLORS:
        return list(matplotlib.color_sequences["tab10"][:count])
    return list(colormaps["turbo"](np.linspace(0.05, 0.95, count)))


def draw_heat_maps(variants: Sequence[Variant], kind: Kind) -> bytes | None:
    """Draw the error of each part of the spectrum over steps, one panel per trained variant.

    A dashed line marks the training Nyquist frequency.

    Returns:
        An SVG, or None if no trained variant has such errors.
    """
    names = error_columns(variants, kind)
    maps = {variant.name: error_map(variant, names) for variant in variants if trained_results(variant)}
    maps = {name: found for name, found in maps.items() if np.isfinite(found[1]).any()}
    if not maps:
        return None
    beyond = first_beyond(variants, kind)
    ncols = min(4, len(maps))
    nrows = -(-len(maps) // ncols)
    width, height = 0.9 + PANEL_WIDTH * ncols + 0.8, 0.6 + PANEL_HEIGHT * nrows
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=200)
        for i, (name, (steps, errors)) in enumerate(maps.items()):
            across, down = i % ncols, i // ncols
            left, bottom = 0.9 + PANEL_WIDTH * across, height - PANEL_HEIGHT * (down + 1)
            place = (
                left / width,
                bottom / height,
                (PANEL_WIDTH - 0.3) / width,
                (PANEL_HEIGHT - 0.5) / height,
            )
            axes = figure.add_axes(place, title=_escape(name))
            image = _draw_map(axes, steps, errors)
            ticks = range(0, len(names), -(-len(names) // MAX_TICKS))
            axes.set_yticks(ticks, [frequency_label(names[t], kind) if across == 0 else "" for t in ticks])
            if beyond is not None:
                axes.axhline(beyond - 0.5, color="deepskyblue", linewidth=1.5, linestyle="--")
            if i + ncols >= len(maps):
                axes.set_xlabel("steps")
        bar = figure.add_axes((1 - 0.75 / width, 0.5 / height, 0.15 / width, 1 - 0.9 / height))
        figure.colorbar(image, cax=bar)
        bar.set_title("log10", fontsize=8)
        return _to_svg(figure)


def _draw_map(axes: Axes, steps: Values, errors: Values) -> Any:
    """Draw one cell per step and part; cells are equally high, and the first starts at step 0."""
    middles = (steps[1:] + steps[:-1]) / 2
    last = steps[-1] or 1
    across = np.concatenate([[0], middles, [last]])
    up = np.arange(len(errors) + 1) - 0.5
    norm = Normalize(math.log10(MIN_ERROR), math.log10(MAX_ERROR))
    image = axes.pcolormesh(across, up, errors, cmap="magma", norm=norm, rasterized=True)
    axes.set_xscale("symlog", linthresh=float(steps[1]) if len(steps) > 1 else 1.0, linscale=0.3)
    axes.set_facecolor("0.85")
    return image


def contact_sheet(directory: Path, sweep: Sweep, variants: Sequence[Variant]) -> viz.Picture | None:
    """Arrange the last pictures of all jobs, or of the first job of each variant if there are many jobs.

    Returns:
        The contact sheet, or None if no job has a picture.
    """
    few = len(sweep.results) <= MAX_PICTURES
    names = dict(zip((result.run for result in sweep.results), job_names(sweep), strict=True))
    score = main_score(variants)
    pictures: dict[str, viz.Picture] = {}
    for variant in variants:
        found = ((result, _last_picture(directory / result.run / "images")) for result in variant.results)
        there = [(result, picture) for result, picture in found if picture is not None]
        for result, picture in there if few else there[:1]:
            pictures[_caption(names[result.run], result, score)] = picture
    return viz.image_grid(pictures) if pictures else None


def _caption(name: str, result: Result, score: str | None) -> str:
    if not result.finished:
        return f"{name}: {result.status}"
    if score is None or score not in result.metrics:
        return name
    return f"{name}: {heading(score)} {format_metric(score, result.metrics[score])}"


def _last_picture(folder: Path) -> viz.Picture | None:
    """Read the newest picture that is whole; a killed run may leave a damaged file."""
    for file in sorted(folder.glob("target-prediction*.png"), reverse=True):
        try:
            return imageio.imread(file)
        except (OSError, SyntaxError, ValueError):
            continue
    return None
