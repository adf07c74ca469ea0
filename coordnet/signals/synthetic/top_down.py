from dataclasses import dataclass

import torch
from torch import Tensor

from coordnet.signals.synthetic.scenes import Scene

# Rays along each side. The view is finer than the cameras resolve, and cheaper to render than a few camera images.
TOP_DOWN_SIZE = 128


@dataclass(frozen=True, eq=False)
class TopDownView:
    """The orthographic view of a synthetic scene from above: parallel rays down from the roof of [-1, 1]^3.

    Rows run from y = 1 to -1 and columns from x = -1 to 1, with one ray through the center of each of n x n cells.
    Unlike the image of a pinhole camera, the view has the scene's own frequencies, in cycles across the box.

    Attributes:
        color: (n, n, 3) in [0, 1].
        depth: (n, n, 1) below the roof, infinite where a ray hits nothing.
    """

    color: Tensor
    depth: Tensor

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and directions (n^2, 3) of the rays, row by row."""
        return _rays(len(self.depth))


def trace_top_down(scene: Scene) -> TopDownView:
    """Trace the exact view of a scene from above with 128 x 128 rays."""
    n = TOP_DOWN_SIZE
    hits = scene.trace(*_rays(n))
    return TopDownView(hits.color.view(n, n, 3), hits.distance.view(n, n, 1))


def _rays(n: int) -> tuple[Tensor, Tensor]:
    centers = (2 * torch.arange(n) + 1) / n - 1
    y, x = torch.meshgrid(-centers, centers, indexing="ij")
    origins = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    return origins, torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
