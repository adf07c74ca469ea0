from abc import ABC, abstractmethod

from torch import Tensor

from coordnet.coords import Domain
from coordnet.signals.spec import SignalSpec


class Signal(ABC):
    """Ground truth, and what is observed of it.

    Attributes:
        domain: Where it lives.
        channels: Values per point.
        value_range: (low, high) that values lie in, or None if unbounded.
        num_observations: How many there are to train on.
    """

    domain: Domain
    channels: int
    value_range: tuple[float, float] | None
    num_observations: int

    @abstractmethod
    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        """The observations with index (n,) in [0, num_observations): inputs of the forward map and "value"."""

    def spec(self) -> SignalSpec:
        """The description that fields and displays are built from."""
        return SignalSpec(self.domain, self.channels, self.value_range)

    def fingerprint(self) -> str | None:
        """A hash of data that came from a file; None where the config alone makes them."""
        return None

    def training_grid(self) -> Tensor | None:
        """What is trained on, (*reversed axes, channels), where it lies on a regular grid; None elsewhere.

        Of a large signal it may be a part.
        """
        return None
