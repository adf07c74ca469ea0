import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.ranges import check_ranges


class OneBlob(Encoding):
    """gamma_k(x) = P((k + 1) / n - u) - P(k / n - u), k = 0, ..., n - 1, with u = (x + 1) / 2, on each axis.

    P(t) = 1/2 + 15/16 s (1 - 2/3 s^2 + s^4 / 5), s = clip(n t, -1, 1), is the integral of the quartic kernel
    15/16 n (1 - s^2)^2: a blob around u, one bin wide to each side, shared out to n bins (Müller et al. 2019, sec. 4.3,
    with the kernel of tiny-cuda-nn's "OneBlob"). Features lie in [0, 1], at most 3 of an axis are not 0, and their
    second derivatives are continuous. All bins of x come before all of y.

    A bin is 2 / n wide on every axis, whatever the axis's extent; so those beyond the ends of a shorter axis stay
    empty.

    Args:
        domain: Gives the dimension.
        num_bins: n, across the longest axis, in [1, 2^16].
        periodic: x = -1 and x = 1 are the same place, on every axis, and the bins of an axis always add up to 1.
            Otherwise what is beyond the outermost bins is lost: at x = -1 and x = 1 they add up to 1/2.
    """

    edges: Tensor

    def __init__(self, domain: Domain, num_bins: int = 16, periodic: bool = False) -> None:
        super().__init__()
        check_ranges(OneBlob, num_bins=num_bins)
        self.num_bins = num_bins
        self.periodic = periodic
        self.register_buffer("edges", torch.arange(num_bins + 1) / num_bins)
        self.in_dim = domain.dim
        self.out_dim = domain.dim * num_bins

    def forward(self, coords: Tensor) -> Tensor:
        place = (coords[..., None] + 1) / 2
        images = [0]
        if self.periodic:
            place = place - place.floor()
            # A blob in [0, 1] reaches no further than its two neighbors.
            images = [-1, 0, 1]
        below = torch.stack([self.integral(self.edges - place + image) for image in images]).sum(dim=0)
        return below.diff(dim=-1).flatten(-2)

    def integral(self, t: Tensor) -> Tensor:
        """P(t): the share of a blob at 0 that lies below t."""
        s = (self.num_bins * t).clamp(-1, 1)
        return 0.5 + 15 / 16 * s * (1 - 2 / 3 * s**2 + s**4 / 5)

    def formula(self) -> str:
        ends = ", periodic" if self.periodic else ""
        return f"a quartic blob around x, shared out to {self.num_bins} bins per axis{ends}"
