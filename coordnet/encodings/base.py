from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoding(nn.Module, ABC):
    """Maps coordinates (*, in_dim) to features (*, out_dim).

    Attributes:
        raw: True if some feature is the coordinate itself. Such features stay in float32, because bfloat16
            cannot tell neighbouring pixel centres apart.
    """

    in_dim: int
    out_dim: int
    raw: bool = False

    @abstractmethod
    def forward(self, coords: Tensor) -> Tensor: ...
