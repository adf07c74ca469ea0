from typing import Annotated

from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import MAX_FREQUENCY, Encoding
from coordnet.options import Range, validate_ranges

_Affine = Annotated[float, Range(-MAX_FREQUENCY, MAX_FREQUENCY)]


class Identity(Encoding):
    """gamma(x) = scale * x + offset: the coordinates themselves. With this encoding a network shows spectral bias.

    Args:
        domain: Box with the number of axes.
        scale: Factor of the coordinates; 1 keeps [-1, 1].
        offset: Number that is added after scaling; scale 0.5 and offset 0.5 give [0, 1].
    """

    includes_input = True

    @validate_ranges
    def __init__(self, domain: Domain, scale: _Affine = 1.0, offset: _Affine = 0.0) -> None:
        super().__init__()
        self.in_dim = self.out_dim = domain.dim
        self.scale = scale
        self.offset = offset

    def forward(self, coords: Tensor) -> Tensor:
        return self.scale * coords + self.offset
