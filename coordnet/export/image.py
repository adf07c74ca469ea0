import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.coords import Domain, FieldFunction, chunks, in_chunks
from coordnet.errors import UserError
from coordnet.export import png
from coordnet.export.new_file import check_new
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.training.run import load_model

POINTS_PER_BAND = 1 << 18
MAX_SIDE = 1 << 16


def render(
    run: Path,
    scale: float = 1.0,
    size: Sequence[int] | None = None,
    crop: Sequence[float] | None = None,
    output: Path | None = None,
    which: str = "last",
    allow: Sequence[str] = (),
) -> Path:
    """Evaluate the field of a run on a grid of any density and write a PNG, band by band: memory stays bounded.

    Args:
        run: The run's directory.
        scale: Pixels of the result per pixel of the original, if no size is given.
        size: (width, height) of the result in pixels.
        crop: (left, top, right, bottom) in pixels of the original; the whole by default.
        output: A file that does not exist yet.
        which: "last" or "best" checkpoint.
        allow: As for `build`.

    Returns:
        The file written.

    Raises:
        UserError: The run, its signal or an option does not allow it.
        OSError: The file cannot be written. Where the directory is at fault, nothing has been evaluated yet.
    """
    _, model = load_model(run, which, allow)
    signal = model.batches.signal
    domain = signal.domain
    if isinstance(signal, PosedImages):
        raise UserError(f"{run} holds a scene; choose one of its views with --frame")
    if domain.dim != 2:
        raise UserError(f"{run} holds a signal in {domain.dim} dimensions; render makes images of 2")
    if signal.channels not in png.COLOR_TYPES:
        raise UserError(
            f"{run} holds a signal of {signal.channels} channels; render makes images of 1 (gray), 3 (RGB) "
            "or 4 (RGBA)"
        )
    box = tuple(crop) if crop else (0.0, 0.0, *map(float, domain.size))
    if not (all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]):
        raise UserError(f"--crop {box} must be left,top,right,bottom with left < right and top < bottom")
    if size is None:
        if not 0 < scale <= MAX_SIDE:
            raise UserError(f"--scale {scale} must be above 0 and at most {MAX_SIDE}")
        size = (max(1, round((box[2] - box[0]) * scale)), max(1, round((box[3] - box[1]) * scale)))
    if min(size) < 1 or max(size) > MAX_SIDE:
        raise UserError(f"--size {size[0]}x{size[1]} must lie between 1x1 and {MAX_SIDE}x{MAX_SIDE}")
    path = output or run / "images" / f"render-{size[0]}x{size[1]}.png"
    check_new(path, "--output", (".png",))
    bands = evaluate_grid(model.field, domain, box, size)
    png.write(path, (size[1], size[0], signal.channels), bands)
    return path


@torch.no_grad()
def evaluate_grid(
    field: FieldFunction, domain: Domain, box: Sequence[float], size: Sequence[int]
) -> Iterator[viz.Picture]:
    """Pixels of a field over a box given in pixels of the domain, in bands (rows, width, channels) from the top."""
    width, height = size
    x = pixel_centers(box[0], box[2], width)
    y = pixel_centers(box[1], box[3], height)
    parts = list(chunks(height, max(1, POINTS_PER_BAND // width)))
    for part in bar(parts, "rendering"):
        rows, columns = torch.meshgrid(y[part], x, indexing="ij")
        position = torch.stack([columns, rows], dim=-1)
        coords = (2 * position - torch.tensor(domain.size)) / max(domain.size)
        yield viz.to_pixels(in_chunks(field, coords.float()).numpy())


def pixel_centers(start: float, stop: float, count: int) -> Tensor:
    """Centers of `count` pixels that tile [start, stop], in pixels of the original (whose centers are at n + 1/2)."""
    return start + (torch.arange(count, dtype=torch.float64) + 0.5) * (stop - start) / count
