import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Count, Encoding, OptionalCount
from coordnet.encodings.grid import INIT_SCALE
from coordnet.encodings.interpolate import cell_and_fraction, cell_corners, corner_weights, gather_interpolate
from coordnet.errors import OptionError
from coordnet.options import MAX_WEIGHTS, Range, validate_ranges

# The primes of the first three axes are those of Müller et al. 2022, eq. 4, and the fourth is that of their code, as
# int32 of the same bits.
PRIMES = (1, 2654435761 - 2**32, 805459861, 3674653429 - 2**32)
# Tolerance of the floor: floor(16 b^15) for b = 128^(1 / 15) is 2048, and not 2047.
_ROUNDING = 1e-6


class HashGrid(Encoding):
    """Values interpolated from grids of many resolutions, the fine grids hashed (Müller et al. 2022).

    Level l has N_l = floor(N_min b^l) cells across [-1, 1] of each axis, b = (N_max / N_min)^(1 / (L - 1)). A level
    with at most 2^T nodes has a value for each node. The nodes i of a finer level share a table of 2^T values, at the
    exclusive or of i_k p_k, with primes p, modulo 2^T (eq. 4). Values start uniform in +-1e-4.

    Args:
        domain: Box with 1 to 4 axes and the training samples.
        num_levels: L, the number of grids.
        features_per_level: Number of features of each grid; the features of all grids are concatenated.
        log2_hashmap_size: T, the logarithm of the largest table.
        base_resolution: N_min, in cells.
        max_resolution: N_max, in cells, at least `base_resolution`; the default is the number of training samples
            across the longest axis.
        interpolation: "linear" uses the fraction t of a cell as weight, "smoothstep" 3t^2 - 2t^3, so that the features
            have continuous derivatives (App. A).

    Raises:
        OptionError: `max_resolution` is below `base_resolution`, or the tables would have more than 2^28 values.
        ValueError: The domain has more than 4 axes.
    """

    cells: Tensor
    nodes: Tensor
    strides: Tensor
    starts: Tensor
    extent: Tensor

    @validate_ranges
    def __init__(
        self,
        domain: Domain,
        num_levels: Annotated[int, Range(1, 64)] = 16,
        features_per_level: Count = 2,
        log2_hashmap_size: Annotated[int, Range(1, 24)] = 19,
        base_resolution: Count = 16,
        max_resolution: OptionalCount = None,
        interpolation: Literal["linear", "smoothstep"] = "linear",
    ) -> None:
        super().__init__()
        if domain.dim > len(PRIMES):
            raise ValueError(f"a hash grid needs 1 to {len(PRIMES)} columns, and the domain has {domain.dim}")
        if max_resolution is None:
            max_resolution = max(base_resolution, math.ceil(max(domain.resolution) / domain.train_stride))
        if max_resolution < base_resolution:
            raise OptionError("max_resolution", max_resolution, f"must be at least {base_resolution}")
        self.resolutions = level_resolutions(num_levels, base_resolution, max_resolution)
        self.log2_hashmap_size = log2_hashmap_size
        self.interpolation = interpolation
        # Integer division that rounds up.
        nodes = [
            [1 - -cells * n // r for n, r in zip(domain.size, domain.resolution, strict=True)]
            for cells in self.resolutions
        ]
        fits = [math.prod(n) <= 2**log2_hashmap_size for n in nodes]
        self.num_unhashed = sum(fits)
        self.sizes = [
            math.prod(n) if fit else 2**log2_hashmap_size for n, fit in zip(nodes, fits, strict=True)
        ]
        weights = sum(self.sizes) * features_per_level
        if weights > MAX_WEIGHTS:
            allowed = f"must be smaller: {weights} values exceed {MAX_WEIGHTS}"
            raise OptionError("log2_hashmap_size", log2_hashmap_size, allowed)
        strides = [
            [math.prod(n[:k]) if fit else PRIMES[k] for k in range(domain.dim)]
            for n, fit in zip(nodes, fits, strict=True)
        ]
        starts = [sum(self.sizes[:level]) for level in range(num_levels)]

        # Buffers are (axes, levels, 1): the last dimension is that of the points.
        def add_buffer(name: str, values: Tensor) -> None:
            self.register_buffer(name, values, persistent=False)

        add_buffer("cells", torch.tensor(self.resolutions).float()[:, None])
        add_buffer("nodes", torch.tensor(nodes, dtype=torch.int32).T[..., None])
        add_buffer("strides", torch.tensor(strides, dtype=torch.int32).T[..., None])
        add_buffer("starts", torch.tensor(starts, dtype=torch.int32)[:, None, None])
        add_buffer("extent", torch.tensor(domain.extent))
        values = torch.empty(sum(self.sizes), features_per_level).uniform_(-INIT_SCALE, INIT_SCALE)
        self.values = nn.Parameter(values)
        self.in_dim = domain.dim
        self.out_dim = num_levels * features_per_level

    def forward(self, coords: Tensor) -> Tensor:
        flat = coords.reshape(-1, self.in_dim)
        inside = ((flat + self.extent) / 2).clamp(torch.zeros_like(self.extent), self.extent)
        low, fraction = cell_and_fraction(inside.T[:, None] * self.cells, self.nodes)
        if self.interpolation == "smoothstep":
            fraction = fraction.square() * (3 - 2 * fraction)
        first = low * self.strides
        ends = torch.stack([first, first + self.strides], dim=-2)
        unhashed = cell_corners(list(ends[:, : self.num_unhashed]), torch.add)
        hashed = cell_corners(list(ends[:, self.num_unhashed :]), torch.bitwise_xor)
        index = torch.cat([unhashed, hashed & (2**self.log2_hashmap_size - 1)]) + self.starts
        weights = corner_weights(fraction)
        values = gather_interpolate(self.values, index.flatten(0, 1), weights.flatten(0, 1))
        return values.unflatten(0, index.shape[:2]).movedim(0, 1).reshape(*coords.shape[:-1], self.out_dim)

    def formula(self) -> str:
        levels, features = len(self.sizes), self.values.shape[1]
        hashed = levels - self.num_unhashed
        smoothly = "smoothly " * (self.interpolation == "smoothstep")
        return (
            f"{features} trained features of each of {levels} grids of {self.resolutions[0]} to "
            f"{self.resolutions[-1]} cells across the domain, interpolated {smoothly or 'linearly '}between nodes"
            + (f", {hashed} grids hashed into 2^{self.log2_hashmap_size} entries" if hashed else "")
        )


def level_resolutions(num_levels: int, base_resolution: int, max_resolution: int) -> list[int]:
    """Cells across the domain of each level, floor(N_min b^l), from exactly N_min to exactly N_max.

    The last level of many implementations has one cell too few, because b is rounded.
    """
    steps = max(1, num_levels - 1)
    ratio = max_resolution / base_resolution
    return [math.floor(base_resolution * ratio ** (level / steps) + _ROUNDING) for level in range(num_levels)]
