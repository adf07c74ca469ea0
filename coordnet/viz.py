"""Arrays to pictures: values are floats, and a picture is an uint8 array (height, width, 3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]
Values = NDArray[np.floating]

# Widths in pixels: the white gap between two pictures, and the line of text above a picture.
GAP = 4
CAPTION = 28


def to_pixels(values: Values) -> Picture:
    """Clip values (height, width, channels) to [0, 1] and round them to pixels of the same shape; NaN becomes 0."""
    return (np.nan_to_num(values.clip(0, 1)) * 255 + 0.5).astype(np.uint8)


def to_rgb(values: Values) -> Picture:
    """Convert values (height, width, 1, 3 or 4) in [0, 1] to RGB; a fourth channel is opacity over white."""
    if values.shape[2] == 4:
        alpha = values[..., 3:].clip(0, 1)
        values = values[..., :3] * alpha + 1 - alpha
    return to_pixels(np.broadcast_to(values, (*values.shape[:2], 3)))


def apply_colormap(values: Values, top: float) -> Picture:
    """Color values (height, width) by a perceptual map: 0 is black, `top` and above are bright yellow."""
    from matplotlib import colormaps

    return to_pixels(colormaps["inferno"](values / top)[..., :3])


def shrink(values: Values, longest: int) -> Values:
    """Average whole blocks of (height, width, channels) until the longest side is at most `longest`."""
    factor = -(-max(values.shape[:2]) // longest)
    if factor == 1:
        return values
    rows, columns = (max(1, n // factor) for n in values.shape[:2])
    blocks = [factor if n >= factor else n for n in values.shape[:2]]
    cut = values[: rows * blocks[0], : columns * blocks[1]]
    return cut.reshape(rows, blocks[0], columns, blocks[1], -1).mean(axis=(1, 3))


def hconcat(pictures: Sequence[Picture]) -> Picture:
    """Join pictures from left to right with white gaps; lower pictures are centered vertically on white."""
    height = max(picture.shape[0] for picture in pictures)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (pad_to(picture, height, picture.shape[1]), gap)]
    return np.concatenate(parts[:-1], axis=1)


def vconcat(pictures: Sequence[Picture]) -> Picture:
    """Join pictures from top to bottom with white gaps; narrower pictures are centered horizontally on white."""
    return hconcat([picture.swapaxes(0, 1) for picture in pictures]).swapaxes(0, 1)


def upscale(picture: Picture, height: int, width: int) -> Picture:
    """Repeat each pixel by the largest whole factor that keeps the picture within (height, width), at least 1."""
    times = max(1, min(height // picture.shape[0], width // picture.shape[1]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def pad_to(picture: Picture, height: int, width: int) -> Picture:
    """Center a picture on a white canvas (height, width)."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def add_caption(picture: Picture, text: str) -> Picture:
    """Put a line of text on white above a picture."""
    from PIL import Image, ImageDraw, ImageFont

    line = Image.new("RGB", (picture.shape[1], CAPTION), "white")
    ImageDraw.Draw(line).text((GAP, 0), text, fill="black", font=ImageFont.load_default(size=20))
    return np.concatenate([np.asarray(line), picture])


def comparison_strip(target: Values, prediction: Values, longest: int = 512) -> Picture:
    """Join target, prediction and absolute error (mean over channels; full scale 0.25) from left to right.

    Args:
        target: Values (height, width, channels) in [0, 1].
        prediction: Values of the same shape, clipped to [0, 1] before the error is taken.
        longest: Largest side of each picture in pixels; larger arrays are averaged in blocks.
    """
    target, prediction = shrink(target, longest), shrink(prediction.clip(0, 1), longest)
    error = np.abs(target - prediction).mean(axis=2)
    return hconcat([to_rgb(target), to_rgb(prediction), apply_colormap(error, top=0.25)])


def figure_to_image(figure: "Figure") -> Picture:
    """Render a matplotlib figure to pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def plot_lines(
    x: Values,
    lines: dict[str, Values],
    title: str,
    dots: tuple[Values, Values] | None = None,
    gray_from: float | None = None,
) -> Picture:
    """Plot one line per name over x (n,).

    Args:
        x: Positions (n,), rising.
        lines: Name in the legend to values (n,).
        title: Title of the plot.
        dots: Coordinates x and y of black dots.
        gray_from: Position from which on the background is gray; None for a white background.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), dpi=100)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.1, top=0.9)
    axes = figure.add_subplot(title=title, xlim=(x[0], x[-1]))
    for name, y in lines.items():
        axes.plot(x, y, linewidth=1, label=name)
    if dots is not None:
        axes.plot(*dots, "k.", markersize=4, clip_on=False)
    if gray_from is not None:
        axes.axvspan(gray_from, x[-1], color="0.9", zorder=0)
    axes.legend(loc="upper right")
    return figure_to_image(figure)


def image_grid(pictures: dict[str, Picture], columns: int = 2) -> Picture:
    """Arrange pictures in a grid, each with its name above; no picture is resized."""
    from PIL import Image, ImageDraw, ImageFont

    height = max(picture.shape[0] for picture in pictures.values()) + CAPTION
    width = max(picture.shape[1] for picture in pictures.values()) + 2 * GAP
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    canvas = Image.new("RGB", (columns * width, rows * height + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=20)
    for i, (name, picture) in enumerate(pictures.items()):
        left, top = i % columns * width + GAP, i // columns * height
        draw.text((left, top), name, fill="black", font=font)
        canvas.paste(Image.fromarray(picture), (left, top + CAPTION))
    return np.asarray(canvas)
