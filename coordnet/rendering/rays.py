"""Rays and samples on rays.

Samples are either dense or packed. Dense samples (r, s) are s samples on each of r rays, in the order of their distance
from the origin. Packed samples (n,) are the samples of all rays one after the other, each with the index of its ray, in
ascending order. Distances are in units of the coordinates, because directions have length 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from coordnet.cameras import ray_box


class RayBundle(NamedTuple):
    """Rays, and the color behind the scene box.

    Attributes:
        origins: Origins (r, 3).
        directions: Directions (r, 3) of length 1.
        background: Colors (r, c) that renderings are composited over.
    """

    origins: Tensor
    directions: Tensor
    background: Tensor

    def points(self, t: Tensor) -> Tensor:
        """Points (r, s, 3) at distances t (r, s)."""
        return torch.addcmul(self.origins[:, None], t[..., None], self.directions[:, None])


class RaySamples(NamedTuple):
    """Dense samples, each with an interval of its ray.

    Attributes:
        t: Distances (r, s) of the samples, in ascending order.
        edges: Edges (r, s + 1) of the intervals, which cover [near, far] without gaps.
    """

    t: Tensor
    edges: Tensor

    @property
    def deltas(self) -> Tensor:
        """Lengths (r, s) of the intervals."""
        return self.edges.diff()


class PackedSamples(NamedTuple):
    """Packed samples.

    Attributes:
        t: Distances (n,) of the samples.
        deltas: Lengths (n,) of their intervals.
        ray_indices: Indices (n,) of their rays, in ascending order.
    """

    t: Tensor
    deltas: Tensor
    ray_indices: Tensor

    def points(self, rays: RayBundle) -> Tensor:
        """Points (n, 3) of the samples."""
        origins = rays.origins.index_select(0, self.ray_indices)
        directions = rays.directions.index_select(0, self.ray_indices)
        return torch.addcmul(origins, self.t[:, None], directions)

    def select(self, index: Tensor) -> "PackedSamples":
        """The samples with index (m,), which must ascend."""
        return PackedSamples(*(tensor.index_select(0, index) for tensor in self))


def pack_samples(mask: Tensor, t: Tensor, deltas: Tensor) -> PackedSamples:
    """Pack the dense samples that a mask selects.

    Args:
        mask: Booleans (r, s).
        t: Distances (r, s).
        deltas: Length (r,) of the intervals of each ray, which are all equal.
    """
    flat = mask.flatten().nonzero()[:, 0]
    ray_indices = flat // mask.shape[1]
    return PackedSamples(t.flatten().index_select(0, flat), deltas.index_select(0, ray_indices), ray_indices)


def near_far(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (r, 1) at which rays (r, 3) enter and leave the box [-1, 1]^3.

    An origin in the box has near = 0. A ray that misses the box has near = far = 0.
    """
    near, far = ray_box(origins, directions, -1.0, 1.0)
    return near[:, None], far[:, None]
