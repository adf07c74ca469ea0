from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

Batch = Mapping[str, Tensor]


class ForwardMap(nn.Module, ABC):
    """From a field to what is observed of it: a dict of named tensors, among them "value".

    Attributes:
        required_keys: Names that a batch must hold.
        radiance: Whether it needs a field of densities and colors rather than of values.
    """

    required_keys: tuple[str, ...]
    radiance: bool = False

    @abstractmethod
    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]: ...

    def build_auxiliary_fields(self, make_field: Callable[[], nn.Module]) -> None:
        """Called once with what makes fields like the one that is given: for a map that needs another one."""
