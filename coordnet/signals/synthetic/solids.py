"""Solids with a closed-form ray intersection, colored by functions of the surface point."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.cameras import ray_box

# Hits nearer than this distance belong to the surface that the ray starts on.
_MIN_DISTANCE = 1e-4

# Maps points (m, 3) of a surface and the normals (m, 3) to colors (m, 3) in [0, 1].
Albedo = Callable[[Tensor, Tensor], Tensor]


class Hits(NamedTuple):
    """The closest surface points along m rays.

    Attributes:
        distance: (m,), infinite where a ray hits nothing.
        normal: (m, 3), outward unit normals; 0 where a ray hits nothing.
        color: (m, 3) in [0, 1]; 0 where a ray hits nothing.
    """

    distance: Tensor
    normal: Tensor
    color: Tensor

    @property
    def hit(self) -> Tensor:
        """(m,) bool, true where a ray hits a surface."""
        return self.distance.isfinite()


class Solid(ABC):
    """A solid with a surface.

    Attributes:
        albedo: Maps points (m, 3) of the surface and the normals (m, 3) to unlit colors (m, 3) in [0, 1].
        shininess: Exponent of Phong's specular highlight; 0 means no highlight.
    """

    albedo: Albedo
    shininess: float = 0.0

    @abstractmethod
    def intersect(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Intersect rays from origins (m, 3) along unit directions (m, 3) with the surface.

        Returns:
            Distances (m,), infinite where a ray misses, and outward unit normals (m, 3).
        """


class Ball(Solid):
    """A ball around `center` (3,)."""

    def __init__(self, center: Tensor, radius: float, albedo: Albedo, shininess: float = 0.0) -> None:
        self.center, self.radius, self.albedo, self.shininess = center, radius, albedo, shininess

    def intersect(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        offset = origins - self.center
        middle = -(offset * directions).sum(dim=-1)
        square = self.radius**2 - (offset + middle[:, None] * directions).square().sum(dim=-1)
        distance = middle - square.clamp(min=0).sqrt()
        distance = torch.where((square > 0) & (distance > _MIN_DISTANCE), distance, torch.inf)
        points = offset + _zero_if_infinite(distance)[:, None] * directions
        return distance, points / self.radius


class Disc(Solid):
    """A flat disc around `center` (3,), visible from both sides, with normal +z."""

    def __init__(self, center: Tensor, radius: float, albedo: Albedo) -> None:
        self.center, self.radius, self.albedo = center, radius, albedo

    def intersect(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        offset = origins - self.center
        distance = -offset[:, 2] / directions[:, 2]
        points = offset + torch.nan_to_num(distance, posinf=0, neginf=0)[:, None] * directions
        inside = points[:, :2].square().sum(dim=-1) <= self.radius**2
        distance = torch.where(inside & (distance > _MIN_DISTANCE) & distance.isfinite(), distance, torch.inf)
        normal = torch.zeros_like(directions)
        normal[:, 2] = 1
        return distance, normal


class Box(Solid):
    """An axis-aligned box between the corners `low` (3,) and `high` (3,)."""

    def __init__(self, low: Tensor, high: Tensor, albedo: Albedo) -> None:
        self.low, self.high, self.albedo = low, high, albedo

    def intersect(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        near, far = ray_box(origins, directions, self.low, self.high)
        distance = torch.where((near > _MIN_DISTANCE) & (far > near), near, torch.inf)
        points = origins + _zero_if_infinite(distance)[:, None] * directions
        # The point lies on the face that is nearest in coordinates of the box.
        relative = (2 * points - self.low - self.high) / (self.high - self.low)
        axis = relative.abs().argmax(dim=-1)
        return distance, F.one_hot(axis, 3) * relative.sign()


def closest_hit(solids: Sequence[Solid], origins: Tensor, directions: Tensor) -> tuple[Hits, Tensor]:
    """Intersect rays with several solids and keep the closest hit of each ray.

    Args:
        solids: At least one solid.
        origins: (m, 3).
        directions: (m, 3), of length 1.

    Returns:
        The hits with unlit colors, and the indices (m,) of the solids; 0 where a ray hits nothing.
    """
    distance = torch.full(origins.shape[:1], torch.inf, dtype=origins.dtype)
    normal, color = torch.zeros_like(origins), torch.zeros_like(origins)
    index = torch.zeros(origins.shape[:1], dtype=torch.long)
    for i, solid in enumerate(solids):
        found, facing = solid.intersect(origins, directions)
        nearer = found < distance
        distance = torch.where(nearer, found, distance)
        normal = torch.where(nearer[:, None], facing, normal)
        index = torch.where(nearer, i, index)
    for i, solid in enumerate(solids):
        on_solid = distance.isfinite() & (index == i)
        points = origins[on_solid] + distance[on_solid, None] * directions[on_solid]
        color[on_solid] = solid.albedo(points, normal[on_solid]).to(color.dtype)
    return Hits(distance, normal, color), index


def _zero_if_infinite(distance: Tensor) -> Tensor:
    return torch.where(distance.isfinite(), distance, 0)
