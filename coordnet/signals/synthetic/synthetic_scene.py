"""Pictures of the scenes that are known exactly, from cameras on an orbit."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from coordnet.cameras import Cameras, facing
from coordnet.console import bar
from coordnet.errors import UserError
from coordnet.ranges import check_ranges
from coordnet.signals.scenes.posed_images import SPLITS, Background, PosedImages, Views
from coordnet.signals.synthetic.scenes import Scene, make
from coordnet.signals.synthetic.top_down import plan

# Horizontal, in radians: that of NeRF's synthetic data.
ANGLE_OF_VIEW = 0.6911112070083618
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
RAYS_PER_CHUNK = 2**16
MOST_RAYS = 2**28

Name = Literal["checker", "rotated", "shine", "fence", "text"]


def known_scene(
    scene: Name,
    size: int = 100,
    views: int = 80,
    held_out: int = 10,
    frequency: float = 8.0,
    radius: float = 2.7,
    elevation: Sequence[float] = (5.0, 75.0),
    supersample: int = 4,
    seed: int = 0,
    background: Background = "white",
    resolution: int | None = None,
) -> PosedImages:
    """Posed images of a scene that is known exactly: see `scenes` for each.

    Args:
        scene: Its name.
        size: Pixels per side of a picture, in [8, 2048].
        views: To train on, in [1, 4096].
        held_out: Others to score, likewise.
        frequency: Of its waves, in cycles across the box, in [0, 1024].
        radius: Of the cameras' orbit, in units of half the box's side, in [1.8, 100]: outside the box.
        elevation: The lowest and the highest camera, in degrees, in [-89, 89], the lowest first.
        supersample: Rays per pixel along each axis, in [1, 16].
        seed: Of the cameras' places, and of the words of `text`.
        background: As of `PosedImages`.
        resolution: As of `PosedImages`.
    """
    check_ranges(known_scene, resolution=resolution)
    options = (size, radius, elevation, supersample, seed)
    train, val = (
        take(scene, frequency, split, count, *options)
        for split, count in (("train", views), ("val", held_out))
    )
    return PosedImages(train, val, None, background, resolution, plan(make(scene, frequency, seed)))


def take(
    name: str,
    frequency: float,
    split: str,
    count: int,
    size: int,
    radius: float,
    elevation: Sequence[float],
    supersample: int,
    seed: int,
) -> Views:
    """The views of one of the splits train, val and test; options as of `known_scene`."""
    check_ranges(
        known_scene,
        **{"views" if split == "train" else "held_out": count},
        size=size,
        frequency=frequency,
        radius=radius,
        elevation=elevation,
        supersample=supersample,
        seed=seed,
    )
    if elevation[0] > elevation[1]:
        raise UserError(f"signal.elevation={list(elevation)} must be [lowest, highest]")
    if (rays := count * (size * supersample) ** 2) > MOST_RAYS:
        raise UserError(f"signal.size={size} with {count} views takes {rays} rays; {MOST_RAYS} are allowed")
    turn = np.random.default_rng((seed, SPLITS.index(split))).uniform(0, 2 * math.pi)
    focal = size / 2 / math.tan(ANGLE_OF_VIEW / 2)
    cameras = Cameras(
        orbit(count, radius, elevation, turn),
        torch.full((count, 2), focal),
        torch.full((count, 2), size / 2),
        (size, size),
    )
    made = make(name, frequency, seed)
    return Views(
        torch.stack([photograph(made, cameras, i, supersample) for i in bar(range(count), "photographing")]),
        cameras,
    )


def orbit(count: int, radius: float, elevation: Sequence[float], turn: float) -> Tensor:
    """Poses (count, 3, 4) that look at 0 with z up, evenly spread over a zone of the sphere.

    Heights are evenly spaced, and azimuths the golden angle apart, the first at `turn` (radians).
    """
    low, high = (math.sin(math.radians(angle)) for angle in elevation)
    i = torch.arange(count, dtype=torch.float64)
    height = low + (high - low) * (i + 0.5) / count
    azimuth = turn + GOLDEN_ANGLE * i
    across = (1 - height**2).sqrt()
    back = torch.stack([across * azimuth.cos(), across * azimuth.sin(), height], dim=-1)
    return facing(radius * back, back.new_tensor([0, 0, 1])).float()


def photograph(scene: Scene, cameras: Cameras, i: int, supersample: int) -> Tensor:
    """(height, width, 4) uint8: each pixel the mean of supersample^2 rays, opacity the share that meets something."""
    width, height = cameras.size
    steps = (torch.arange(supersample) + 0.5) / supersample - 0.5
    shifts = torch.cartesian_prod(steps, steps)
    samples = []
    for pixels in cameras.pixels().split(max(1, RAYS_PER_CHUNK // len(shifts))):
        places = (pixels[:, None] + shifts).flatten(0, 1)
        hits = scene.trace(*cameras.rays(torch.full((len(places),), i), places))
        seen = torch.cat([hits.color, hits.hit[:, None]], dim=-1)
        samples.append(seen.unflatten(0, (len(pixels), len(shifts))).mean(dim=1))
    values = torch.cat(samples)
    values[:, :3] /= values[:, 3:].clamp(min=torch.finfo().tiny)
    return (values * 255 + 0.5).to(torch.uint8).reshape(height, width, 4)
