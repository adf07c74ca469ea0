"""Loss terms: functions of (prediction, batch), both dicts of named tensors."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


def mse(prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], name: str = "value") -> Tensor:
    """Mean squared error of what is predicted under a name, against the observed value."""
    return F.mse_loss(prediction[name], batch["value"])
