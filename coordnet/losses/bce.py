from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from coordnet.losses.base import predicted_values, total
from coordnet.options import Range, validate_ranges


class BinaryCrossEntropy:
    """Binary cross-entropy, of each prediction p (n, C) of the observed value v (n, C), both in [0, 1].

        mean(-v log(p) - (1 - v) log(1 - p))

    Args:
        eps: Predictions are clamped to [eps, 1 - eps], so that a saturated sigmoid has a finite loss.
    """

    @validate_ranges
    def __init__(self, eps: Annotated[float, Range(1e-7, 0.1)] = 1e-6) -> None:
        self.eps = eps

    def __call__(self, prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], field: Any) -> Tensor:
        clamped = (value.clamp(self.eps, 1 - self.eps) for value in predicted_values(prediction))
        return total(F.binary_cross_entropy(value, batch["value"]) for value in clamped)
