from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from coordnet.coords import FieldFunction

Batch = Mapping[str, Tensor]


class ForwardMap(nn.Module, ABC):
    """From a field to what is observed of it: a dict of named tensors, among them "value".

    Attributes:
        needs: Names that a batch must hold.
    """

    needs: tuple[str, ...]

    @abstractmethod
    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]: ...
