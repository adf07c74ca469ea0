"""Distances of samples along rays (Mildenhall et al. 2020, sec. 4 and 5.2): pure functions.

Functions with a generator draw random numbers. Without a generator, they return the middles in place of random numbers.
"""

import torch
from torch import Tensor

# Share of the total weight that is added to every interval, so that no interval has a probability of 0.
_PDF_EPS = 1e-5


def stratified(
    near: Tensor, far: Tensor, num_samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """One distance in each of `num_samples` equal parts of [near, far] (eq. 2).

    Args:
        near: Distances (r, 1) where the rays enter the scene.
        far: Distances (r, 1) where the rays leave the scene.
        num_samples: Number of parts.
        generator: Source of the random numbers.

    Returns:
        Distances (r, num_samples), in ascending order.
    """
    return torch.lerp(near, far, _stratified_uniforms((len(near), num_samples), near, generator))


def sample_pdf(
    edges: Tensor, weights: Tensor, num_samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """Sample distances from a piecewise constant density (sec. 5.2).

    The distances are the inverse of the piecewise linear distribution function at stratified uniforms. If all weights
    of a ray are 0, its intervals are equally likely.

    Args:
        edges: Edges (r, s + 1) of the intervals.
        weights: Weights (r, s) of at least 0, one for each interval.
        num_samples: Number of distances on each ray.
        generator: Source of the random numbers.

    Returns:
        Distances (r, num_samples), in ascending order.
    """
    pdf = weights + _PDF_EPS * weights.sum(-1, keepdim=True) + torch.finfo(weights.dtype).tiny
    cdf = torch.nn.functional.pad((pdf / pdf.sum(-1, keepdim=True)).cumsum(-1), (1, 0))
    u = _stratified_uniforms((len(edges), num_samples), edges, generator).contiguous()
    right = torch.searchsorted(cdf, u, right=True).clamp(1, weights.shape[-1])
    cdf_left, cdf_right = cdf.gather(-1, right - 1), cdf.gather(-1, right)
    fraction = ((u - cdf_left) / (cdf_right - cdf_left)).clamp(0, 1)
    return torch.lerp(edges.gather(-1, right - 1), edges.gather(-1, right), fraction)


def interval_edges(near: Tensor, t: Tensor, far: Tensor) -> Tensor:
    """Edges (r, s + 1) of the intervals of samples at t (r, s): near, the midpoints of neighbors, far."""
    return torch.cat([near, (t[:, 1:] + t[:, :-1]) / 2, far], dim=-1)


def _stratified_uniforms(shape: tuple[int, int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """One number in each of shape[1] equal parts of [0, 1], for each of shape[0] rays."""
    num_rays, num_parts = shape
    fraction = 0.5 if generator is None else torch.rand(num_rays, num_parts, generator=generator).to(like)
    parts = torch.arange(num_parts, device=like.device, dtype=like.dtype)
    return (parts + fraction).expand(num_rays, num_parts) / num_parts
