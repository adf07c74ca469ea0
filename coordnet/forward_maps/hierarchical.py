from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from coordnet.coords import chunks
from coordnet.errors import UserError
from coordnet.forward_maps.base import Batch, ForwardMap
from coordnet.ranges import check_ranges
from coordnet.rendering import volume
from coordnet.rng import keyed_generator

# Of an evaluation, at a time.
SAMPLES = 2**16
# What the draws of a step are for, besides its batch.
DISTANCES = 1


class RayBundle(NamedTuple):
    """Rays, and what is behind the box.

    Attributes:
        origins: (n, 3).
        directions: (n, 3) of length 1.
        background: (n, c).
    """

    origins: Tensor
    directions: Tensor
    background: Tensor


class VolumeRenderer(ForwardMap, ABC):
    """A radiance field, seen along rays: value (n, c), depth (n, 1) and opacity (n, 1), as in `volume.Rendered`.

    Rays are seen within the box [-1, 1]^3; outside it is empty. In training, distances are drawn from a generator of
    (seed, step); in evaluation nothing is random. Behind everything is the batch's "background" (n, c), or white if it
    holds none.

    Args:
        seed: Of the draws.
    """

    required_keys = ("origins", "directions")
    radiance = True

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.step: int | None = None

    def on_step(self, step: int, max_steps: int) -> None:
        self.step = step

    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]:
        origins, directions = batch["origins"], batch["directions"]
        rays = RayBundle(origins, directions, batch.get("background", torch.ones_like(origins)))
        if self.training:
            return self.see(field, rays, keyed_generator(self.seed, self.step or 0, DISTANCES))
        parts = [
            self.see(field, RayBundle(*(tensor[part] for tensor in rays)), None)
            for part in chunks(len(origins), self.rays_at_once())
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def density(self, field: Any, coords: Tensor) -> Tensor:
        """Densities (n, 1) at coords (n, 3) in the box, as far as rays meet them."""
        return field(coords)

    @abstractmethod
    def rays_at_once(self) -> int:
        """How many evaluation sees at a time, so that its memory does not grow with the pictures."""

    @abstractmethod
    def see(self, field: Any, rays: RayBundle, draws: torch.Generator | None) -> dict[str, Tensor]: ...


class HierarchicalRenderer(VolumeRenderer):
    """Volume rendering from stratified samples and, if asked for, more of them where those find something.

    Hierarchical sampling (Mildenhall et al. 2020, sec. 5.2): the weights of the first samples say where `num_fine` more
    are taken, and the color is that of all of them. A sample stands for the interval to half-way to its neighbors.

    Args:
        num_samples: First samples of each ray, in [1, 4096].
        num_fine: Further ones, in [0, 4096].
        coarse: Take the first samples from a second field, which learns from what is seen of it ("coarse"), as NeRF
            does. Otherwise they are of the field itself.
        seed: Of the draws.
    """

    def __init__(
        self,
        num_samples: int = 128,
        num_fine: int = 0,
        coarse: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        check_ranges(HierarchicalRenderer, num_samples=num_samples, num_fine=num_fine, seed=seed)
        if coarse and not num_fine:
            raise UserError("forward_map.coarse=true needs forward_map.num_fine of at least 1")
        self.num_samples = num_samples
        self.num_fine = num_fine
        self.coarse: nn.Module | None = None
        self.wants_coarse = coarse

    def build_auxiliary_fields(self, make_field: Callable[[], nn.Module]) -> None:
        if self.wants_coarse:
            self.coarse = make_field()

    def rays_at_once(self) -> int:
        return max(1, SAMPLES // (self.num_samples + self.num_fine))

    def see(self, field: Any, rays: RayBundle, draws: torch.Generator | None) -> dict[str, Tensor]:
        near, far = volume.box(rays.origins, rays.directions)
        distance = volume.stratified(near, far, self.num_samples, draws)
        if not self.num_fine:
            return shade(field, rays, distance, bounds(near, distance, far))[0]
        edges = bounds(near, distance, far)
        if self.coarse is None:
            with torch.no_grad():
                weight = volume.weights(densities(field, rays, distance)[0], edges.diff())
            first = {}
        else:
            seen, weight = shade(self.coarse, rays, distance, edges)
            first = {"coarse_value": seen["value"]}
        more = volume.resample(edges, weight.detach(), self.num_fine, draws)
        distance = torch.cat([distance, more], dim=-1).sort(dim=-1).values
        edges = bounds(near, distance, far)
        return shade(field, rays, distance, edges)[0] | first


def bounds(near: Tensor, distance: Tensor, far: Tensor) -> Tensor:
    """Edges (r, s + 1) of the intervals that samples at distances (r, s) stand for."""
    return torch.cat([near, (distance[:, 1:] + distance[:, :-1]) / 2, far], dim=-1)


def densities(field: Any, rays: RayBundle, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Densities (r, s) and features (r s, f) at distances (r, s)."""
    points = torch.addcmul(rays.origins[:, None], distance[..., None], rays.directions[:, None])
    density, features = field.density(points.flatten(0, 1))
    return density.view_as(distance), features


def shade(field: Any, rays: RayBundle, distance: Tensor, edges: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """What is seen, and the weights (r, s) of the samples."""
    density, features = densities(field, rays, distance)
    weight = volume.weights(density, edges.diff())
    ray = torch.arange(len(distance), device=distance.device).repeat_interleave(distance.shape[1])
    value = field.color(features, rays.directions, ray)
    seen = volume.composite(weight, value.unflatten(0, distance.shape), distance, rays.background)
    return seen._asdict(), weight
