from abc import ABC, abstractmethod
from typing import Annotated

from torch import Tensor, nn

from coordnet.errors import OptionError
from coordnet.options import MAX_WEIGHTS, Range

Width = Annotated[int, Range(1, MAX_WEIGHTS)]


class Network(nn.Module, ABC):
    """A map from features (*, in_dim) to raw outputs (*, out_dim).

    Attributes:
        bfloat16_safe: True if hidden layers may run in bfloat16 without loss of quality.
    """

    bfloat16_safe: bool

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Raw outputs (*, out_dim) of features (*, in_dim)."""

    @abstractmethod
    def output_activation(self, raw: Tensor) -> Tensor:
        """Map raw outputs (*, out_dim) to the range [0, 1] of an image."""


def check_weights(in_dim: int, depth: int, width: int) -> None:
    """Refuse hidden layers with more than 2^28 weights.

    Raises:
        OptionError: The hidden layers would have too many weights.
    """
    weights = width * (in_dim + max(depth - 1, 0) * width)
    if weights > MAX_WEIGHTS:
        allowed = f"must be smaller: depth={depth} and {in_dim} features make {weights} weights, above {MAX_WEIGHTS}"
        raise OptionError("width", width, allowed)
