"""The references of the benchmarks: the same mathematics in straightforward PyTorch."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainNetwork(nn.Module):
    """Gaussian Fourier features and a ReLU network with a sigmoid at its end (Tancik et al. 2020), on [0, 1]^d.

    Args:
        frequencies: B, (m, d), in cycles across the domain.
        depth: Hidden layers.
        width: Units of each.
        channels: Number of channels of the output.
    """

    frequencies: Tensor

    def __init__(self, frequencies: Tensor, depth: int, width: int, channels: int = 3) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        widths = [2 * len(frequencies)] + [width] * depth
        layers: list[nn.Module] = []
        for n, m in pairwise(widths):
            layers += [nn.Linear(n, m), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        phase = 2 * math.pi * x @ self.frequencies.T
        return self.layers(torch.cat([torch.sin(phase), torch.cos(phase)], dim=-1))


def plain_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    loss = ((model(x) - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class PlainHashGrid(nn.Module):
    """A hash grid as most write it: gather the values of all corners of all levels from one table, weight and sum.

    Args:
        resolutions: Cells across the domain of each level.
        table: Entries of a level that does not fit, a power of 2.
        channels: Number of channels of each value.
    """

    cells: Tensor
    starts: Tensor
    fits: Tensor
    corners: Tensor
    primes: Tensor

    def __init__(self, resolutions: list[int], table: int, channels: int = 2) -> None:
        super().__init__()
        self.table = table
        sizes = torch.tensor([min((n + 1) ** 3, table) for n in resolutions])
        self.values = nn.Parameter(1e-4 * (2 * torch.rand(int(sizes.sum()), channels) - 1))
        self.register_buffer("cells", torch.tensor(resolutions)[:, None])
        self.register_buffer("starts", (sizes.cumsum(0) - sizes)[:, None])
        self.register_buffer("fits", (self.cells + 1) ** 3 <= table)
        self.register_buffer("corners", torch.cartesian_prod(*[torch.arange(2)] * 3))
        self.register_buffer("primes", torch.tensor([1, 2654435761, 805459861]))

    def forward(self, x: Tensor) -> Tensor:
        place = x[:, None] * self.cells
        low = place.floor().long()
        nodes = low[:, :, None] + self.corners
        across = self.cells + 1
        whole = nodes[..., 0] + across * (nodes[..., 1] + across * nodes[..., 2])
        product = nodes * self.primes
        hashed = (product[..., 0] ^ product[..., 1] ^ product[..., 2]) % self.table
        index = torch.where(self.fits, whole, hashed) + self.starts
        beyond = (place - low)[:, :, None]
        weights = torch.where(self.corners == 1, beyond, 1 - beyond).prod(dim=-1)
        return (self.values[index] * weights[..., None]).sum(dim=2).flatten(1)


class PlainLevels(nn.Module):
    """A hash grid level by level, each with a table of its own: `PlainHashGrid` side by side."""

    def __init__(self, resolutions: list[int], table: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(PlainHashGrid([n], table) for n in resolutions)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([level(x) for level in self.levels], dim=-1)


class PlainPlanes(nn.Module):
    """Pictures (channels, n, n) for each pair of axes of [-1, 1]^3, interpolated by PyTorch's own operation."""

    def __init__(self, n: int, channels: int) -> None:
        super().__init__()
        self.planes = nn.ParameterList(nn.Parameter(torch.rand(1, channels, n, n)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        pairs = [x[None, None, :, axes] for axes in ([0, 1], [0, 2], [1, 2])]
        sampled = [
            F.grid_sample(plane, pair, padding_mode="border", align_corners=True)[0, :, 0]
            for plane, pair in zip(self.planes, pairs, strict=True)
        ]
        return torch.cat(sampled).T
