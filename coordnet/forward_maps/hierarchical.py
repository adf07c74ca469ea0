from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from coordnet.errors import OptionError
from coordnet.forward_maps.volume_renderer import SAMPLES_PER_CHUNK, VolumeRenderer
from coordnet.options import Range, validate_ranges
from coordnet.rendering import volume
from coordnet.rendering.rays import RayBundle, RaySamples, near_far
from coordnet.rendering.sampling import interval_edges, sample_pdf, stratified


class HierarchicalRenderer(VolumeRenderer):
    """Volume rendering with stratified samples and, optionally, importance samples.

    Each ray has `num_samples` stratified samples. Their weights are the density of `num_fine` importance samples, as in
    Mildenhall et al. 2020 (sec. 5.2). The color is rendered from all samples together. The interval of a sample reaches
    halfway to its neighbors.

    In training the prediction also holds the "weights" (n, s) and the interval "edges" (n, s + 1) of all s samples.

    Args:
        num_samples: Number of stratified samples on each ray.
        num_fine: Number of importance samples on each ray.
        coarse: True takes the weights of the stratified samples from a second field, as NeRF does. The colors that the
            second field renders are predicted as "coarse_value". False takes the weights from the field itself.
        seed: Seed of the random samples.
    """

    @validate_ranges
    def __init__(
        self,
        num_samples: Annotated[int, Range(1, 4096)] = 128,
        num_fine: Annotated[int, Range(0, 4096)] = 0,
        coarse: bool = False,
        seed: Annotated[int, Range(0, 2**63 - 1)] = 0,
    ) -> None:
        super().__init__(seed)
        if coarse and not num_fine:
            raise OptionError("num_fine", num_fine, "must be at least 1 with coarse=true")
        self.num_samples = num_samples
        self.num_fine = num_fine
        self.needs_coarse_field = coarse
        self.coarse_field: nn.Module | None = None

    def build_auxiliary_fields(self, make_field: Callable[[], nn.Module]) -> None:
        if self.needs_coarse_field:
            self.coarse_field = make_field()

    def rays_per_chunk(self) -> int:
        return max(1, SAMPLES_PER_CHUNK // (self.num_samples + self.num_fine))

    def render_rays(
        self, field: Any, rays: RayBundle, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        near, far = near_far(rays.origins, rays.directions)
        t = stratified(near, far, self.num_samples, generator)
        samples = RaySamples(t, interval_edges(near, t, far))
        coarse: dict[str, Tensor] = {}
        if self.num_fine:
            if self.coarse_field is None:
                with torch.no_grad():
                    density, _ = _query_density(field, rays.points(t))
                    weights = volume.weights(density, samples.deltas)
            else:
                rendered, weights = _render_samples(self.coarse_field, rays, samples)
                coarse["coarse_value"] = rendered.value
            fine = sample_pdf(samples.edges, weights.detach(), self.num_fine, generator)
            t = torch.cat([t, fine], dim=-1).sort(dim=-1).values
            samples = RaySamples(t, interval_edges(near, t, far))
        rendered, weights = _render_samples(field, rays, samples)
        prediction = rendered._asdict() | coarse
        if self.training:
            prediction |= {"weights": weights, "edges": samples.edges}
        return prediction


def _query_density(field: Any, points: Tensor) -> tuple[Tensor, Tensor]:
    """Densities (r, s) and features (r s, f) of a radiance field at points (r, s, 3)."""
    density, features = field.density(points.flatten(0, 1))
    return density.view(points.shape[:-1]), features


def _render_samples(field: Any, rays: RayBundle, samples: RaySamples) -> tuple[volume.Rendered, Tensor]:
    """Query a radiance field at dense samples: the rendering, and the weights (r, s) of the samples."""
    num_rays, num_samples = samples.t.shape
    points = rays.points(samples.t)
    density, features = _query_density(field, points)
    weights = volume.weights(density, samples.deltas)
    ray_indices = torch.arange(num_rays, device=points.device).repeat_interleave(num_samples)
    colors = field.color(points.flatten(0, 1), rays.directions, features, ray_indices)
    values = colors.unflatten(0, samples.t.shape)
    return volume.composite(weights, values, samples.t, rays.background), weights
