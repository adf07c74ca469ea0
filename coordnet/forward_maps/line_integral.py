import torch
from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.forward_maps.base import Batch, ForwardMap
from coordnet.ranges import check_ranges


class LineIntegral(ForwardMap):
    """The field is observed through its integrals along line segments: value (n, C).

    The batch's lines (n, 2, d) hold the two end points of each segment; lengths are in units of the coordinates.
    The integral is the length times the mean of the field at `num_samples` points (the midpoint rule), which is
    exact for linear fields. The points are fixed, so features finer than their distance can go unseen.

    Args:
        num_samples: Points per line, in [1, 2^16].
    """

    required_keys = ("lines",)

    def __init__(self, num_samples: int = 128) -> None:
        super().__init__()
        check_ranges(LineIntegral, num_samples=num_samples)
        self.num_samples = num_samples

    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]:
        start, end = batch["lines"].unbind(1)
        place = (
            torch.arange(self.num_samples, device=start.device, dtype=start.dtype) + 0.5
        ) / self.num_samples
        points = torch.lerp(start[:, None], end[:, None], place[:, None])
        values = field(points.flatten(0, 1)).unflatten(0, points.shape[:2])
        length = torch.linalg.vector_norm(end - start, dim=-1, keepdim=True)
        return {"value": length * values.mean(dim=1)}
