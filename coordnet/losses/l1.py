from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from coordnet.losses.base import predicted_values, total


def l1(prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], field: Any) -> Tensor:
    """Mean absolute error, mean(|p - v|), of each prediction p (n, C) of the observed value v (n, C)."""
    return total(F.l1_loss(value, batch["value"]) for value in predicted_values(prediction))
