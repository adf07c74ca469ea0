"""The surface of a scene, as a mesh."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from skimage.measure import marching_cubes
from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.coords import Domain, chunks
from coordnet.errors import OptionError, UserError
from coordnet.evaluation.media import Mesh
from coordnet.export.default_path import default_path
from coordnet.export.mesh_file import WRITERS, write_mesh
from coordnet.export.view import scene_of
from coordnet.files import check_new
from coordnet.forward_maps.volume_renderer import VolumeRenderer
from coordnet.options import Range, validate_ranges
from coordnet.runs.load import LoadedRun

# A layer of 1/32 of the side of the box stops half of the light. Fields that are not trained to the end are this dense.
DEFAULT_LEVEL = 16 * math.log(2)
POINTS_PER_CHUNK = 2**16


@validate_ranges
def export_mesh(
    run: LoadedRun,
    resolution: Annotated[int, Range(2, 512)] = 128,
    level: Annotated[float, Range(0, 1e30, above=True)] = DEFAULT_LEVEL,
    output: Path | None = None,
) -> Path:
    """Write the surface on which the density of a scene has a level: a new PLY or OBJ file.

    Densities are the densities along rays: they are 0 in cells that an occupancy grid has found empty, and outside the
    box. The surface is closed, as marching cubes find it (Lewiner et al. 2003), with triangles counter-clockwise seen
    from outside. Vertices are in the world of the scene's own files. Colors are those of views from straight outside.

    Args:
        run: A run of a scene.
        resolution: Cells along each axis of the box.
        level: Density per half side of the box. By default a layer of 1/32 of the box's side is half opaque.
        output: The new file; None takes mesh.ply in the run's directory.

    Returns:
        The file written.

    Raises:
        UserError: The run holds no scene, an option is not allowed, or there is no such surface.
        OSError: The file cannot be written.
    """
    scene = scene_of(run)
    output = output or default_path(run, "mesh.ply")
    check_new("output", output, tuple(WRITERS))
    renderer = run.forward_map
    if not isinstance(renderer, VolumeRenderer):
        raise UserError(
            f"{run.directory} has a forward map of another kind, {type(renderer).__name__}; it has no densities"
        )
    density = density_grid(
        lambda coords: renderer.density(run.field, coords.to(run.device)).cpu(), resolution
    )
    vertices, normals, triangles = extract_surface(density, level)
    colors = vertex_colors(run.field, vertices, normals, run.device)
    write_mesh(output, Mesh(vertices * scene.half_size + scene.center.numpy(), colors, triangles))
    return output


@torch.no_grad()
def density_grid(density: Callable[[Tensor], Tensor], resolution: int) -> np.ndarray:
    """Densities (z, y, x) in the middles of resolution^3 cells of the box [-1, 1]^3.

    Args:
        density: Maps coordinates (n, 3) to densities (n, 1).
        resolution: Cells along each axis.
    """
    found = np.empty((resolution,) * 3, np.float32)
    plane = Domain((resolution,) * 2).grid().reshape(-1, 2)
    heights = Domain((resolution,)).index_to_coords(torch.arange(resolution)[:, None])
    for z in bar(range(resolution), "querying"):
        coords = torch.cat([plane, heights[z].expand(len(plane), 1)], dim=-1)
        values = [density(coords[part])[:, 0] for part in chunks(len(coords), POINTS_PER_CHUNK)]
        found[z] = torch.cat(values).numpy().reshape(resolution, resolution)
    return found


def extract_surface(density: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closed surface around all places whose density is above a level.

    Between samples the surface lies where the opacity 1 - 2^(-density / level) is 1/2. Densities rise so steeply that
    interpolating the densities themselves would put the surface at the outer sample.

    Args:
        density: Densities (n, n, n) in z, y, x, at the middles of the cells of the box [-1, 1]^3.
        level: The density on the surface, above 0.

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
        raise OptionError("level", level, f"must lie between {low:.4g} and {high:.4g}, the densities found")
    opacity = np.pad(-np.expm1(-math.log(2) / level * density), 1)
    places, triangles, normals, _ = marching_cubes(opacity, 0.5)
    # The first cell belongs to the margin. Swapping axes reverses the triangles' orientation, as is needed.
    vertices = ((2 * places - 1) / len(density) - 1).clip(-1, 1)
    return vertices[:, ::-1].copy(), normals[:, ::-1].copy(), triangles


@torch.no_grad()
def vertex_colors(
    field: Any, vertices: np.ndarray, normals: np.ndarray, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Colors (v, 3) uint8 of a radiance field at vertices (v, 3), viewed against their outward normals (v, 3)."""
    parts = []
    for part in chunks(len(vertices), POINTS_PER_CHUNK):
        points, outward = (torch.from_numpy(array[part]).to(device) for array in (vertices, normals))
        _, features = field.density(points)
        parts.append(field.color(points, -outward, features).cpu())
    return viz.to_pixels(torch.cat(parts).numpy())
