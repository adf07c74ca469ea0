"""Volume rendering along rays (Mildenhall et al. 2020, sec. 4 and 5.2): pure functions.

Samples are either dense, (r, s): s of them on each of r rays, near ones first; or packed, (n,): those of all rays one
after the other, each with the index of its ray, in ascending order. Lengths and densities are in units of the
coordinates.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from coordnet.cameras import ray_box

# Share of the whole that every interval gets, so that none has a probability of 0.
FLOOR = 1e-5


class Rendered(NamedTuple):
    """What is seen along rays.

    Attributes:
        value: (r, c), the background included.
        depth: (r, 1), the mean distance of what is seen; 0 where nothing is.
        opacity: (r, 1), in [0, 1].
    """

    value: Tensor
    depth: Tensor
    opacity: Tensor


def weights(density: Tensor, length: Tensor) -> Tensor:
    """Share of each sample in its ray: w_i = T_i (1 - exp(-sigma_i l_i)), T_i = exp(-sum_(j<i) sigma_j l_j) (eq. 3).

    Args:
        density: (r, s), sigma of at least 0.
        length: (r, s), of the interval that each sample stands for.
    """
    thickness = density * length
    before = torch.cat([torch.zeros_like(thickness[:, :1]), thickness[:, :-1].cumsum(-1)], dim=-1)
    return (-before).exp() * -(-thickness).expm1()


def packed_weights(density: Tensor, length: Tensor, ray: Tensor, rays: int) -> Tensor:
    """`weights` of packed samples, (n,).

    Args:
        density: (n,).
        length: (n,).
        ray: (n,), in ascending order.
        rays: How many there are.
    """
    thickness = density * length
    # One sum runs through all rays: in float32 the last ones would lose what the first ones add up to.
    through = torch.nn.functional.pad(thickness.double().cumsum(0), (1, 0))
    before = (through[:-1] - through[firsts(ray, rays)[ray]]).to(density)
    return (-before).exp() * -(-thickness).expm1()


def firsts(ray: Tensor, rays: int) -> Tensor:
    """Where the samples of each ray begin, (rays,)."""
    count = torch.bincount(ray, minlength=rays)
    return count.cumsum(0) - count


def composite(weight: Tensor, value: Tensor, distance: Tensor, background: Tensor) -> Rendered:
    """Sum values (r, s, c) at distances (r, s) by their weights (r, s) over a background (r, c)."""
    sums = [
        (weight[..., None] * value).sum(1),
        (weight * distance).sum(1, keepdim=True),
        weight.sum(1, keepdim=True),
    ]
    return over(torch.cat(sums, dim=-1), background)


def packed_sums(weight: Tensor, value: Tensor, distance: Tensor, ray: Tensor, rays: int) -> Tensor:
    """Weighted sums of values, distances and ones along each ray, (rays, c + 2)."""
    terms = torch.cat([value, distance[:, None], torch.ones_like(distance)[:, None]], dim=-1)
    return terms.new_zeros(rays, terms.shape[-1]).index_add(0, ray, weight[:, None] * terms)


def over(sums: Tensor, background: Tensor) -> Rendered:
    """Weighted sums (r, c + 2), as of `packed_sums`, over a background (r, c)."""
    value, distance, opacity = sums.split([background.shape[-1], 1, 1], dim=-1)
    depth = distance / opacity.clamp(min=torch.finfo(opacity.dtype).tiny)
    return Rendered(value + (1 - opacity) * background, depth, opacity)


def box(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays (r, 3) enter and leave the box [-1, 1]^3, each (r, 1), from 0 on; twice the same if they miss it."""
    near, far = ray_box(origins, directions, -1.0, 1.0)
    return near[:, None], far[:, None]


def places(shape: tuple[int, int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """A number in each of shape[1] equal parts of [0, 1], for shape[0] rays: drawn uniformly, or the middle."""
    rays, count = shape
    within = 0.5 if generator is None else torch.rand(rays, count, generator=generator).to(like)
    return (torch.arange(count, device=like.device, dtype=like.dtype) + within).expand(rays, count) / count


def stratified(near: Tensor, far: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """A distance in each of `count` equal parts of [near, far] (r, 1): (r, count), drawn or in the middle (eq. 2)."""
    return torch.lerp(near, far, places((len(near), count), near, generator))


def resample(edges: Tensor, weight: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Distances (r, count), ascending, distributed as weights (r, s) on intervals between edges (r, s + 1) (sec. 5.2).

    The inverse of the piecewise linear distribution function, at stratified places or, without a generator, at the
    middles of `count` equal parts. Where all weights are 0 the intervals are equally likely.
    """
    share = weight + FLOOR * weight.sum(-1, keepdim=True) + torch.finfo(weight.dtype).tiny
    cumulative = torch.nn.functional.pad((share / share.sum(-1, keepdim=True)).cumsum(-1), (1, 0))
    place = places((len(edges), count), edges, generator).contiguous()
    right = torch.searchsorted(cumulative, place, right=True).clamp(1, weight.shape[-1])
    low, high = cumulative.gather(-1, right - 1), cumulative.gather(-1, right)
    within = ((place - low) / (high - low)).clamp(0, 1)
    return torch.lerp(edges.gather(-1, right - 1), edges.gather(-1, right), within)
