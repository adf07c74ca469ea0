"""The surface of a scene, as a mesh."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.coords import Domain, chunks
from coordnet.errors import UserError
from coordnet.export import mesh_file
from coordnet.export.mesh_file import Mesh
from coordnet.export.view import load_scene
from coordnet.files import check_new
from coordnet.forward_maps.hierarchical import VolumeRenderer
from coordnet.ranges import Range

RESOLUTION = Range(2, 512, whole=True)
LEVEL = Range(0, 1e30, above=True)
# Half of the light is stopped within 1/32 of the side of the box: fields that are not trained to the end are as dense.
DEFAULT_LEVEL = 16 * math.log(2)
POINTS = 2**16


def mesh(
    run: Path,
    resolution: int = 128,
    level: float = DEFAULT_LEVEL,
    out: Path | None = None,
    which: str = "last",
    allow: Sequence[str] = (),
) -> Path:
    """Write the surface on which the density of a run's scene has some level: a new PLY or OBJ file.

    Densities are those that rays meet: with `march`, cells known to be empty have none, and outside the box there is
    none. The surface is closed, as marching cubes find it (Lewiner et al. 2003), with triangles counter-clockwise seen
    from outside. Vertices are in the world of the signal's own files; their colors are seen straight from outside.

    Args:
        run: The run's directory.
        resolution: Cells along each axis of the box, in [2, 512].
        level: Density per half side of the box, above 0; by default that which is half opaque at a thickness of 1/32 of
            the box's side.
        out: The file; mesh.ply in the run by default.
        which: "last" or "best" checkpoint.
        allow: As for `build`.

    Raises:
        UserError: The run or an option does not allow it, or there is no such surface.
        OSError: The file cannot be written.
    """
    RESOLUTION.check("--resolution", resolution)
    LEVEL.check("--level", level)
    out = out or run / "mesh.ply"
    check_new("output", out, tuple(mesh_file.KINDS))
    signal, model = load_scene(run, which, allow)
    rays, field = model.forward_map, model.field
    if not isinstance(rays, VolumeRenderer):
        raise UserError(
            f"{run} has a forward map of another kind, {type(rays).__name__}; it has no densities"
        )
    density = grid(lambda coords: rays.density(field, coords), resolution)
    found = surface(density, level)
    colors = painted(field, *found[:2])
    vertices = found[0] * signal.half_size + signal.center.numpy()
    mesh_file.write(out, Mesh(vertices, colors, found[2]))
    return out


@torch.no_grad()
def grid(density: Callable[[Tensor], Tensor], resolution: int) -> np.ndarray:
    """Densities (z, y, x) in the middles of resolution^3 cells of the box, from places (n, 3) to densities (n, 1)."""
    found = np.empty((resolution,) * 3, np.float32)
    plane = Domain((resolution,) * 2).grid().reshape(-1, 2)
    heights = Domain((resolution,)).index_to_coords(torch.arange(resolution)[:, None])
    for z in bar(range(resolution), "looking"):
        places = torch.cat([plane, heights[z].expand(len(plane), 1)], dim=-1)
        values = [density(places[part])[:, 0] for part in chunks(len(places), POINTS)]
        found[z] = torch.cat(values).numpy().reshape(resolution, resolution)
    return found


def surface(density: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closed surface around all places of more than that density.

    Between samples it is placed by the share of light 1 - 2^(-density / level) that is stopped, which is 1/2 at the
    level: densities themselves rise so steeply that it would lie at the outer sample.

    Args:
        density: (n, n, n) in z, y, x, at the middles of the cells of the box [-1, 1]^3.
        level: Above 0.

    Returns:
        Vertices (v, 3) in x, y, z, their outward normals (v, 3), and triangles (f, 3), counter-clockwise seen from
        outside.

    Raises:
        UserError: The densities are all above or all below the level, or not finite.
    """
    low, high = density.min(), density.max()
    if not low < high < math.inf:
        raise UserError(f"the density is {low:.4g} to {high:.4g} all over the box: there is no surface")
    if not low < level < high:
        raise UserError(f"--level={level:.4g} must lie between {low:.4g} and {high:.4g}, the densities found")
    stopped = np.pad(-np.expm1(-math.log(2) / level * density), 1)
    places, triangles, normals, _ = marching_cubes(stopped, 0.5)
    # The first cell is one of the margin. Swapping axes turns triangles over, as they should be.
    vertices = ((2 * places - 1) / len(density) - 1).clip(-1, 1)
    return vertices[:, ::-1].copy(), normals[:, ::-1].copy(), triangles


@torch.no_grad()
def painted(field: Any, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Colors (v, 3) uint8 that a radiance field has at vertices (v, 3), seen against their outward normals (v, 3)."""
    parts = []
    for part in chunks(len(vertices), POINTS):
        points = torch.from_numpy(vertices[part])
        _, features = field.density(points)
        parts.append(field.color(points, torch.from_numpy(-normals[part]), features))
    return viz.to_pixels(torch.cat(parts).numpy())
