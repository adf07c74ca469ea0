from typing import Annotated

import torch
from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.forward_maps.base import Batch, ForwardMap
from coordnet.options import Range, validate_ranges


class LineIntegral(ForwardMap):
    """Predicts integrals (n, C) of the field along the line segments of a batch (the X-ray transform).

    The batch's lines (n, 2, d) hold the two end points of each segment. Lengths are in units of the coordinates. The
    integral is the length times the mean of the field at the midpoints of `num_samples` equal parts, which is exact for
    linear fields. The midpoints are fixed, so the integral can miss details that are smaller than their distance.

    Args:
        num_samples: Number of points on each line.
    """

    required_keys = ("lines",)

    @validate_ranges
    def __init__(self, num_samples: Annotated[int, Range(1, 2**16)] = 128) -> None:
        super().__init__()
        self.num_samples = num_samples

    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]:
        start, end = batch["lines"].unbind(1)
        midpoints = torch.arange(self.num_samples, device=start.device, dtype=start.dtype) + 0.5
        fractions = midpoints / self.num_samples
        points = torch.lerp(start[:, None], end[:, None], fractions[:, None])
        values = field(points.flatten(0, 1)).unflatten(0, points.shape[:2])
        length = torch.linalg.vector_norm(end - start, dim=-1, keepdim=True)
        return {"value": length * values.mean(dim=1)}
