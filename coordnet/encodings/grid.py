import math

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.interpolate import cell_and_fraction, cell_corners, corner_weights, gather_interpolate
from coordnet.errors import UserError
from coordnet.ranges import MAX_WEIGHTS, check_ranges

INIT_SCALE = 1e-4


class Grid(Encoding):
    """gamma(x) = sum over the 2^d nodes around x of prod_k (1 - |p_k - i_k|) v_i, with p the place of x in nodes.

    Values v at the nodes of a regular grid, all trained, interpolated linearly along every axis. The nodes lie evenly
    from the first to the last training sample of each axis; beyond them the border is repeated. Values start uniform
    in +-1e-4 (Müller et al. 2022, sec. 4).

    By default each training sample is a node. Read out linearly (network.depth=0), and trained to the end, that is
    bilinear interpolation of the training samples.

    Args:
        domain: Gives the dimension and the training samples.
        resolution: Nodes across the domain, in [2, 2^16], as densely along every axis; the training samples if not
            given.
        num_features: Of each value, up to 2^16; 2^28 in all.
    """

    first: Tensor
    step: Tensor
    last: Tensor

    def __init__(self, domain: Domain, resolution: int | None = None, num_features: int = 4) -> None:
        super().__init__()
        check_ranges(Grid, resolution=resolution, num_features=num_features)
        samples = [math.ceil(n / domain.train_stride) for n in domain.size]
        self.nodes = samples
        if resolution is not None:
            across = math.ceil(domain.resolution / domain.train_stride)
            # Rounded up, in whole numbers.
            self.nodes = [1 - (1 - n) * (resolution - 1) // max(1, across - 1) for n in samples]
        weights = math.prod(self.nodes) * num_features
        if weights > MAX_WEIGHTS:
            raise UserError(
                f"encoding.resolution={resolution or max(samples)} and encoding.num_features={num_features} make "
                f"{weights} values; {MAX_WEIGHTS} are allowed"
            )
        last = torch.tensor(self.nodes, dtype=torch.int32) - 1
        start = domain.index_to_coords(torch.zeros(domain.dim, dtype=torch.long))
        end = domain.index_to_coords((torch.tensor(samples) - 1) * domain.train_stride)
        self.register_buffer("first", start)
        self.register_buffer("step", (end - start).clamp(min=domain.spacing) / last.clamp(min=1))
        self.register_buffer("last", last)
        self.values = nn.Parameter(
            torch.empty(math.prod(self.nodes), num_features).uniform_(-INIT_SCALE, INIT_SCALE)
        )
        self.strides = [math.prod(self.nodes[:k]) for k in range(domain.dim)]
        self.in_dim = domain.dim
        self.out_dim = num_features

    def forward(self, coords: Tensor) -> Tensor:
        place = ((coords - self.first) / self.step).clamp(torch.zeros_like(self.first), self.last.to(coords))
        low, beyond = cell_and_fraction(place.reshape(-1, self.in_dim), self.last + 1)
        ends = [torch.stack([i, (i + 1).minimum(last)]) for i, last in zip(low.T, self.last, strict=True)]
        index = cell_corners([n * i for n, i in zip(self.strides, ends, strict=True)], torch.add)
        return gather_interpolate(self.values, index, corner_weights(beyond.T)).reshape(
            *coords.shape[:-1], self.out_dim
        )

    def formula(self) -> str:
        size = " x ".join(str(n) for n in self.nodes)
        return f"trained values of {self.out_dim} num_features at {size} nodes, interpolated linearly between them"
