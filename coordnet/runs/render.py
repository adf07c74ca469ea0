import math
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from coordnet import viz
from coordnet.coords import Domain, FieldFunction, chunks, in_chunks
from coordnet.errors import UserError
from coordnet.runs.run import load_model

POINTS_PER_BAND = 1 << 20
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
    """Evaluate the field of a run on a grid of any density and write a PNG.

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
    """
    _, model = load_model(run, which, allow)
    domain = model.batches.signal.domain
    if domain.dim != 2:
        raise UserError(f"{run} holds a signal in {domain.dim} dimensions; render makes images of 2")
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
    if path.exists():
        raise UserError(f"{path} exists; choose another --output")
    pixels = evaluate_grid(model.field, domain, box, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp.png")
    imageio.imwrite(partial, pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    partial.replace(path)
    return path


@torch.no_grad()
def evaluate_grid(
    field: FieldFunction, domain: Domain, box: Sequence[float], size: Sequence[int]
) -> np.ndarray:
    """Pixels (height, width, channels) uint8 of a field over a box given in pixels of the domain."""
    width, height = size
    x = pixel_centres(box[0], box[2], width)
    y = pixel_centres(box[1], box[3], height)
    bands = []
    parts = list(chunks(height, max(1, POINTS_PER_BAND // width)))
    for part in track(parts, "rendering", transient=True, disable=len(parts) < 4):
        rows, columns = torch.meshgrid(y[part], x, indexing="ij")
        position = torch.stack([columns, rows], dim=-1)
        coords = (2 * position - torch.tensor(domain.size)) / max(domain.size)
        bands.append(viz.to_pixels(in_chunks(field, coords.float()).numpy()))
    return np.concatenate(bands)


def pixel_centres(start: float, stop: float, count: int) -> Tensor:
    """Centres of `count` pixels that tile [start, stop], in pixels of the original (whose centres are at n + 1/2)."""
    return start + (torch.arange(count, dtype=torch.float64) + 0.5) * (stop - start) / count
