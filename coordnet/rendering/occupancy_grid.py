from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordnet.coords import chunks

# Cells that are looked at in an update: this share of all at random, and as many of those that are occupied.
SHARE = 8
POINTS = 2**16


class Occupancy(nn.Module):
    """Which cells of a grid over the box [-1, 1]^3 are worth a sample (Müller et al. 2022, appendix C).

    Each cell remembers a density: of what it was, `decay` of it, and what is found at a random place in it, the
    greater. It is occupied where an interval of the given length would have an opacity above `threshold`, or above the
    mean of all cells if that is less. At the start all are.

    Args:
        resolution: Cells along each axis, in [2, 512].
        length: Of an interval.
        decay: In (0, 1].
        threshold: In [0, 1).
    """

    densities: Tensor
    occupied: Tensor

    def __init__(self, resolution: int, length: float, decay: float, threshold: float) -> None:
        super().__init__()
        self.resolution = resolution
        self.length = length
        self.decay = decay
        self.threshold = threshold
        self.register_buffer("densities", torch.zeros(resolution**3))
        self.register_buffer("occupied", torch.ones(resolution**3, dtype=torch.bool))

    def along(self, origins: Tensor, directions: Tensor, distance: Tensor) -> Tensor:
        """Whether the cells at distances (r, s) along rays are occupied, (r, s); places must lie in the box."""
        half = self.resolution / 2
        index = torch.zeros_like(distance, dtype=torch.int32)
        # Axis by axis, z first: places of all axes at once would take three times the memory.
        for axis in (2, 1, 0):
            start, slope = (origins[:, axis, None] + 1) * half, directions[:, axis, None] * half
            cell = torch.addcmul(start, distance, slope).int().clamp_(0, self.resolution - 1)
            index.mul_(self.resolution).add_(cell)
        return self.occupied.index_select(0, index.flatten()).view_as(index)

    @torch.no_grad()
    def update(self, density: Callable[[Tensor], Tensor], draws: torch.Generator, everywhere: bool) -> None:
        """Look at some cells, or at all.

        Args:
            density: From places (n, 3) to densities (n, 1).
            draws: Gives the cells and the places in them.
            everywhere: Look at every cell.
        """
        total = len(self.occupied)
        cells = torch.arange(total)
        if not everywhere:
            some = torch.randint(total, (total // SHARE,), generator=draws)
            occupied = self.occupied.nonzero()[:, 0].cpu()
            pick = torch.randint(
                max(1, len(occupied)), (min(len(occupied), total // SHARE),), generator=draws
            )
            cells = torch.cat([some, occupied[pick]]).unique()
        within = torch.rand(len(cells), 3, generator=draws)
        n = self.resolution
        corner = torch.stack([cells % n, cells // n % n, cells // n**2], dim=-1)
        places = (2 * (corner + within) / n - 1).to(self.densities.device)
        found = torch.cat([density(places[part])[:, 0] for part in chunks(len(places), POINTS)])
        cells = cells.to(self.densities.device)
        self.densities[cells] = found.maximum(self.decay * self.densities[cells])
        opacity = -(-self.densities * self.length).expm1()
        self.occupied.copy_(opacity > opacity.mean().clamp(max=self.threshold))
