"""Rendering the image of a camera, a few rows at a time."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from coordnet.cameras import Cameras
from coordnet.coords import chunks

RAYS_PER_CHUNK = 16384

# Maps a batch of rays to the prediction of a forward map.
RenderRays = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def row_chunks(size: tuple[int, int]) -> list[slice]:
    """Split the rows of an image of (width, height) pixels into chunks, so that memory does not grow with the height.

    Returns:
        Slices that cover range(height); each chunk has at most 16,384 pixels, or a single row.
    """
    return list(chunks(size[1], max(1, RAYS_PER_CHUNK // size[0])))


def render_rows(
    cameras: Cameras, i: int, rows: slice, background: Tensor, predict: RenderRays
) -> dict[str, Tensor]:
    """Render some rows of the image of camera `i`.

    Args:
        cameras: Cameras in coordinates of the box [-1, 1]^3.
        i: Index of the camera.
        rows: Rows of the image, counted from the top.
        background: Color (3,) behind the scene.
        predict: Maps "origins", "directions" and "background", each (m, 3), to "value" (m, 3) and, where the forward
            map predicts them, to "depth" (m, 1) and "opacity" (m, 1).

    Returns:
        The named predictions, each (rows, width, channels).
    """
    row, column = torch.meshgrid(
        torch.arange(rows.start, rows.stop), torch.arange(cameras.size[0]), indexing="ij"
    )
    pixels = torch.stack([column, row], dim=-1).flatten(0, 1) + 0.5
    origins, directions = cameras.rays(torch.full((len(pixels),), i), pixels)
    behind = background.expand_as(origins)
    prediction = predict({"origins": origins, "directions": directions, "background": behind})
    names = [name for name in ("value", "depth", "opacity") if name in prediction]
    return {name: prediction[name].unflatten(0, row.shape) for name in names}


def render_view(cameras: Cameras, i: int, background: Tensor, predict: RenderRays) -> dict[str, Tensor]:
    """Render the whole image of camera `i`: the results of `render_rows`, each (height, width, channels)."""
    parts = [render_rows(cameras, i, rows, background, predict) for rows in row_chunks(cameras.size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
