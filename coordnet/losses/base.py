"""The type of loss terms, and the residuals that pointwise terms share."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

# loss(prediction, batch, field) -> scalar; prediction and batch are dicts of named tensors.
Loss = Callable[[Mapping[str, Tensor], Mapping[str, Tensor], Any], Tensor]

# Names under which forward maps predict the observed value.
PREDICTED = ("value", "coarse_value")


def predicted_values(prediction: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Every prediction (n, C) of the batch's "value": two where a renderer has a coarse field, else one."""
    return (prediction[name] for name in PREDICTED if name in prediction)


def total(terms: Iterator[Tensor]) -> Tensor:
    """The sum of at least one term, without a zero that would add to the graph."""
    first = next(terms)
    return sum(terms, start=first)
