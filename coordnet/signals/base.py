from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from coordnet.coords import Domain
from coordnet.signals.spec import SignalSpec

Predict = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class GridComparison(NamedTuple):
    """A prediction beside its target, on a regular grid over the whole domain or, of a large signal, a part of it.

    Attributes:
        prediction: (*reversed axes, channels), clipped where the values are.
        target: Likewise.
        nyquist: Of this grid, in cycles across the domain.
    """

    prediction: np.ndarray
    target: np.ndarray
    nyquist: float


class EvaluationResult(NamedTuple):
    """What a signal says of a field.

    Attributes:
        metrics: Under their TensorBoard names, such as "test/psnr".
        draw: Makes the pictures by name, each uint8 (height, width, 3); not every evaluation is looked at.
        score: Higher is better; taken on validation samples where there are any, never on the test samples.
        samples: What the error of each frequency band is taken from; None where the signal has no regular grid.
    """

    metrics: dict[str, float]
    draw: Callable[[], dict[str, np.ndarray]]
    score: float
    samples: GridComparison | None = None

    @property
    def pictures(self) -> dict[str, np.ndarray]:
        return self.draw()


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
