from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from coordnet.losses.base import predicted_values, total
from coordnet.options import Range, validate_ranges


class Huber:
    """Huber loss (Huber 1964), of each prediction p (n, C) of the observed value v (n, C), with r = |p - v|.

        mean(r^2 / 2)                       where r <= delta
        mean(delta * (r - delta / 2))       elsewhere

    Args:
        delta: The residual at which the loss turns from quadratic to linear, in units of the value.
    """

    @validate_ranges
    def __init__(self, delta: Annotated[float, Range(0, 1e30, above=True)] = 0.1) -> None:
        self.delta = delta

    def __call__(self, prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], field: Any) -> Tensor:
        values = predicted_values(prediction)
        return total(F.huber_loss(value, batch["value"], delta=self.delta) for value in values)
