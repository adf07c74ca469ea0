from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

Batch = Mapping[str, Tensor]


class ForwardMap(nn.Module, ABC):
    """Predicts observations from a field: a dict of named tensors, among them "value".

    A forward map may own buffers, parameters or a second field. If a forward map defines `on_step(step, max_steps)`,
    training calls the method before each step.

    Attributes:
        required_keys: Names that a batch must hold.
        requires_radiance_field: True for a field of densities and colors, False for a field of values.
    """

    required_keys: tuple[str, ...]
    requires_radiance_field: bool = False

    @abstractmethod
    def forward(self, field: Any, batch: Batch) -> dict[str, Tensor]:
        """Predict the observations of a batch, each tensor with one row for each observation."""

    def build_auxiliary_fields(self, make_field: Callable[[], nn.Module]) -> None:
        """Build the further fields that the map needs.

        Args:
            make_field: Function that makes another field like the trained field.
        """
