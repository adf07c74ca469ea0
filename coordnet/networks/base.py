from abc import ABC, abstractmethod

from torch import Tensor, nn

from coordnet.errors import UserError

MAX_DEPTH = 1024
# What is trained, in float32 with Adam's two moments and the gradients, then takes up to 4 GiB.
MAX_WEIGHTS = 2**28


class Network(nn.Module, ABC):
    """Maps features (*, in_dim) to raw outputs (*, out_dim).

    Attributes:
        bfloat16_safe: Whether hidden layers may run in bfloat16 without loss of quality.
    """

    bfloat16_safe: bool

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor: ...

    @abstractmethod
    def to_unit(self, raw: Tensor) -> Tensor:
        """Bring a raw output to the range [0, 1] of an image."""


def check_shape(in_dim: int, depth: int, width: int, least: int = 1) -> None:
    """Refuse a depth outside [least, 1024], a width below 1, and more than 2^28 weights in all."""
    if depth < least:
        raise UserError(f"network.depth={depth} must be at least {least} hidden layer{'s' * (least != 1)}")
    if width < 1:
        raise UserError(f"network.width={width} must be at least 1")
    if depth > MAX_DEPTH:
        raise UserError(f"network.depth={depth} must be at most {MAX_DEPTH}")
    weights = width * (in_dim + max(depth - 1, 0) * width)
    if weights > MAX_WEIGHTS:
        raise UserError(
            f"network.width={width} with network.depth={depth} and {in_dim} features makes {weights} weights; "
            f"{MAX_WEIGHTS} are allowed"
        )
