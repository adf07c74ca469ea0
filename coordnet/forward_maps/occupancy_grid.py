import math
from typing import Annotated, Any

import torch
from torch import Tensor

from coordnet.coords import chunks
from coordnet.forward_maps.base import Batch
from coordnet.forward_maps.volume_renderer import SAMPLES_PER_CHUNK, VolumeRenderer
from coordnet.options import Range, validate_ranges
from coordnet.rendering import volume
from coordnet.rendering.occupancy_grid import OccupancyGrid
from coordnet.rendering.rays import PackedSamples, RayBundle, near_far, pack_samples
from coordnet.rendering.sampling import stratified
from coordnet.rng import RNG_GRID_UPDATE, keyed_generator

# An evaluation stops a ray when its transmittance is at most this.
EARLY_STOP_EPS = 1e-3
_MIN_SAMPLES_PER_RAY = 32
# Samples of each ray that an evaluation queries before the next check for early stops.
_SAMPLES_PER_SEGMENT = 32
# Samples that an evaluation looks up in the grid at a time.
_LOOKUPS_PER_CHUNK = 2**22


class OccupancyGridRenderer(VolumeRenderer):
    """Volume rendering with samples in occupied cells only (Müller et al. 2022, appendix C).

    Each ray is split into equal intervals with one sample each. Their number grows from 32 to `num_samples` as more
    cells are found empty, so that a training batch has about `target_samples` samples in occupied cells.

    Samples with a weight of at most `min_weight` are left out of a rendering. From step `update_after` on, training
    finds these samples in a first pass without gradients. An evaluation renders each ray in segments, and stops a ray
    when its transmittance is at most `EARLY_STOP_EPS`.

    Args:
        num_samples: Largest number of intervals on a ray.
        target_samples: Number of samples in occupied cells that a training batch should have.
        resolution: Number of grid cells along each axis.
        update_every: Number of steps between grid updates.
        update_after: Number of steps before the first grid update.
        ema_decay: Factor on the stored density of a cell at each update.
        threshold: Opacity above which a cell is occupied, for an interval of the box's diagonal / `num_samples`.
        min_weight: Weight up to which a sample is left out.
        seed: Seed of the random samples and grid updates.
    """

    samples_per_ray: Tensor

    @validate_ranges
    def __init__(
        self,
        num_samples: Annotated[int, Range(_MIN_SAMPLES_PER_RAY, 4096)] = 192,
        target_samples: Annotated[int, Range(2**10, 2**24, "samples")] = 65536,
        resolution: Annotated[int, Range(2, 512, "cells")] = 64,
        update_every: Annotated[int, Range(1, 10**6, "steps")] = 16,
        update_after: Annotated[int, Range(0, 10**6, "steps")] = 64,
        ema_decay: Annotated[float, Range(0, 1, above=True)] = 0.9,
        threshold: Annotated[float, Range(0, 1, below=True)] = 0.01,
        min_weight: Annotated[float, Range(0, 0.1)] = 1e-4,
        seed: Annotated[int, Range(0, 2**63 - 1)] = 0,
    ) -> None:
        super().__init__(seed)
        self.num_samples = num_samples
        self.target_samples = target_samples
        self.update_every = update_every
        self.update_after = update_after
        self.min_weight = min_weight
        self._updated_at: int | None = None
        self.occupancy_grid = OccupancyGrid(resolution, 2 * math.sqrt(3) / num_samples, ema_decay, threshold)
        self.register_buffer("samples_per_ray", torch.tensor(_MIN_SAMPLES_PER_RAY))

    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]:
        step = self.step
        if self.training and step is not None and step % self.update_every == 0 and step != self._updated_at:
            # A step that accumulates several batches updates the grid once.
            self._updated_at = step
            if step >= self.update_after:
                self.occupancy_grid.update(
                    field,
                    keyed_generator(self.seed, step, RNG_GRID_UPDATE),
                    update_all_cells=step - self.update_after < self.update_every,
                )
            self.update_samples_per_ray(batch["origins"], batch["directions"])
        return super().forward(field, batch)

    def update_samples_per_ray(self, origins: Tensor, directions: Tensor) -> None:
        """Set the samples per ray, so that these rays (r, 3) have about `target_samples` samples in occupied cells."""
        near, far = near_far(origins, directions)
        t = stratified(near, far, _MIN_SAMPLES_PER_RAY)
        num_occupied = int(self._is_occupied(origins, directions, near, far, t).sum())
        allowed = _MIN_SAMPLES_PER_RAY * self.target_samples // max(1, num_occupied)
        self.samples_per_ray.fill_(min(max(allowed, _MIN_SAMPLES_PER_RAY), self.num_samples))

    def density(self, field: Any, coords: Tensor) -> Tensor:
        """Densities (n, 1) of the field in occupied cells, and 0 in the other cells."""
        directions, t = torch.zeros_like(coords), coords.new_zeros(len(coords), 1)
        occupied = self.occupancy_grid.is_occupied(coords, directions, t)[:, 0]
        density = coords.new_zeros(len(coords), 1)
        density[occupied] = field(coords[occupied])
        return density

    def rays_per_chunk(self) -> int:
        cells = self.occupancy_grid.occupied
        rays = SAMPLES_PER_CHUNK * len(cells) // (_SAMPLES_PER_SEGMENT * max(1, int(cells.sum())))
        return min(rays, _LOOKUPS_PER_CHUNK // int(self.samples_per_ray))

    def render_rays(
        self, field: Any, rays: RayBundle, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        near, far = near_far(rays.origins, rays.directions)
        num_samples = int(self.samples_per_ray)
        t = stratified(near, far, num_samples, generator)
        occupied = self._is_occupied(rays.origins, rays.directions, near, far, t)
        deltas = (far - near)[:, 0] / num_samples
        if self.training:
            sums = self._accumulate_once(field, rays, pack_samples(occupied, t, deltas))
        else:
            sums = self._accumulate_in_segments(field, rays, occupied, t, deltas)
        return volume.composite_over_background(sums, rays.background)._asdict()

    def _accumulate_once(self, field: Any, rays: RayBundle, samples: PackedSamples) -> Tensor:
        """Sums (r, c + 2) along rays over the visible samples, for training."""
        num_rays = len(rays.origins)
        if self.step is not None and self.step >= self.update_after:
            with torch.no_grad():
                density, _ = field.density(samples.points(rays))
                visible = self._visible_samples(_compute_weights(density, samples, num_rays))
            samples = samples.select(visible)
        points = samples.points(rays)
        density, features = field.density(points)
        colors = field.color(points, rays.directions, features, samples.ray_indices)
        weights = _compute_weights(density, samples, num_rays)
        return volume.accumulate_along_rays(weights, colors, samples.t, samples.ray_indices, num_rays)

    def _accumulate_in_segments(
        self, field: Any, rays: RayBundle, occupied: Tensor, t: Tensor, deltas: Tensor
    ) -> Tensor:
        """Sums (r, c + 2) along rays over the visible samples, segment by segment with early stops, for evaluation.

        Args:
            field: A radiance field.
            rays: Rays to render.
            occupied: Booleans (r, s): the samples are in occupied cells.
            t: Distances (r, s) of the samples.
            deltas: Length (r,) of the intervals of each ray.
        """
        num_rays = len(rays.origins)
        sums = rays.origins.new_zeros(num_rays, rays.background.shape[-1] + 2)
        # The transmittance of all samples decides which samples are visible, as in training. The transmittance of the
        # visible samples alone weights their colors.
        transmittance = rays.origins.new_ones(num_rays)
        for part in chunks(t.shape[1], _SAMPLES_PER_SEGMENT):
            visible_transmittance = 1 - sums[:, -1]
            active_rays = (visible_transmittance > EARLY_STOP_EPS) & (transmittance > self.min_weight)
            samples = pack_samples(occupied[:, part] & active_rays[:, None], t[:, part], deltas)
            points = samples.points(rays)
            density, features = field.density(points)
            weights = _compute_weights(density, samples, num_rays)
            weights = weights * transmittance.index_select(0, samples.ray_indices)
            transmittance = transmittance.index_add(0, samples.ray_indices, weights, alpha=-1)

            visible = self._visible_samples(weights)
            samples = samples.select(visible)
            points, density, features = (
                tensor.index_select(0, visible) for tensor in (points, density, features)
            )
            weights = _compute_weights(density, samples, num_rays)
            weights = weights * visible_transmittance.index_select(0, samples.ray_indices)
            colors = field.color(points, rays.directions, features, samples.ray_indices)
            sums = sums + volume.accumulate_along_rays(
                weights, colors, samples.t, samples.ray_indices, num_rays
            )
        return sums

    def _is_occupied(
        self, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, t: Tensor
    ) -> Tensor:
        """Booleans (r, s): the samples at t (r, s) are in occupied cells, and their ray hits the box."""
        return self.occupancy_grid.is_occupied(origins, directions, t) & (far > near)

    def _visible_samples(self, weights: Tensor) -> Tensor:
        """Index (m,) of the samples whose weight (n,) is above `min_weight`."""
        return (weights > self.min_weight).nonzero()[:, 0]


def _compute_weights(density: Tensor, samples: PackedSamples, num_rays: int) -> Tensor:
    """Weights (n,) of packed samples with densities (n, 1), for rays with a transmittance of 1 before their samples."""
    return volume.packed_weights(density[:, 0], samples.deltas, samples.ray_indices, num_rays)
