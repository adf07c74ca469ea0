from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding


class NoEncoding(Encoding):
    """gamma(x) = (), no features: what is not to be told.

    Args:
        domain: Gives the dimension.
    """

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.in_dim = domain.dim
        self.out_dim = 0

    def forward(self, coords: Tensor) -> Tensor:
        return coords[..., :0]
