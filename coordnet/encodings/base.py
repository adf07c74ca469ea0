from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoding(nn.Module, ABC):
    """Maps coordinates (*, in_dim) to features (*, out_dim).

    Attributes:
        includes_input: True if some feature is the coordinate itself. Such features stay in float32, because bfloat16
            cannot tell neighboring pixel centers apart.
        integrates: True if `forward` also takes a covariance (*, in_dim, in_dim), the footprint of each sample,
            and averages the features over it.
    """

    in_dim: int
    out_dim: int
    includes_input: bool = False
    integrates: bool = False

    @abstractmethod
    def forward(self, coords: Tensor) -> Tensor: ...

    def feature_frequencies(self) -> Tensor | None:
        """The frequency vector of each feature, (out_dim, in_dim), in cycles across the domain.

        Zero for a feature that is no wave; None if there are no waves at all.
        """
        return None

    def formula(self) -> str:
        """The encoding in one line, with its numbers."""
        return (type(self).__doc__ or type(self).__name__).strip().split("\n")[0]
