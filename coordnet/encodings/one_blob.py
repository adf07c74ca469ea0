import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Count, Encoding
from coordnet.options import validate_ranges


class OneBlob(Encoding):
    """gamma_k(x) = P((k + 1) / n - u) - P(k / n - u), k = 0, ..., n - 1, with u = (x + 1) / 2, on each axis.

    P(t) = 1/2 + 15/16 s (1 - 2/3 s^2 + s^4 / 5), s = clip(n t, -1, 1), is the integral of the quartic kernel
    15/16 n (1 - s^2)^2. The kernel is a blob around u, one bin wide to each side, and each bin gets its share of the
    blob (Müller et al. 2019, sec. 4.3, with the kernel of tiny-cuda-nn's "OneBlob"). Features lie in [0, 1], at most 3
    features of an axis are not 0, and the second derivatives are continuous. All bins of x come before all bins of y.

    A bin is 2 / n wide on every axis. The bins beyond the ends of a shorter axis stay empty.

    Args:
        domain: Box with the number of axes.
        num_bins: n, the number of bins across [-1, 1].
        periodic: True identifies x = -1 with x = 1 on every axis, and the bins of an axis always add up to 1. False
            drops the share of a blob beyond the outermost bins: at x = -1 and x = 1 the bins add up to 1/2.
    """

    edges: Tensor

    @validate_ranges
    def __init__(self, domain: Domain, num_bins: Count = 16, periodic: bool = False) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.periodic = periodic
        self.register_buffer("edges", torch.arange(num_bins + 1) / num_bins)
        self.in_dim = domain.dim
        self.out_dim = domain.dim * num_bins

    def forward(self, coords: Tensor) -> Tensor:
        u = (coords[..., None] + 1) / 2
        periods = [0]
        if self.periodic:
            u = u - u.floor()
            # A blob in [0, 1] reaches the neighboring periods only.
            periods = [-1, 0, 1]
        below = torch.stack([self._share_below(self.edges - u + period) for period in periods]).sum(dim=0)
        return below.diff(dim=-1).flatten(-2)

    def _share_below(self, t: Tensor) -> Tensor:
        """P(t): the share of a blob at 0 that lies below t."""
        s = (self.num_bins * t).clamp(-1, 1)
        return 0.5 + 15 / 16 * s * (1 - 2 / 3 * s**2 + s**4 / 5)

    def formula(self) -> str:
        ends = ", periodic" if self.periodic else ""
        return f"the shares of a quartic blob around x in {self.num_bins} bins per axis{ends}"
