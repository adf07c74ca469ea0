"""The plan of a scene that is known exactly: what is seen of it straight from above."""

from dataclasses import dataclass

import torch
from torch import Tensor

from coordnet.diagnostics.mtf import gain
from coordnet.metrics.scores import psnr
from coordnet.signals.base import GridComparison, Predict
from coordnet.signals.synthetic.scenes import Scene

# Per side: finer than cameras see it, and cheaper than a few of them.
SIZE = 128


@dataclass(frozen=True, eq=False)
class Plan:
    """Colors and depths on parallel rays down from the roof of the box [-1, 1]^3.

    Rows run from y = 1 to -1 and columns from x = -1 to 1, through the centers of n x n cells, one ray in each. Unlike
    a camera's picture it has the scene's own frequencies, in cycles across the box.

    Args:
        color: (n, n, 3) in [0, 1].
        depth: (n, n, 1) below the roof, infinite where nothing is met.
    """

    color: Tensor
    depth: Tensor

    def score(self, predict: Predict, background: Tensor) -> tuple[dict[str, float], GridComparison]:
        """PSNR on a background (3,), and of what is met the contrast recovered and the mean error of the depth."""
        n = len(self.depth)
        origins, directions = rays(n)
        seen = predict(
            {
                "origins": origins,
                "directions": directions,
                "background": background.expand_as(origins),
            }
        )
        met = self.depth.isfinite()
        target = torch.where(met, self.color, background)
        value = seen["value"].view_as(target).clamp(0, 1)
        met = met[..., 0]
        off = seen["depth"].view_as(self.depth)[met] - self.depth[met]
        metrics = {
            "plan/psnr": psnr(value, target),
            "plan/contrast": gain(value[met].numpy(), target[met].numpy()),
            "plan/depth_error": float(off.abs().mean()),
        }
        return metrics, GridComparison(value.numpy(), target.numpy(), n / 2)


def plan(scene: Scene) -> Plan:
    hits = scene.trace(*rays(SIZE))
    return Plan(hits.color.view(SIZE, SIZE, 3), hits.distance.view(SIZE, SIZE, 1))


def rays(n: int) -> tuple[Tensor, Tensor]:
    """Origins and directions, (n^2, 3), row by row."""
    place = (2 * torch.arange(n) + 1) / n - 1
    y, x = torch.meshgrid(-place, place, indexing="ij")
    origins = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(-1, 3)
    return origins, torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
