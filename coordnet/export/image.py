"""An image of any size from the field of a run."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.coords import Domain, FieldFunction, chunks, in_chunks
from coordnet.errors import OptionError, UserError
from coordnet.export.default_path import default_path
from coordnet.export.png import COLOR_TYPES, write_png
from coordnet.files import check_new
from coordnet.runs.load import LoadedRun

POINTS_PER_CHUNK = 1 << 18
MAX_SIDE = 1 << 16


def export_image(
    run: LoadedRun,
    scale: float = 1.0,
    size: Sequence[int] | None = None,
    crop: Sequence[float] | None = None,
    output: Path | None = None,
) -> Path:
    """Evaluate the field of an image on a grid of any density and write a PNG, some rows at a time: memory is bounded.

    Args:
        run: A run of an image.
        scale: Pixels of the result per pixel of the original, in (0, 2^16]; ignored where a size is given.
        size: (width, height) of the result in pixels, each in [1, 2^16].
        crop: (left, top, right, bottom) in pixels of the original; None renders the whole image.
        output: The new file; None writes into images/ of the run.

    Returns:
        The file written.

    Raises:
        UserError: The run holds no image, or an option is not allowed.
        OSError: The file cannot be written. A faulty directory raises this error before the field is evaluated.
    """
    spec = run.spec
    if spec.scene is not None:
        raise UserError(f"{run.directory} holds a scene; choose one of the views with --view")
    if spec.domain.dim != 2:
        raise UserError(
            f"{run.directory} holds a signal in {spec.domain.dim} dimensions; render makes images of 2"
        )
    if spec.channels not in COLOR_TYPES:
        raise UserError(
            f"{run.directory} holds a signal of {spec.channels} channels; render makes images of 1 (gray), 3 (RGB) "
            "or 4 (RGBA)"
        )
    box = tuple(crop) if crop else (0.0, 0.0, *map(float, spec.domain.size))
    if not (all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]):
        raise OptionError("crop", box, "must be left,top,right,bottom with left < right and top < bottom")
    if size is None:
        if not 0 < scale <= MAX_SIDE:
            raise OptionError("scale", scale, f"must be above 0 and at most {MAX_SIDE}")
        size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    if min(size) < 1 or max(size) > MAX_SIDE:
        raise OptionError("size", f"{size[0]}x{size[1]}", f"must lie between 1x1 and {MAX_SIDE}x{MAX_SIDE}")
    path = output or default_path(run, f"images/render-{size[0]}x{size[1]}.png")
    check_new("output", path, (".png",))
    rows = evaluate_grid(run, spec.domain, box, size)
    write_png(path, (size[1], size[0], spec.channels), rows)
    return path


@torch.no_grad()
def evaluate_grid(
    field: FieldFunction, domain: Domain, box: Sequence[float], size: Sequence[int]
) -> Iterator[viz.Picture]:
    """Yield the pixels of a field from the top, some rows (rows, width, channels) uint8 at a time.

    Args:
        field: Maps coordinates (n, 2) to values (n, channels) in [0, 1].
        domain: The domain of the field.
        box: (left, top, right, bottom) in pixels of the domain.
        size: (width, height) of the result in pixels.
    """
    width, height = size
    x = pixel_centers(box[0], box[2], width)
    y = pixel_centers(box[1], box[3], height)
    parts = list(chunks(height, max(1, POINTS_PER_CHUNK // width)))
    for part in bar(parts, "rendering"):
        rows, columns = torch.meshgrid(y[part], x, indexing="ij")
        position = torch.stack([columns, rows], dim=-1)
        coords = (2 * position - torch.tensor(domain.size)) / torch.tensor(domain.resolution)
        yield viz.to_pixels(in_chunks(field, coords.float()).numpy())


def pixel_centers(start: float, stop: float, count: int) -> Tensor:
    """Centers (count,) of pixels that tile [start, stop], in pixels of the original (whose centers are at n + 1/2)."""
    return start + (torch.arange(count, dtype=torch.float64) + 0.5) * (stop - start) / count
