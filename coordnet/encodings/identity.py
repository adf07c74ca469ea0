from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.ranges import check_ranges


class Identity(Encoding):
    """gamma(x) = scale * x + offset: the coordinates themselves, the encoding that shows spectral bias.

    Args:
        domain: Gives the dimension.
        scale: Factor; 1 keeps [-1, 1].
        offset: Added after scaling; scale 0.5 and offset 0.5 give [0, 1]. Both in [-2^24, 2^24].
    """

    includes_input = True

    def __init__(self, domain: Domain, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        check_ranges(Identity, scale=scale, offset=offset)
        self.in_dim = self.out_dim = domain.dim
        self.scale = scale
        self.offset = offset

    def forward(self, coords: Tensor) -> Tensor:
        return self.scale * coords + self.offset
