"""Grids of fewer dimensions than the domain, multiplied and put together: planes and lines instead of volumes."""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.grid import Grid
from coordnet.errors import UserError
from coordnet.ranges import check_ranges

Combine = Literal["concat", "sum"]


class Factors(Encoding):
    """gamma(x) = the modes together, each the product over its factors of grid(x of the factor's axes).

    Args:
        domain: Gives the dimension and the training samples.
        modes: Of each mode, the axes of each factor: [[(0, 1), (2,)]] is one plane of x and y, times a line of z.
        resolution: Nodes of each grid across the domain, in [2, 2^16]; the training samples if not given.
        channels: Of each grid.
        combine: Modes are concatenated or added.
    """

    def __init__(
        self,
        domain: Domain,
        modes: Sequence[Sequence[Sequence[int]]],
        resolution: int | None,
        channels: int,
        combine: Combine,
    ) -> None:
        super().__init__()
        self.modes = [[list(axes) for axes in mode] for mode in modes]
        self.combine = combine
        # One after another, as the modes name them.
        grids = [Grid(domain.part(axes), resolution, channels) for mode in self.modes for axes in mode]
        self.grids = nn.ModuleList(grids)
        self.nodes = max(max(grid.nodes) for grid in grids)
        self.channels = channels
        self.in_dim = domain.dim
        self.out_dim = channels * (len(modes) if combine == "concat" else 1)

    def forward(self, coords: Tensor) -> Tensor:
        grids = iter(self.grids)
        features = [
            reduce(torch.mul, [next(grids)(coords[..., axes]) for axes in mode]) for mode in self.modes
        ]
        return torch.cat(features, dim=-1) if self.combine == "concat" else reduce(torch.add, features)

    def formula(self) -> str:
        modes = [" * ".join("".join("xyzw"[axis] for axis in axes) for axes in mode) for mode in self.modes]
        joined = (", " if self.combine == "concat" else " + ").join(modes)
        return f"grids of {self.channels} channels and up to {self.nodes} nodes an axis: {joined}"


def planes(
    domain: Domain, resolution: int | None = None, channels: int = 16, combine: Combine = "concat"
) -> Factors:
    """A plane of values for each pair of axes: the tri-plane in 3 dimensions (Chan et al. 2022 add them).

    Args:
        domain: Of 2 to 4 dimensions.
        resolution: Nodes of each plane across the domain, in [2, 2^16]; the training samples if not given.
        channels: Of each plane, up to 2^16.
        combine: "concat" keeps the planes' features side by side, "sum" adds them.
    """
    check_ranges(planes, resolution=resolution, channels=channels)
    check_dims(domain, "planes", 2, 4)
    return Factors(domain, [[pair] for pair in pairs(domain)], resolution, channels, combine)


def plane_product(domain: Domain, resolution: int | None = None, channels: int = 16) -> Factors:
    """The product of a plane for each pair of axes (Fridovich-Keil et al. 2023, eq. 2), values from U(0.1, 0.5).

    Args:
        domain: Of 2 to 4 dimensions.
        resolution: Nodes of each plane across the domain, in [2, 2^16]; the training samples if not given.
        channels: Of each plane, up to 2^16.
    """
    check_ranges(plane_product, resolution=resolution, channels=channels)
    check_dims(domain, "plane_product", 2, 4)
    factors = Factors(domain, [pairs(domain)], resolution, channels, "concat")
    for values in factors.parameters():
        nn.init.uniform_(values, 0.1, 0.5)
    return factors


def vector_matrix(domain: Domain, resolution: int | None = None, channels: int = 16) -> Factors:
    """For each axis a line along it, times a plane across it (TensoRF's VM decomposition: Chen et al. 2022, eq. 3).

    Values start from N(0, 0.1^2). In 2 dimensions the plane across is a line, too.

    Args:
        domain: Of 2 or 3 dimensions.
        resolution: Nodes of each grid across the domain, in [2, 2^16]; the training samples if not given.
        channels: R, of each axis, up to 2^16.
    """
    check_ranges(vector_matrix, resolution=resolution, channels=channels)
    check_dims(domain, "vector_matrix", 2, 3)
    modes = []
    for axis in range(domain.dim):
        across = tuple(other for other in range(domain.dim) if other != axis)
        modes.append([across, (axis,)])
    factors = Factors(domain, modes, resolution, channels, "concat")
    for values in factors.parameters():
        nn.init.normal_(values, std=0.1)
    return factors


def pairs(domain: Domain) -> list[tuple[int, ...]]:
    return list(combinations(range(domain.dim), 2))


def check_dims(domain: Domain, name: str, least: int, most: int) -> None:
    if not least <= domain.dim <= most:
        raise UserError(f"encoding={name} takes {least} to {most} columns, and not {domain.dim}")
