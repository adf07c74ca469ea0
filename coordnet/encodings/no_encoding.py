from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding


class NoEncoding(Encoding):
    """gamma(x) = (), an encoding without features, for a network that does not depend on the coordinates.

    Args:
        domain: Box with the number of axes.
    """

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.in_dim = domain.dim
        self.out_dim = 0

    def forward(self, coords: Tensor) -> Tensor:
        return coords[..., :0]
