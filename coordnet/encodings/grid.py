import math
from typing import Annotated

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Count, Encoding
from coordnet.encodings.interpolate import cell_and_fraction, cell_corners, corner_weights, gather_interpolate
from coordnet.errors import OptionError
from coordnet.options import MAX_WEIGHTS, Range, validate_ranges

# Grid values start uniform in +-INIT_SCALE (Müller et al. 2022, sec. 4).
INIT_SCALE = 1e-4

Resolution = Annotated[int | None, Range(2, 2**16)]


class Grid(Encoding):
    """gamma(x) = sum over the 2^d nodes around x of prod_k (1 - |p_k - i_k|) v_i, with p the position of x in nodes.

    The values v at the nodes of a regular grid are trained, and interpolated linearly along every axis. The nodes lie
    evenly from the first to the last training sample of each axis; beyond these the border is repeated.

    By default each training sample is a node. A grid that is read out linearly (network.depth=0) and trained to
    convergence then interpolates the training samples bilinearly.

    Args:
        domain: Box with the training samples along each axis.
        resolution: Number of nodes across [-1, 1] of every axis; the default is the number of training samples.
        num_features: Number of features of each node.

    Raises:
        OptionError: The grid would have more than 2^28 values.
    """

    first: Tensor
    step: Tensor
    last: Tensor

    @validate_ranges
    def __init__(self, domain: Domain, resolution: Resolution = None, num_features: Count = 4) -> None:
        super().__init__()
        stride = domain.train_stride
        samples = [math.ceil(n / stride) for n in domain.size]
        self.nodes = samples
        if resolution is not None:
            across = [math.ceil(r / stride) for r in domain.resolution]
            # Integer division that rounds up.
            self.nodes = [
                1 - (1 - n) * (resolution - 1) // max(1, whole - 1)
                for n, whole in zip(samples, across, strict=True)
            ]
        weights = math.prod(self.nodes) * num_features
        if weights > MAX_WEIGHTS:
            allowed = (
                f"must be smaller: num_features={num_features} makes {weights} values, above {MAX_WEIGHTS}"
            )
            raise OptionError("resolution", resolution or max(samples), allowed)
        last = torch.tensor(self.nodes, dtype=torch.int32) - 1
        start = domain.index_to_coords(torch.zeros(domain.dim, dtype=torch.long))
        end = domain.index_to_coords((torch.tensor(samples) - 1) * stride)
        self.register_buffer("first", start)
        self.register_buffer("step", (end - start).maximum(torch.tensor(domain.spacing)) / last.clamp(min=1))
        self.register_buffer("last", last)
        values = torch.empty(math.prod(self.nodes), num_features).uniform_(-INIT_SCALE, INIT_SCALE)
        self.values = nn.Parameter(values)
        self.strides = [math.prod(self.nodes[:k]) for k in range(domain.dim)]
        self.in_dim = domain.dim
        self.out_dim = num_features

    def forward(self, coords: Tensor) -> Tensor:
        position = (coords - self.first) / self.step
        position = position.clamp(torch.zeros_like(self.first), self.last.to(coords))
        low, fraction = cell_and_fraction(position.reshape(-1, self.in_dim), self.last + 1)
        ends = [torch.stack([i, (i + 1).minimum(last)]) for i, last in zip(low.T, self.last, strict=True)]
        index = cell_corners([n * i for n, i in zip(self.strides, ends, strict=True)], torch.add)
        features = gather_interpolate(self.values, index, corner_weights(fraction.T))
        return features.reshape(*coords.shape[:-1], self.out_dim)

    def formula(self) -> str:
        size = " x ".join(str(n) for n in self.nodes)
        return f"{self.out_dim} trained features at each of {size} nodes, interpolated linearly"
