import math
from typing import Any

import torch
from torch import Tensor

from coordnet.coords import chunks
from coordnet.forward_maps.base import Batch
from coordnet.forward_maps.hierarchical import SAMPLES, RayBundle, VolumeRenderer
from coordnet.ranges import check_ranges
from coordnet.rendering import volume
from coordnet.rendering.occupancy_grid import Occupancy
from coordnet.rng import keyed_generator

# What the draws of a step are for, besides its batch and its distances.
CELLS = 2
# Samples of a ray, at the least.
FEWEST = 32
# In evaluation, so many samples of each ray are taken at a time, and rays that let less through than this stop.
SEGMENT = 32
STOP = 1e-3
# Distances that are looked up in the grid at a time.
PLACES = 2**22


class OccupancyGridRenderer(VolumeRenderer):
    """Volume rendering with samples only in cells that an occupancy grid has not found empty.

    Rays have equal parts with a sample in each; how many, is as `budget` allows and at most `num_samples`: few while
    nothing is known to be empty, and more as more is. Samples with a weight of at most `min_weight` are left out, as if
    there were nothing; in training those are found, after the warm-up, by a first pass without gradients.

    Args:
        num_samples: Parts of each ray at the most, in [32, 4096].
        budget: GridComparison of a training batch in occupied cells, roughly, in [1024, 2^24].
        resolution: Cells of the grid along each axis, in [2, 512].
        every: Steps between its updates.
        warmup: Steps before the first.
        decay: Of the densities it remembers, per look at a cell.
        threshold: Opacity of a part of a ray that has `num_samples`, from which on a cell is occupied.
        min_weight: In [0, 0.1].
        seed: Of the draws.
    """

    samples: Tensor

    def __init__(
        self,
        num_samples: int = 192,
        budget: int = 65536,
        resolution: int = 64,
        every: int = 16,
        warmup: int = 64,
        decay: float = 0.9,
        threshold: float = 0.01,
        min_weight: float = 1e-4,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        check_ranges(
            OccupancyGridRenderer,
            num_samples=num_samples,
            budget=budget,
            resolution=resolution,
            every=every,
            warmup=warmup,
            decay=decay,
            threshold=threshold,
            min_weight=min_weight,
            seed=seed,
        )
        self.num_samples = num_samples
        self.budget = budget
        self.every = every
        self.warmup = warmup
        self.min_weight = min_weight
        self.occupancy = Occupancy(resolution, 2 * math.sqrt(3) / num_samples, decay, threshold)
        self.register_buffer("samples", torch.tensor(FEWEST))

    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]:
        step = self.step
        if self.training and step is not None and step % self.every == 0:
            if step >= self.warmup:
                first = step - self.warmup < self.every
                self.occupancy.update(field, keyed_generator(self.seed, step, CELLS), everywhere=first)
            self.adapt(batch["origins"], batch["directions"])
        return super().forward(field, batch)

    def adapt(self, origins: Tensor, directions: Tensor) -> None:
        """Take as many samples of each ray as the budget allows for these rays."""
        near, far = volume.box(origins, directions)
        distance = volume.stratified(near, far, FEWEST)
        count = int(self.places(origins, directions, near, far, distance).sum())
        allowed = FEWEST * self.budget // max(1, count)
        self.samples.fill_(min(max(allowed, FEWEST), self.num_samples))

    def density(self, field: Any, coords: Tensor) -> Tensor:
        """Those of the field in cells that are not known to be empty; 0 in the others."""
        here = self.occupancy.along(coords, torch.zeros_like(coords), coords.new_zeros(len(coords), 1))[:, 0]
        found = coords.new_zeros(len(coords), 1)
        found[here] = field(coords[here])
        return found

    def places(self, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, at: Tensor) -> Tensor:
        return self.occupancy.along(origins, directions, at) & (far > near)

    def rays_at_once(self) -> int:
        occupied = self.occupancy.occupied
        samples = SAMPLES * len(occupied) // (SEGMENT * max(1, int(occupied.sum())))
        return min(samples, PLACES // int(self.samples))

    def see(self, field: Any, rays: RayBundle, draws: torch.Generator | None) -> dict[str, Tensor]:
        origins, directions, behind = rays
        near, far = volume.box(origins, directions)
        count = int(self.samples)
        distance = volume.stratified(near, far, count, draws)
        worth = self.places(origins, directions, near, far, distance)
        length = (far - near)[:, 0] / count

        def look(ray: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
            """Densities (n,) and features (n, f) of samples."""
            start, slope = origins.index_select(0, ray), directions.index_select(0, ray)
            density, features = field.density(torch.addcmul(start, at[:, None], slope))
            return density[:, 0], features

        def weigh(density: Tensor, ray: Tensor) -> Tensor:
            """Weights (n,) of samples on rays with nothing before them."""
            return volume.packed_weights(density, length.index_select(0, ray), ray, len(origins))

        def bright(weight: Tensor) -> Tensor:
            return (weight > self.min_weight).nonzero()[:, 0]

        if self.training:
            ray, at = picked(worth, distance)
            if self.step is not None and self.step >= self.warmup:
                with torch.no_grad():
                    kept = bright(weigh(look(ray, at)[0], ray))
                ray, at = ray.index_select(0, kept), at.index_select(0, kept)
            density, features = look(ray, at)
            color = field.color(features, directions, ray)
            total = volume.packed_sums(weigh(density, ray), color, at, ray, len(origins))
        else:
            total = origins.new_zeros(len(origins), behind.shape[-1] + 2)
            # What all samples so far let through: those that are left out count in the choice, as in training.
            passed = origins.new_ones(len(origins))
            for part in chunks(count, SEGMENT):
                through = 1 - total[:, -1]
                going = (through > STOP) & (passed > self.min_weight)
                ray, at = picked(worth[:, part] & going[:, None], distance[:, part])
                density, features = look(ray, at)
                weight = weigh(density, ray) * passed.index_select(0, ray)
                passed = passed.index_add(0, ray, weight, alpha=-1)
                kept = bright(weight)
                ray, at, density, features = (
                    each.index_select(0, kept) for each in (ray, at, density, features)
                )
                weight = weigh(density, ray) * through.index_select(0, ray)
                color = field.color(features, directions, ray)
                total = total + volume.packed_sums(weight, color, at, ray, len(origins))
        return volume.over(total, behind)._asdict()


def picked(mask: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The ray and the distance of each sample in a mask (r, s), (n,)."""
    flat = mask.flatten().nonzero()[:, 0]
    return flat // mask.shape[1], distance.flatten().index_select(0, flat)
