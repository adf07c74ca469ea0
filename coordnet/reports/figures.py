"""The pictures of a sweep: curves and heat maps as SVG, and a sheet of what its jobs drew."""

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
    FLOOR,
    TOP,
    Kind,
    columns,
    error_map,
    first_beyond,
    label,
    learners,
    shared_steps,
)
from coordnet.reports.results import Result, Sweep
from coordnet.reports.tables import heading, number
from coordnet.reports.variants import Row, job_names, main_score

Values = NDArray[np.floating]

STYLE: Any = {
    # The same figure gives the same bytes.
    "svg.hashsalt": "coordnet",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.92",
}
MOST_COLORS = 10
MOST_TICKS = 12
MOST_PICTURES = 12
# In inches.
PANEL_WIDTH, PANEL_HEIGHT = 2.4, 1.9


def svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


class Curve(NamedTuple):
    """A metric of a row: at each step (s,), the mean over its jobs of the seconds and of the metric, and its deviation.

    A row that is not trained has one step.
    """

    steps: Values
    seconds: Values
    mean: Values
    std: Values


def curve(row: Row, metric: str) -> Curve:
    """Of the finished jobs that have the metric."""
    results = [result for result in row.finished if metric in result.metrics]
    steps = shared_steps(results)
    kept = [[m for m in result.history if m["step"] in steps] for result in results]
    seconds, values = (
        np.array([[m.get(key, np.nan) for m in history] for history in kept]) for key in ("seconds", metric)
    )
    values[~np.isfinite(values)] = np.nan
    std = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(len(steps))
    return Curve(np.array(steps), seconds.mean(axis=0), values.mean(axis=0), std)


def curves(rows: Sequence[Row], metric: str) -> bytes | None:
    """A metric over steps and over seconds: the mean of each row's finished jobs within one standard deviation.

    Dashed: rows that are not trained. Returns an SVG, or None where there is nothing to draw.
    """
    found = {row.name: curve(row, metric) for row in rows if row.values(metric)}
    trained = {row.name for row in rows if learners(row)}
    lines = [line for name, line in found.items() if name in trained]
    if not lines:
        return None
    with matplotlib.rc_context(STYLE):
        ncols = math.ceil(len(found) / 20)
        figure = Figure(figsize=(10 + 1.6 * ncols, 4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for color, (name, line) in zip(colors(len(found)), found.items(), strict=True):
            for axes, x in zip(panels, (line.steps, line.seconds), strict=True):
                if name in trained:
                    axes.plot(x, line.mean, color=color, linewidth=1.5, label=plain(name))
                    axes.fill_between(
                        x, line.mean - line.std, line.mean + line.std, color=color, alpha=0.15, linewidth=0
                    )
                else:
                    axes.axhline(line.mean[-1], color=color, linewidth=1.2, linestyle="--", label=plain(name))
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
        limits(panels[0], found, trained, metric)
        panels[0].set_ylabel(heading(metric))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, ncols=ncols)
        return svg(figure)


def limits(axes: Axes, found: Mapping[str, Curve], trained: Set[str], metric: str) -> None:
    """Fit the y axis to what is trained, and to what is not where that is not far off."""
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


def colors(count: int) -> list[Any]:
    """Ten that are easy to tell apart, or as many as needed from dark to bright."""
    if count <= MOST_COLORS:
        return list(matplotlib.color_sequences["tab10"][:count])
    return list(colormaps["turbo"](np.linspace(0.05, 0.95, count)))


def heat_maps(rows: Sequence[Row], kind: Kind) -> bytes | None:
    """The error of each part of the spectrum over steps, a panel per trained row.

    A dashed line marks the training Nyquist frequency. Returns an SVG, or None where there is nothing to draw.
    """
    names = columns(rows, kind)
    maps = {row.name: error_map(row, names) for row in rows if learners(row)}
    maps = {name: found for name, found in maps.items() if np.isfinite(found[1]).any()}
    if not maps:
        return None
    beyond = first_beyond(rows, kind)
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
            axes = figure.add_axes(place, title=plain(name))
            image = draw_map(axes, steps, errors)
            ticks = range(0, len(names), -(-len(names) // MOST_TICKS))
            axes.set_yticks(ticks, [label(names[t], kind) if across == 0 else "" for t in ticks])
            if beyond is not None:
                axes.axhline(beyond - 0.5, color="deepskyblue", linewidth=1.5, linestyle="--")
            if i + ncols >= len(maps):
                axes.set_xlabel("steps")
        bar = figure.add_axes((1 - 0.75 / width, 0.5 / height, 0.15 / width, 1 - 0.9 / height))
        figure.colorbar(image, cax=bar)
        bar.set_title("log10", fontsize=8)
        return svg(figure)


def draw_map(axes: Axes, steps: Values, errors: Values) -> Any:
    """Cells around each step, evenly high; the first one starts at step 0."""
    middles = (steps[1:] + steps[:-1]) / 2
    last = steps[-1] or 1
    across = np.concatenate([[0], middles, [last]])
    up = np.arange(len(errors) + 1) - 0.5
    colors = Normalize(math.log10(FLOOR), math.log10(TOP))
    image = axes.pcolormesh(across, up, errors, cmap="magma", norm=colors, rasterized=True)
    axes.set_xscale("symlog", linthresh=float(steps[1]) if len(steps) > 1 else 1.0, linscale=0.3)
    axes.set_facecolor("0.85")
    return image


def contact_sheet(directory: Path, sweep: Sweep, rows: Sequence[Row]) -> viz.Picture | None:
    """The last picture of every job, or of the first of each row where there are many; None where there are none."""
    few = len(sweep.results) <= MOST_PICTURES
    names = dict(zip((result.run for result in sweep.results), job_names(sweep), strict=True))
    score = main_score(rows)
    pictures: dict[str, viz.Picture] = {}
    for row in rows:
        found = ((result, last_picture(directory / result.run / "images")) for result in row.results)
        there = [(result, picture) for result, picture in found if picture is not None]
        for result, picture in there if few else there[:1]:
            pictures[caption(names[result.run], result, score)] = picture
    return viz.image_grid(pictures) if pictures else None


def caption(name: str, result: Result, score: str | None) -> str:
    if not result.finished:
        return f"{name}: {result.status}"
    if score is None or score not in result.metrics:
        return name
    return f"{name}: {heading(score)} {number(score, result.metrics[score])}"


def last_picture(folder: Path) -> viz.Picture | None:
    """The newest one that is whole: a run that was killed may leave one that is not."""
    for file in sorted(folder.glob("target-prediction*.png"), reverse=True):
        try:
            return imageio.imread(file)
        except (OSError, SyntaxError, ValueError):
            continue
    return None
