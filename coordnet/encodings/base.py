"""The interface of encodings, and the ranges that their options share."""

from abc import ABC, abstractmethod
from typing import Annotated

from torch import Tensor, nn

from coordnet.options import Range

# float32 coordinates in [-1, 1] can follow waves up to this frequency, in cycles across the domain.
MAX_FREQUENCY = 2**24
_CYCLES = Range(2**-24, MAX_FREQUENCY, "cycles across the domain")

# Number of frequencies, features or bins: a batch of 8192 samples then takes gigabytes.
Count = Annotated[int, Range(1, 2**16)]
OptionalCount = Annotated[int | None, Range(1, 2**16)]
Frequency = Annotated[float, _CYCLES]
OptionalFrequency = Annotated[float | None, _CYCLES]
Seed = Annotated[int, Range(0, 2**63 - 1)]


class Encoding(nn.Module, ABC):
    """A map from coordinates (*, in_dim) to features (*, out_dim).

    Attributes:
        in_dim: Number of coordinates.
        out_dim: Number of features.
        includes_input: True if some feature is the coordinate itself. Such features stay in float32, because bfloat16
            does not resolve neighboring pixel centers.
        integrates: True if `forward` also accepts a covariance (*, in_dim, in_dim), the footprint of each sample,
            and averages the features over this footprint.
    """

    in_dim: int
    out_dim: int
    includes_input: bool = False
    integrates: bool = False

    @abstractmethod
    def forward(self, coords: Tensor) -> Tensor:
        """Features (*, out_dim) of coordinates (*, in_dim)."""

    def feature_frequencies(self) -> Tensor | None:
        """The frequency vector of each feature, (out_dim, in_dim), in cycles across the domain.

        A feature that is no wave has the frequency 0. An encoding without waves returns None.
        """
        return None

    def formula(self) -> str:
        """The encoding in one line, with its numbers."""
        return (type(self).__doc__ or type(self).__name__).strip().split("\n")[0]
