"""Arrays to pictures. Values are floats, pictures uint8 (height, width, 3); nothing here knows a logger."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]
Values = NDArray[np.floating]

GAP = 4
CAPTION = 28


def to_pixels(values: Values) -> Picture:
    """Values (height, width, channels) in [0, 1] as pixels of the same shape, clipped and rounded; NaN is 0."""
    return (np.nan_to_num(values.clip(0, 1)) * 255 + 0.5).astype(np.uint8)


def to_rgb(values: Values) -> Picture:
    """Values (height, width, 1, 3 or 4) in [0, 1] as RGB; a fourth channel is opacity over white."""
    if values.shape[2] == 4:
        alpha = values[..., 3:].clip(0, 1)
        values = values[..., :3] * alpha + 1 - alpha
    return to_pixels(np.broadcast_to(values, (*values.shape[:2], 3)))


def heat(values: Values, top: float) -> Picture:
    """Values (height, width) in a perceptual color map: 0 is black, `top` and above bright yellow."""
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


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Join pictures of one height from left to right, with white gaps."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (picture, gap)]
    return np.concatenate(parts[:-1], axis=1)


def stacked(pictures: Sequence[Picture]) -> Picture:
    """Join pictures of one width from top to bottom, with white gaps."""
    turned = side_by_side([picture.swapaxes(0, 1) for picture in pictures])
    return turned.swapaxes(0, 1)


def enlarged(picture: Picture, height: int, width: int) -> Picture:
    """Repeat pixels, as often as leaves the picture within (height, width), and at least once."""
    times = max(1, min(height // picture.shape[0], width // picture.shape[1]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def beside(picture: Picture, panel: Picture) -> Picture:
    """Join two pictures from left to right; white above and below the lower one."""
    height = max(picture.shape[0], panel.shape[0])
    return side_by_side([padded(part, height, part.shape[1]) for part in (picture, panel)])


def padded(picture: Picture, height: int, width: int) -> Picture:
    """The picture in the middle of a white one of (height, width)."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def captioned(picture: Picture, text: str) -> Picture:
    """The picture under a line of text on white."""
    from PIL import Image, ImageDraw, ImageFont

    line = Image.new("RGB", (picture.shape[1], CAPTION), "white")
    ImageDraw.Draw(line).text((GAP, 0), text, fill="black", font=ImageFont.load_default(size=20))
    return np.concatenate([np.asarray(line), picture])


def strip(target: Values, prediction: Values, longest: int = 512) -> Picture:
    """target | prediction | absolute error (mean over channels; full scale 0.25) as one picture."""
    target, prediction = shrink(target, longest), shrink(prediction.clip(0, 1), longest)
    error = np.abs(target - prediction).mean(axis=2)
    return side_by_side([to_rgb(target), to_rgb(prediction), heat(error, top=0.25)])


def painted(figure: "Figure") -> Picture:
    """A matplotlib figure as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def curves(
    x: Values,
    lines: dict[str, Values],
    title: str,
    dots: tuple[Values, Values] | None = None,
    gray_from: float | None = None,
) -> Picture:
    """Curves over x (n,), one per name; black dots at (x, y), and a gray ground from some x on."""
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
    return painted(figure)


def sheet(pictures: dict[str, Picture], columns: int = 2) -> Picture:
    """Pictures under their captions, as a grid; each keeps its pixels."""
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
