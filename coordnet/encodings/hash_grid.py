import math
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import check_minimum
from coordnet.encodings.grid import INIT_SCALE
from coordnet.encodings.interpolate import cell_and_fraction, cell_corners, corner_weights, gather_interpolate
from coordnet.errors import UserError
from coordnet.ranges import MAX_WEIGHTS, check_ranges

# Of the first three axes by Müller et al. 2022, eq. 4, and a fourth as in their code, as int32 of the same bits.
PRIMES = (1, 2654435761 - 2**32, 805459861, 3674653429 - 2**32)
# A number this close below a whole one is that one: floor(16 b^15) for b = 128^(1 / 15) is 2048, and not 2047.
ROUNDING = 1e-6


class HashGrid(Encoding):
    """Values interpolated from grids of many resolutions side by side, fine ones hashed (Müller et al. 2022).

    Level l has N_l = floor(N_min b^l) cells across the domain, b = (N_max / N_min)^(1 / (L - 1)). A level whose nodes
    fit into 2^T entries has a value for each; the nodes i of others share those of a table of 2^T, at the exclusive or
    of i_k p_k, with primes p, modulo 2^T (eq. 4). Values start uniform in +-1e-4.

    Args:
        domain: Gives the dimension, 1 to 4, and the training samples.
        num_levels: L, in [1, 64].
        features_per_level: Of each value; the features are those of all levels.
        log2_hashmap_size: T, in [1, 24].
        base_resolution: N_min.
        max_resolution: N_max, from N_min to 2^16; by default the training samples across the domain.
        interpolation: With "smoothstep", weights are 3t^2 - 2t^3 instead of t, so that the features
            have continuous derivatives (App. A).
    """

    cells: Tensor
    nodes: Tensor
    strides: Tensor
    starts: Tensor
    extent: Tensor

    def __init__(
        self,
        domain: Domain,
        num_levels: int = 16,
        features_per_level: int = 2,
        log2_hashmap_size: int = 19,
        base_resolution: int = 16,
        max_resolution: int | None = None,
        interpolation: Literal["linear", "smoothstep"] = "linear",
    ) -> None:
        super().__init__()
        if domain.dim > len(PRIMES):
            raise UserError(f"encoding=hash_grid takes 1 to {len(PRIMES)} columns, and not {domain.dim}")
        check_ranges(
            HashGrid,
            num_levels=num_levels,
            features_per_level=features_per_level,
            log2_hashmap_size=log2_hashmap_size,
            base_resolution=base_resolution,
            max_resolution=max_resolution,
        )
        if max_resolution is None:
            max_resolution = max(base_resolution, math.ceil(domain.resolution / domain.train_stride))
        check_minimum("max_resolution", max_resolution, base_resolution)
        self.resolutions = resolutions(num_levels, base_resolution, max_resolution)
        self.log2_hashmap_size = log2_hashmap_size
        self.interpolation = interpolation
        # Rounded up, in whole numbers.
        nodes = [[1 - -cells * n // domain.resolution for n in domain.size] for cells in self.resolutions]
        fits = [math.prod(n) <= 2**log2_hashmap_size for n in nodes]
        self.dense = sum(fits)
        self.sizes = [
            math.prod(n) if fit else 2**log2_hashmap_size for n, fit in zip(nodes, fits, strict=True)
        ]
        if sum(self.sizes) * features_per_level > MAX_WEIGHTS:
            raise UserError(
                f"encoding.log2_hashmap_size={log2_hashmap_size} makes "
                f"{sum(self.sizes) * features_per_level} values; {MAX_WEIGHTS} are allowed"
            )
        strides = [
            [math.prod(n[:k]) if fit else PRIMES[k] for k in range(domain.dim)]
            for n, fit in zip(nodes, fits, strict=True)
        ]
        starts = [sum(self.sizes[:level]) for level in range(num_levels)]
        # Of each axis and level, before the points.
        self.register_buffer("cells", torch.tensor(self.resolutions).float()[:, None], persistent=False)
        self.register_buffer("nodes", torch.tensor(nodes, dtype=torch.int32).T[..., None], persistent=False)
        self.register_buffer(
            "strides", torch.tensor(strides, dtype=torch.int32).T[..., None], persistent=False
        )
        self.register_buffer(
            "starts", torch.tensor(starts, dtype=torch.int32)[:, None, None], persistent=False
        )
        self.register_buffer("extent", torch.tensor(domain.extent), persistent=False)
        self.values = nn.Parameter(
            torch.empty(sum(self.sizes), features_per_level).uniform_(-INIT_SCALE, INIT_SCALE)
        )
        self.in_dim = domain.dim
        self.out_dim = num_levels * features_per_level

    def forward(self, coords: Tensor) -> Tensor:
        flat = coords.reshape(-1, self.in_dim)
        inside = ((flat + self.extent) / 2).clamp(torch.zeros_like(self.extent), self.extent)
        low, beyond = cell_and_fraction(inside.T[:, None] * self.cells, self.nodes)
        if self.interpolation == "smoothstep":
            beyond = beyond.square() * (3 - 2 * beyond)
        first = low * self.strides
        ends = torch.stack([first, first + self.strides], dim=-2)
        plain = cell_corners(list(ends[:, : self.dense]), torch.add)
        hashed = cell_corners(list(ends[:, self.dense :]), torch.bitwise_xor) & (
            2**self.log2_hashmap_size - 1
        )
        index = torch.cat([plain, hashed]) + self.starts
        weights = corner_weights(beyond)
        values = gather_interpolate(self.values, index.flatten(0, 1), weights.flatten(0, 1))
        return values.unflatten(0, index.shape[:2]).movedim(0, 1).reshape(*coords.shape[:-1], self.out_dim)

    def formula(self) -> str:
        levels, features_per_level = len(self.sizes), self.values.shape[1]
        hashed = levels - self.dense
        smoothly = "smoothly " * (self.interpolation == "smoothstep")
        return (
            f"trained values of {features_per_level} features, interpolated {smoothly}from {levels} grids of "
            f"{self.resolutions[0]} to {self.resolutions[-1]} cells across the domain"
            + (f", {hashed} of them hashed into 2^{self.log2_hashmap_size} entries" if hashed else "")
        )


def resolutions(num_levels: int, base_resolution: int, max_resolution: int) -> list[int]:
    """Cells across the domain of each level, floor(N_min b^l), from exactly N_min to exactly N_max.

    The last level of many implementations has one cell too few, since b is rounded.
    """
    steps = max(1, num_levels - 1)
    return [
        math.floor(base_resolution * (max_resolution / base_resolution) ** (level / steps) + ROUNDING)
        for level in range(num_levels)
    ]
