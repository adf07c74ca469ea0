from abc import ABC, abstractmethod

from torch import Tensor, nn

from coordnet.errors import UserError
from coordnet.ranges import MAX_WEIGHTS


class Network(nn.Module, ABC):
    """Maps features (*, in_dim) to raw outputs (*, out_dim).

    Attributes:
        bfloat16_safe: Whether hidden layers may run in bfloat16 without loss of quality.
    """

    bfloat16_safe: bool

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor: ...

    @abstractmethod
    def output_activation(self, raw: Tensor) -> Tensor:
        """Bring a raw output to the range [0, 1] of an image."""


def check_weights(in_dim: int, depth: int, width: int) -> None:
    """Refuse more than 2^28 weights in all."""
    weights = width * (in_dim + max(depth - 1, 0) * width)
    if weights > MAX_WEIGHTS:
        raise UserError(
            f"network.width={width} with network.depth={depth} and {in_dim} features makes {weights} weights; "
            f"{MAX_WEIGHTS} are allowed"
        )
