from abc import ABC, abstractmethod

from torch import Tensor

from coordnet.coords import Domain
from coordnet.signals.spec import SignalSpec


class Signal(ABC):
    """Ground truth and its observations: data alone, without scores or pictures.

    Attributes:
        domain: The box that the signal is defined on.
        channels: Number of values per point.
        value_range: (low, high) that all values lie in; None if the values are unbounded.
        num_observations: Number of observations to train on.
    """

    domain: Domain
    channels: int
    value_range: tuple[float, float] | None
    num_observations: int

    @abstractmethod
    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        """The observations of an index (n,) in [0, num_observations): inputs of the forward map, and "value"."""

    def spec(self) -> SignalSpec:
        """The description that fields and displays are built from."""
        return SignalSpec(self.domain, self.channels, self.value_range)

    def fingerprint(self) -> str | None:
        """A hash of data that come from a file; None if the config alone makes the data."""
        return None

    def training_grid(self) -> Tensor | None:
        """The training values (*reversed axes, channels) if they lie on a regular grid, else None.

        A large signal may return a part of the training values.
        """
        return None
