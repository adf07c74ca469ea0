import math

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.blend import blend, corner_weights, corners, split
from coordnet.errors import UserError
from coordnet.ranges import MAX_WEIGHTS, check_ranges

REACH = 1e-4


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
        channels: Of each value, up to 2^16; 2^28 in all.
    """

    first: Tensor
    step: Tensor
    last: Tensor

    def __init__(self, domain: Domain, resolution: int | None = None, channels: int = 4) -> None:
        super().__init__()
        check_ranges(Grid, resolution=resolution, channels=channels)
        samples = [math.ceil(n / domain.stride) for n in domain.size]
        self.nodes = samples
        if resolution is not None:
            across = math.ceil(domain.across / domain.stride)
            # Rounded up, in whole numbers.
            self.nodes = [1 - (1 - n) * (resolution - 1) // max(1, across - 1) for n in samples]
        weights = math.prod(self.nodes) * channels
        if weights > MAX_WEIGHTS:
            raise UserError(
                f"encoding.resolution={resolution or max(samples)} and encoding.channels={channels} make {weights} "
                f"values; {MAX_WEIGHTS} are allowed"
            )
        last = torch.tensor(self.nodes, dtype=torch.int32) - 1
        start = domain.centers(torch.zeros(domain.dim, dtype=torch.long))
        end = domain.centers((torch.tensor(samples) - 1) * domain.stride)
        self.register_buffer("first", start)
        self.register_buffer("step", (end - start).clamp(min=domain.spacing) / last.clamp(min=1))
        self.register_buffer("last", last)
        self.values = nn.Parameter(torch.empty(math.prod(self.nodes), channels).uniform_(-REACH, REACH))
        self.strides = [math.prod(self.nodes[:k]) for k in range(domain.dim)]
        self.in_dim = domain.dim
        self.out_dim = channels

    def forward(self, coords: Tensor) -> Tensor:
        place = ((coords - self.first) / self.step).clamp(torch.zeros_like(self.first), self.last.to(coords))
        low, beyond = split(place.reshape(-1, self.in_dim), self.last + 1)
        ends = [torch.stack([i, (i + 1).minimum(last)]) for i, last in zip(low.T, self.last, strict=True)]
        index = corners([n * i for n, i in zip(self.strides, ends, strict=True)], torch.add)
        return blend(self.values, index, corner_weights(beyond.T)).reshape(*coords.shape[:-1], self.out_dim)

    def formula(self) -> str:
        size = " x ".join(str(n) for n in self.nodes)
        return (
            f"trained values of {self.out_dim} channels at {size} nodes, interpolated linearly between them"
        )
