from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from coordnet.errors import OptionError
from coordnet.losses.base import total


class WeightDecay:
    """The sum of squares of chosen parameters of the field, as a term of the loss (L2 regularization).

    The term acts through the gradient, so an adaptive optimizer rescales the term; AdamW's decay is another rule.

    Args:
        parts: Prefixes of parameter names, such as "encoding" or "network.layers.0"; an empty list takes all
            parameters.
    """

    def __init__(self, parts: Sequence[str] = ("network",)) -> None:
        self.parts = tuple(parts)

    def __call__(self, prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], field: Any) -> Tensor:
        chosen = [
            parameter
            for name, parameter in field.named_parameters()
            if not self.parts or any(f"{name}.".startswith(f"{part}.") for part in self.parts)
        ]
        if not chosen:
            names = ", ".join(sorted({name.split(".")[0] for name, _ in field.named_parameters()}))
            raise OptionError(
                "loss.weight_decay.parts", list(self.parts), f"must name parameters; parts are {names}"
            )
        return total(parameter.square().sum() for parameter in chosen)
