from abc import ABC, abstractmethod

from torch import Tensor, nn

from coordnet.errors import UserError


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


def check_shape(depth: int, width: int, least: int = 1) -> None:
    if depth < least:
        raise UserError(f"network.depth={depth} must be at least {least} hidden layer{'s' * (least != 1)}")
    if width < 1:
        raise UserError(f"network.width={width} must be at least 1")
