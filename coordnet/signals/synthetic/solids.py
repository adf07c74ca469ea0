"""Solids whose first meeting with a ray is a closed form, painted by functions of the point."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.cameras import ray_box

# Meetings nearer than this are those of a ray with the surface that it starts on.
NEAREST = 1e-4

Paint = Callable[[Tensor, Tensor], Tensor]


class Hits(NamedTuple):
    """Where m rays first meet something.

    Attributes:
        distance: (m,), infinite where they meet nothing.
        normal: (m, 3), outwards, of length 1; 0 where they meet nothing.
        color: (m, 3) in [0, 1]; 0 where they meet nothing.
    """

    distance: Tensor
    normal: Tensor
    color: Tensor

    @property
    def hit(self) -> Tensor:
        return self.distance.isfinite()


class Solid(ABC):
    """Something with a surface.

    Attributes:
        paint: From points (m, 3) of the surface and their normals (m, 3) to its own colors (m, 3) in [0, 1].
        shine: Exponent of Phong's highlight; 0 has none.
    """

    paint: Paint
    shine: float = 0.0

    @abstractmethod
    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (m,), infinite where there is none, and outward normals (m, 3), for unit directions (m, 3)."""


class Ball(Solid):
    """A ball of some radius around `center` (3,)."""

    def __init__(self, center: Tensor, radius: float, paint: Paint, shine: float = 0.0) -> None:
        self.center, self.radius, self.paint, self.shine = center, radius, paint, shine

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        offset = origins - self.center
        middle = -(offset * directions).sum(dim=-1)
        square = self.radius**2 - (offset + middle[:, None] * directions).square().sum(dim=-1)
        distance = middle - square.clamp(min=0).sqrt()
        distance = torch.where((square > 0) & (distance > NEAREST), distance, torch.inf)
        points = offset + finite(distance)[:, None] * directions
        return distance, points / self.radius


class Disc(Solid):
    """A flat disc of some radius around `center` (3,), seen from both sides; its normal is +z."""

    def __init__(self, center: Tensor, radius: float, paint: Paint) -> None:
        self.center, self.radius, self.paint = center, radius, paint

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        offset = origins - self.center
        distance = -offset[:, 2] / directions[:, 2]
        points = offset + torch.nan_to_num(distance, posinf=0, neginf=0)[:, None] * directions
        inside = points[:, :2].square().sum(dim=-1) <= self.radius**2
        distance = torch.where(inside & (distance > NEAREST) & distance.isfinite(), distance, torch.inf)
        normal = torch.zeros_like(directions)
        normal[:, 2] = 1
        return distance, normal


class Box(Solid):
    """A box between two corners (3,), with faces along the axes."""

    def __init__(self, low: Tensor, high: Tensor, paint: Paint) -> None:
        self.low, self.high, self.paint = low, high, paint

    def meet(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        near, far = ray_box(origins, directions, self.low, self.high)
        distance = torch.where((near > NEAREST) & (far > near), near, torch.inf)
        points = origins + finite(distance)[:, None] * directions
        # The face that the point lies on is the one it is nearest to, in terms of the box.
        relative = (2 * points - self.low - self.high) / (self.high - self.low)
        axis = relative.abs().argmax(dim=-1)
        return distance, F.one_hot(axis, 3) * relative.sign()


def finite(distance: Tensor) -> Tensor:
    return torch.where(distance.isfinite(), distance, 0)


def first(solids: list[Solid], origins: Tensor, directions: Tensor) -> tuple[Hits, Tensor]:
    """Where rays first meet one of the solids, with its own color there, and which one it is (m,)."""
    distance = torch.full(origins.shape[:1], torch.inf, dtype=origins.dtype)
    normal, color = torch.zeros_like(origins), torch.zeros_like(origins)
    which = torch.zeros(origins.shape[:1], dtype=torch.long)
    for i, solid in enumerate(solids):
        found, facing = solid.meet(origins, directions)
        nearer = found < distance
        distance = torch.where(nearer, found, distance)
        normal = torch.where(nearer[:, None], facing, normal)
        which = torch.where(nearer, i, which)
    for i, solid in enumerate(solids):
        mine = distance.isfinite() & (which == i)
        points = origins[mine] + distance[mine, None] * directions[mine]
        color[mine] = solid.paint(points, normal[mine]).to(color.dtype)
    return Hits(distance, normal, color), which
