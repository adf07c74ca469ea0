import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import check_frequencies, octaves_below_nyquist, on_each_axis
from coordnet.ranges import check_ranges

MIN_FREQUENCY = 0.5


class Triangle(Encoding):
    """gamma(x) = 4 |v - floor(v) - 1/2| - 1 with v = f u + l/4, f = 2^(l-1) and u = (x + 1) / 2, for l = 0, ..., n-1.

    Triangle waves in [-1, 1] of 1/2, 1, 2, 4, ... cycles across the domain, each moved by a quarter of a period against
    the one before: tiny-cuda-nn's "TriangleWave" (Müller et al.), its u being in [0, 1]. All levels of x come before
    all of y. A triangle wave holds odd multiples of its frequency too, of 1/9, 1/25, ... of the amplitude; its first
    derivative jumps at the corners and its second is 0 between them.

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: n, levels per axis; by default the most whose top frequency stays below the training Nyquist.
    """

    # Half a cycle goes from end to end in one straight line: the first level is -x.
    includes_input = True
    bands: Tensor
    shifts: Tensor

    def __init__(self, domain: Domain, num_frequencies: int | None = None) -> None:
        super().__init__()
        check_ranges(Triangle, num_frequencies=num_frequencies)
        if num_frequencies is None:
            num_frequencies = octaves_below_nyquist(domain, MIN_FREQUENCY)
        levels = torch.arange(num_frequencies)
        self.register_buffer("bands", MIN_FREQUENCY * 2.0**levels)
        check_frequencies(self.bands)
        self.register_buffer("shifts", levels / 4)
        self.in_dim = domain.dim
        self.out_dim = domain.dim * num_frequencies

    def forward(self, coords: Tensor) -> Tensor:
        cycles = (coords[..., None] + 1) / 2 * self.bands + self.shifts
        return (4 * (cycles - cycles.floor() - 0.5).abs() - 1).flatten(-2)

    def feature_frequencies(self) -> Tensor:
        return on_each_axis(self.bands, self.in_dim)

    def formula(self) -> str:
        bands = ", ".join(f"{band:g}" for band in self.bands.tolist())
        return f"triangle waves, f in {{{bands}}} on each axis (cycles across the domain)"
