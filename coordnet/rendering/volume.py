"""Volume rendering along rays (Mildenhall et al. 2020, sec. 4): pure functions of dense or packed samples."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rendered(NamedTuple):
    """A rendering of r rays.

    Attributes:
        value: Colors (r, c), composited over the background.
        depth: Mean distances (r, 1) of the weights; 0 if all weights are 0.
        opacity: Sums (r, 1) of the weights, in [0, 1].
    """

    value: Tensor
    depth: Tensor
    opacity: Tensor


def weights(density: Tensor, deltas: Tensor) -> Tensor:
    """Weights (r, s) of dense samples (eq. 3).

        w_i = T_i (1 - exp(-sigma_i delta_i)),    T_i = exp(-sum_(j<i) sigma_j delta_j)

    T_i is the transmittance: the share of light that passes all samples before sample i.

    Args:
        density: Densities sigma (r, s) of at least 0, per unit of the coordinates.
        deltas: Lengths (r, s) of the intervals.
    """
    density_delta = density * deltas
    accumulated = torch.cat(
        [torch.zeros_like(density_delta[:, :1]), density_delta[:, :-1].cumsum(-1)], dim=-1
    )
    transmittance = (-accumulated).exp()
    return transmittance * -(-density_delta).expm1()


def packed_weights(density: Tensor, deltas: Tensor, ray_indices: Tensor, num_rays: int) -> Tensor:
    """Weights (n,) of packed samples, by the formula of `weights`.

    Args:
        density: Densities (n,) of at least 0.
        deltas: Lengths (n,) of the intervals.
        ray_indices: Indices (n,) of the rays, in ascending order.
        num_rays: Number of rays.
    """
    density_delta = density * deltas
    # The sum runs through all rays. In float32 it would lose the small terms of the last rays.
    cumulative = torch.nn.functional.pad(density_delta.double().cumsum(0), (1, 0))
    starts = _ray_starts(ray_indices, num_rays)
    accumulated = (cumulative[:-1] - cumulative[starts[ray_indices]]).to(density)
    transmittance = (-accumulated).exp()
    return transmittance * -(-density_delta).expm1()


def composite(weights: Tensor, values: Tensor, t: Tensor, background: Tensor) -> Rendered:
    """Render dense samples: sum values by their weights, over a background (eq. 3).

    Args:
        weights: Weights (r, s).
        values: Colors (r, s, c).
        t: Distances (r, s).
        background: Colors (r, c).
    """
    sums = [
        (weights[..., None] * values).sum(1),
        (weights * t).sum(1, keepdim=True),
        weights.sum(1, keepdim=True),
    ]
    return composite_over_background(torch.cat(sums, dim=-1), background)


def accumulate_along_rays(
    weights: Tensor, values: Tensor, t: Tensor, ray_indices: Tensor, num_rays: int
) -> Tensor:
    """Sums (num_rays, c + 2) of weighted values, weighted distances and weights along each ray.

    Args:
        weights: Weights (n,).
        values: Colors (n, c).
        t: Distances (n,).
        ray_indices: Indices (n,) of the rays.
        num_rays: Number of rays.
    """
    terms = torch.cat([values, t[:, None], torch.ones_like(t)[:, None]], dim=-1)
    return terms.new_zeros(num_rays, terms.shape[-1]).index_add(0, ray_indices, weights[:, None] * terms)


def composite_over_background(sums: Tensor, background: Tensor) -> Rendered:
    """Composite sums (r, c + 2) of `accumulate_along_rays` over a background (r, c)."""
    value, distance, opacity = sums.split([background.shape[-1], 1, 1], dim=-1)
    depth = distance / opacity.clamp(min=torch.finfo(opacity.dtype).tiny)
    return Rendered(value + (1 - opacity) * background, depth, opacity)


def _ray_starts(ray_indices: Tensor, num_rays: int) -> Tensor:
    """Index (num_rays,) of the first packed sample of each ray."""
    counts = torch.bincount(ray_indices, minlength=num_rays)
    return counts.cumsum(0) - counts
