from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordnet.coords import chunks

# A partial update visits 1 / 8 of all cells at random, and as many of the occupied cells.
_UPDATE_DIVISOR = 8
_POINTS_PER_CHUNK = 2**16


class OccupancyGrid(nn.Module):
    """Cells of the box [-1, 1]^3 that may hold density (Müller et al. 2022, appendix C).

    An update of a cell sets density = max(ema_decay * density, sigma(x)), with x random in the cell. A cell is occupied
    if its density makes the opacity of a render step larger than `threshold`, or larger than the mean opacity of all
    cells if the mean is less. All cells are occupied before the first update.

    Args:
        resolution: Number of cells along each axis.
        render_step_size: Length of a render step, in units of the coordinates.
        ema_decay: Factor on the stored density at each update, in (0, 1].
        threshold: Opacity of a render step above which a cell is occupied, in [0, 1).

    Attributes:
        densities: Stored densities (resolution^3,), x fastest.
        occupied: Booleans (resolution^3,).
    """

    densities: Tensor
    occupied: Tensor

    def __init__(self, resolution: int, render_step_size: float, ema_decay: float, threshold: float) -> None:
        super().__init__()
        self.resolution = resolution
        self.render_step_size = render_step_size
        self.ema_decay = ema_decay
        self.threshold = threshold
        self.register_buffer("densities", torch.zeros(resolution**3))
        self.register_buffer("occupied", torch.ones(resolution**3, dtype=torch.bool))

    def is_occupied(self, origins: Tensor, directions: Tensor, t: Tensor) -> Tensor:
        """Booleans (r, s): the cells at distances t (r, s) along rays (r, 3) are occupied.

        The points must be in the box.
        """
        half = self.resolution / 2
        index = torch.zeros_like(t, dtype=torch.int32)
        # The loop over the axes, z first, needs a third of the memory of points (r, s, 3).
        for axis in (2, 1, 0):
            start, slope = (origins[:, axis, None] + 1) * half, directions[:, axis, None] * half
            cell = torch.addcmul(start, t, slope).int().clamp_(0, self.resolution - 1)
            index.mul_(self.resolution).add_(cell)
        return self.occupied.index_select(0, index.flatten()).view_as(index)

    @torch.no_grad()
    def update(
        self, density: Callable[[Tensor], Tensor], generator: torch.Generator, update_all_cells: bool
    ) -> None:
        """Query the density at a random point of some cells or of all cells.

        Args:
            density: Function from points (n, 3) to densities (n, 1).
            generator: Source of the random cells and points.
            update_all_cells: True visits every cell; False visits 1 / 8 of all cells and as many occupied cells.
        """
        total = len(self.occupied)
        cells = torch.arange(total)
        if not update_all_cells:
            uniform = torch.randint(total, (total // _UPDATE_DIVISOR,), generator=generator)
            occupied = self.occupied.nonzero()[:, 0].cpu()
            pick = torch.randint(
                max(1, len(occupied)), (min(len(occupied), total // _UPDATE_DIVISOR),), generator=generator
            )
            cells = torch.cat([uniform, occupied[pick]]).unique()
        offset = torch.rand(len(cells), 3, generator=generator)
        n = self.resolution
        corner = torch.stack([cells % n, cells // n % n, cells // n**2], dim=-1)
        points = (2 * (corner + offset) / n - 1).to(self.densities.device)
        found = torch.cat([density(points[part])[:, 0] for part in chunks(len(points), _POINTS_PER_CHUNK)])
        cells = cells.to(self.densities.device)
        self.densities[cells] = found.maximum(self.ema_decay * self.densities[cells])
        opacity = -(-self.densities * self.render_step_size).expm1()
        self.occupied.copy_(opacity > opacity.mean().clamp(max=self.threshold))
