"""Grids of fewer dimensions than the domain, multiplied and combined: planes and lines instead of volumes."""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Count, Encoding
from coordnet.encodings.grid import Grid, Resolution
from coordnet.options import validate_ranges

Combine = Literal["concat", "sum"]


class FactorizedGrid(Encoding):
    """gamma(x) = the components combined, each the product over its factors of grid(x along the axes of the factor).

    Args:
        domain: Box with the training samples along each axis.
        components: The axes of each factor, for each component: [[(0, 1), (2,)]] is one plane of x and y, times a
            line of z.
        resolution: Number of nodes of each grid across [-1, 1]; the default is the number of training samples.
        num_features: Number of features of each grid.
        combine: "concat" concatenates the features of the components, "sum" adds these features.
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
        factors = [axes for component in self.components for axes in component]
        grids = [Grid(domain.select_axes(axes), resolution, num_features) for axes in factors]
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
        return f"grids of {self.num_features} features and up to {self.nodes} nodes per axis: {joined}"


@validate_ranges
def planes(
    domain: Domain, resolution: Resolution = None, num_features: Count = 16, combine: Combine = "concat"
) -> FactorizedGrid:
    """A plane of trained values for each pair of axes: the tri-plane in 3 dimensions (Chan et al. 2022 add the planes).

    Args:
        domain: Box with 2 to 4 axes.
        resolution: Number of nodes of each plane across [-1, 1]; the default is the number of training samples.
        num_features: Number of features of each plane.
        combine: "concat" concatenates the features of the planes, "sum" adds these features.

    Raises:
        ValueError: The domain has another number of axes.
    """
    _check_dim(domain, "planes", 2, 4)
    return FactorizedGrid(domain, [[pair] for pair in _pairs(domain)], resolution, num_features, combine)


@validate_ranges
def plane_product(domain: Domain, resolution: Resolution = None, num_features: Count = 16) -> FactorizedGrid:
    """The product of a plane for each pair of axes (Fridovich-Keil et al. 2023, eq. 2), values from U(0.1, 0.5).

    Args:
        domain: Box with 2 to 4 axes.
        resolution: Number of nodes of each plane across [-1, 1]; the default is the number of training samples.
        num_features: Number of features of each plane.

    Raises:
        ValueError: The domain has another number of axes.
    """
    _check_dim(domain, "plane_product", 2, 4)
    product = FactorizedGrid(domain, [_pairs(domain)], resolution, num_features, "concat")
    for values in product.parameters():
        nn.init.uniform_(values, 0.1, 0.5)
    return product


@validate_ranges
def vector_matrix(domain: Domain, resolution: Resolution = None, num_features: Count = 16) -> FactorizedGrid:
    """For each axis a line along it, times a plane of the other axes (TensoRF's VM: Chen et al. 2022, eq. 3).

    Values start from N(0, 0.1^2). In 2 dimensions the plane of the other axes is a line, too.

    Args:
        domain: Box with 2 or 3 axes.
        resolution: Number of nodes of each grid across [-1, 1]; the default is the number of training samples.
        num_features: R, the number of features of each axis.

    Raises:
        ValueError: The domain has another number of axes.
    """
    _check_dim(domain, "vector_matrix", 2, 3)
    components = []
    for axis in range(domain.dim):
        others = tuple(other for other in range(domain.dim) if other != axis)
        components.append([others, (axis,)])
    grid = FactorizedGrid(domain, components, resolution, num_features, "concat")
    for values in grid.parameters():
        nn.init.normal_(values, std=0.1)
    return grid


def _pairs(domain: Domain) -> list[tuple[int, ...]]:
    return list(combinations(range(domain.dim), 2))


def _check_dim(domain: Domain, name: str, least: int, most: int) -> None:
    if not least <= domain.dim <= most:
        raise ValueError(f"{name} needs {least} to {most} columns, and the domain has {domain.dim}")
