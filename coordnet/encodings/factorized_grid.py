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


class FactorizedGrid(Encoding):
    """gamma(x) = the components together, each the product over its factors of grid(x of the factor's axes).

    Args:
        domain: Gives the dimension and the training samples.
        components: The axes of each factor, for each component: [[(0, 1), (2,)]] is one plane of x and y, times a
            line of z.
        resolution: Nodes of each grid across the domain, in [2, 2^16]; the training samples if not given.
        num_features: Of each grid.
        combine: Components are concatenated or added.
    """

    def __init__(
        self,
        domain: Domain,
        components: Sequence[Sequence[Sequence[int]]],
        resolution: int | None,
        num_features: int,
        combine: Combine,
    ) -> None:
        super().__init__()
        self.components = [[list(axes) for axes in component] for component in components]
        self.combine = combine
        # One after another, as the components name them.
        grids = [
            Grid(domain.select_axes(axes), resolution, num_features)
            for component in self.components
            for axes in component
        ]
        self.grids = nn.ModuleList(grids)
        self.nodes = max(max(grid.nodes) for grid in grids)
        self.num_features = num_features
        self.in_dim = domain.dim
        self.out_dim = num_features * (len(components) if combine == "concat" else 1)

    def forward(self, coords: Tensor) -> Tensor:
        grids = iter(self.grids)
        features = [
            reduce(torch.mul, [next(grids)(coords[..., axes]) for axes in component])
            for component in self.components
        ]
        return torch.cat(features, dim=-1) if self.combine == "concat" else reduce(torch.add, features)

    def formula(self) -> str:
        components = [
            " * ".join("".join("xyzw"[axis] for axis in axes) for axes in component)
            for component in self.components
        ]
        joined = (", " if self.combine == "concat" else " + ").join(components)
        return f"grids of {self.num_features} features and up to {self.nodes} nodes an axis: {joined}"


def planes(
    domain: Domain, resolution: int | None = None, num_features: int = 16, combine: Combine = "concat"
) -> FactorizedGrid:
    """A plane of values for each pair of axes: the tri-plane in 3 dimensions (Chan et al. 2022 add them).

    Args:
        domain: Of 2 to 4 dimensions.
        resolution: Nodes of each plane across the domain, in [2, 2^16]; the training samples if not given.
        num_features: Of each plane, up to 2^16.
        combine: "concat" keeps the planes' features side by side, "sum" adds them.
    """
    check_ranges(planes, resolution=resolution, num_features=num_features)
    check_dims(domain, "planes", 2, 4)
    return FactorizedGrid(domain, [[pair] for pair in pairs(domain)], resolution, num_features, combine)


def plane_product(domain: Domain, resolution: int | None = None, num_features: int = 16) -> FactorizedGrid:
    """The product of a plane for each pair of axes (Fridovich-Keil et al. 2023, eq. 2), values from U(0.1, 0.5).

    Args:
        domain: Of 2 to 4 dimensions.
        resolution: Nodes of each plane across the domain, in [2, 2^16]; the training samples if not given.
        num_features: Of each plane, up to 2^16.
    """
    check_ranges(plane_product, resolution=resolution, num_features=num_features)
    check_dims(domain, "plane_product", 2, 4)
    factors = FactorizedGrid(domain, [pairs(domain)], resolution, num_features, "concat")
    for values in factors.parameters():
        nn.init.uniform_(values, 0.1, 0.5)
    return factors


def vector_matrix(domain: Domain, resolution: int | None = None, num_features: int = 16) -> FactorizedGrid:
    """For each axis a line along it, times a plane across it (TensoRF's VM decomposition: Chen et al. 2022, eq. 3).

    Values start from N(0, 0.1^2). In 2 dimensions the plane across is a line, too.

    Args:
        domain: Of 2 or 3 dimensions.
        resolution: Nodes of each grid across the domain, in [2, 2^16]; the training samples if not given.
        num_features: R, of each axis, up to 2^16.
    """
    check_ranges(vector_matrix, resolution=resolution, num_features=num_features)
    check_dims(domain, "vector_matrix", 2, 3)
    components = []
    for axis in range(domain.dim):
        across = tuple(other for other in range(domain.dim) if other != axis)
        components.append([across, (axis,)])
    factors = FactorizedGrid(domain, components, resolution, num_features, "concat")
    for values in factors.parameters():
        nn.init.normal_(values, std=0.1)
    return factors


def pairs(domain: Domain) -> list[tuple[int, ...]]:
    return list(combinations(range(domain.dim), 2))


def check_dims(domain: Domain, name: str, least: int, most: int) -> None:
    if not least <= domain.dim <= most:
        raise UserError(f"encoding={name} takes {least} to {most} columns, and not {domain.dim}")
