import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from coordnet.cameras import Cameras, look_at
from coordnet.console import bar
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges
from coordnet.signals.scenes.posed_images import Background, PosedImages, Resolution, Views
from coordnet.signals.spec import SPLITS
from coordnet.signals.synthetic.scenes import Scene, build_scene
from coordnet.signals.synthetic.sphere import GOLDEN_ANGLE
from coordnet.signals.synthetic.top_down import trace_top_down

# Horizontal angle of view of NeRF's synthetic data, in radians.
ANGLE_OF_VIEW = 0.6911112070083618
_RAYS_PER_CHUNK = 2**16
_MAX_RAYS = 2**28

SceneName = Literal["checker", "rotated", "shine", "fence", "text"]
Split = Literal["train", "val", "test"]
_Size = Annotated[int, Range(8, 2048, "pixels")]
_NumViews = Annotated[int, Range(1, 4096)]
_Frequency = Annotated[float, Range(0, 1024, "cycles across the box")]
_Radius = Annotated[float, Range(1.8, 100, "half sides of the box")]
_Elevation = Annotated[Sequence[float], Range(-89, 89, "degrees", entries=2)]
_Supersample = Annotated[int, Range(1, 16, "rays")]
_Seed = Annotated[int, Range(0, 2**63 - 1)]


@validate_ranges
def synthetic_scene(
    scene: SceneName,
    size: _Size = 100,
    num_views: _NumViews = 80,
    num_eval_views: _NumViews = 10,
    frequency: _Frequency = 8.0,
    radius: _Radius = 2.7,
    elevation: _Elevation = (5.0, 75.0),
    supersample: _Supersample = 4,
    seed: _Seed = 0,
    background: Background = "white",
    resolution: Resolution = None,
) -> PosedImages:
    """Posed images of a synthetic scene, with exact colors and an exact view from above.

    Args:
        scene: Name of the scene; `coordnet.signals.synthetic.scenes` describes each scene.
        size: Pixels per side of a picture, in [8, 2048].
        num_views: Number of views to train on, in [1, 4096].
        num_eval_views: Number of validation views, in [1, 4096].
        frequency: Frequency of the waves, in cycles across the box, in [0, 1024].
        radius: Radius of the cameras' orbit, in half sides of the box, in [1.8, 100]; cameras are outside the box.
        elevation: Lowest and highest elevation of a camera, in degrees, in [-89, 89].
        supersample: Rays per pixel along each axis, in [1, 16].
        seed: Seed of the camera positions and of the words of "text".
        background: Color behind the scene: "white", "black" or "random", as in `PosedImages`.
        resolution: Number of cells along each axis of the domain, as in `PosedImages`.

    Raises:
        OptionError: An option is outside its range, or the views take more than 2^28 rays.
    """
    train, val = (
        render_split(
            scene, split, size, num_views, num_eval_views, frequency, radius, elevation, supersample, seed
        )
        for split in SPLITS[:2]
    )
    top_down = trace_top_down(build_scene(scene, frequency, seed))
    return PosedImages(train, val, None, background, resolution, top_down)


@validate_ranges
def render_split(
    scene: str,
    split: Split,
    size: _Size = 100,
    num_views: _NumViews = 80,
    num_eval_views: _NumViews = 10,
    frequency: _Frequency = 8.0,
    radius: _Radius = 2.7,
    elevation: _Elevation = (5.0, 75.0),
    supersample: _Supersample = 4,
    seed: _Seed = 0,
) -> Views:
    """Render the exact views of one split: `num_views` views of "train", `num_eval_views` of "val" and of "test".

    The options are those of `synthetic_scene`. Each split has camera positions of its own.

    Raises:
        OptionError: An option is outside its range, or the views take more than 2^28 rays.
    """
    if elevation[0] > elevation[1]:
        raise OptionError("elevation", list(elevation), "must be [lowest, highest]")
    count = num_views if split == "train" else num_eval_views
    if (rays := count * (size * supersample) ** 2) > _MAX_RAYS:
        raise OptionError(
            "size", size, f"with {count} views takes {rays} rays; the rays must be at most {_MAX_RAYS}"
        )
    turn = np.random.default_rng((seed, SPLITS.index(split))).uniform(0, 2 * math.pi)
    focal = size / 2 / math.tan(ANGLE_OF_VIEW / 2)
    cameras = Cameras(
        spiral_poses(count, radius, elevation, turn),
        torch.full((count, 2), focal),
        torch.full((count, 2), size / 2),
        (size, size),
    )
    built = build_scene(scene, frequency, seed)
    images = [trace_view(built, cameras, i, supersample) for i in bar(range(count), "rendering")]
    return Views(torch.stack(images), cameras, tuple(f"{split}/r_{i}" for i in range(count)))


def spiral_poses(count: int, radius: float, elevation: Sequence[float], turn: float) -> Tensor:
    """Poses (count, 3, 4) that look at 0 with z up, spread evenly over a zone of a sphere.

    Heights are evenly spaced, and successive azimuths differ by the golden angle.

    Args:
        count: Number of poses.
        radius: Radius of the sphere.
        elevation: Lowest and highest elevation of the zone, in degrees.
        turn: Azimuth of the first pose, in radians.
    """
    low, high = (math.sin(math.radians(angle)) for angle in elevation)
    i = torch.arange(count, dtype=torch.float64)
    height = low + (high - low) * (i + 0.5) / count
    azimuth = turn + GOLDEN_ANGLE * i
    across = (1 - height**2).sqrt()
    back = torch.stack([across * azimuth.cos(), across * azimuth.sin(), height], dim=-1)
    return look_at(radius * back, back.new_tensor([0, 0, 1])).float()


def trace_view(scene: Scene, cameras: Cameras, i: int, supersample: int) -> Tensor:
    """Trace the exact image of camera `i`: (height, width, 4) uint8.

    A pixel is the mean of supersample^2 rays; opacity is the share of these rays that hit a surface.
    """
    width, height = cameras.size
    steps = (torch.arange(supersample) + 0.5) / supersample - 0.5
    shifts = torch.cartesian_prod(steps, steps)
    means = []
    for pixels in cameras.pixels().split(max(1, _RAYS_PER_CHUNK // len(shifts))):
        subpixels = (pixels[:, None] + shifts).flatten(0, 1)
        hits = scene.trace(*cameras.rays(torch.full((len(subpixels),), i), subpixels))
        rgba = torch.cat([hits.color, hits.hit[:, None]], dim=-1)
        means.append(rgba.unflatten(0, (len(pixels), len(shifts))).mean(dim=1))
    values = torch.cat(means)
    values[:, :3] /= values[:, 3:].clamp(min=torch.finfo().tiny)
    return (values * 255 + 0.5).to(torch.uint8).reshape(height, width, 4)
