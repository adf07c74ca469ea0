"""What the benchmarks compare with: the same mathematics, as one writes it in PyTorch without further thought."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


class PlainNetwork(nn.Module):
    """Gaussian Fourier features and a ReLU network with a sigmoid at its end (Tancik et al. 2020), on [0, 1]^d.

    Args:
        frequencies: B, (m, d), in cycles across the domain.
        depth: Hidden layers.
        width: Units of each.
        channels: Of the output.
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
    """A hash grid level by level: gather the values of the corners, weight and sum them; autograd does the rest.

    Args:
        resolutions: Cells across the domain of each level.
        table: Entries of a level that does not fit, a power of 2.
        channels: Of each value.
    """

    corners: Tensor
    primes: Tensor

    def __init__(self, resolutions: list[int], table: int, channels: int = 2) -> None:
        super().__init__()
        self.resolutions = resolutions
        self.table = table
        sizes = [min((n + 1) ** 3, table) for n in resolutions]
        self.values = nn.ParameterList(nn.Parameter(1e-4 * (2 * torch.rand(n, channels) - 1)) for n in sizes)
        self.register_buffer("corners", torch.cartesian_prod(*[torch.arange(2)] * 3))
        self.register_buffer("primes", torch.tensor([1, 2654435761, 805459861]))

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for n, values in zip(self.resolutions, self.values, strict=True):
            place = x * n
            low = place.floor().long()
            nodes = low[:, None] + self.corners
            if (n + 1) ** 3 <= self.table:
                index = nodes[..., 0] + (n + 1) * (nodes[..., 1] + (n + 1) * nodes[..., 2])
            else:
                hashed = nodes * self.primes
                index = (hashed[..., 0] ^ hashed[..., 1] ^ hashed[..., 2]) % self.table
            beyond = (place - low)[:, None]
            weights = torch.where(self.corners == 1, beyond, 1 - beyond).prod(dim=-1)
            features.append((values[index] * weights[..., None]).sum(dim=1))
        return torch.cat(features, dim=-1)
