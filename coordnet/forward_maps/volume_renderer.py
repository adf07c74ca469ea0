from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from coordnet.coords import chunks
from coordnet.forward_maps.base import Batch, ForwardMap
from coordnet.rendering.rays import RayBundle
from coordnet.rng import RNG_RAY_SAMPLES, keyed_generator

# Ray samples that an evaluation queries at a time.
SAMPLES_PER_CHUNK = 2**16


class VolumeRenderer(ForwardMap, ABC):
    """Renders rays of a radiance field: value (n, c), depth (n, 1) and opacity (n, 1), as in `volume.Rendered`.

    The scene is the box [-1, 1]^3; the space outside is empty. Renderings are composited over the batch's "background"
    (n, c), or over white if the batch holds none. In training, samples are random by (seed, step). In evaluation,
    samples are fixed and rays are rendered in chunks.

    Args:
        seed: Seed of the random samples.
    """

    required_keys = ("origins", "directions")
    requires_radiance_field = True

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.step: int | None = None

    def on_step(self, step: int, max_steps: int) -> None:
        """Store the step, which the random samples depend on."""
        self.step = step

    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]:
        origins, directions = batch["origins"], batch["directions"]
        rays = RayBundle(origins, directions, batch.get("background", torch.ones_like(origins)))
        if self.training:
            return self.render_rays(field, rays, keyed_generator(self.seed, self.step or 0, RNG_RAY_SAMPLES))
        parts = [
            self.render_rays(field, RayBundle(*(tensor[part] for tensor in rays)), None)
            for part in chunks(len(origins), self.rays_per_chunk())
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def density(self, field: Any, coords: Tensor) -> Tensor:
        """Densities (n, 1) that the renderer uses at coords (n, 3) in the box."""
        return field(coords)

    @abstractmethod
    def rays_per_chunk(self) -> int:
        """Number of rays that an evaluation renders at a time, which bounds the memory."""

    @abstractmethod
    def render_rays(
        self, field: Any, rays: RayBundle, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Render rays.

        Args:
            field: A radiance field with the methods `density` and `color`.
            rays: Rays to render.
            generator: Source of the random samples; None for fixed samples.
        """
