import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding, OptionalCount
from coordnet.encodings.fourier import axis_aligned, check_frequencies, format_axes, octaves_below_nyquist
from coordnet.options import validate_ranges

_MIN_FREQUENCY = 0.5


class Triangle(Encoding):
    """gamma(x) = 4 |v - floor(v) - 1/2| - 1 with v = f u + l/4, f = 2^(l-1) and u = (x + 1) / 2, for l = 0, ..., n-1.

    Triangle waves in [-1, 1] of 1/2, 1, 2, 4, ... cycles across the domain, each shifted by a quarter of a period from
    the previous level. The definition is tiny-cuda-nn's "TriangleWave" (Müller et al.), whose u is in [0, 1]. All
    levels of x come before all levels of y. A triangle wave also holds odd multiples of its frequency, of 1/9, 1/25,
    ... of the amplitude. Its first derivative jumps at the corners; its second derivative is 0 between the corners.

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: n, the number of levels per axis. By default each axis has the most levels whose frequencies
            stay below its training Nyquist frequency.
    """

    # Half a cycle is one straight line from end to end: the first level is -x.
    includes_input = True
    bands: Tensor
    shifts: Tensor

    @validate_ranges
    def __init__(self, domain: Domain, num_frequencies: OptionalCount = None) -> None:
        super().__init__()
        levels = [
            torch.arange(num_frequencies or octaves_below_nyquist(nyquist, _MIN_FREQUENCY))
            for nyquist in domain.nyquist
        ]
        self.register_buffer("bands", axis_aligned([_MIN_FREQUENCY * 2.0**level for level in levels]))
        check_frequencies(self.bands)
        self.register_buffer("shifts", torch.cat(levels) / 4)
        self.out_dim, self.in_dim = self.bands.shape

    def forward(self, coords: Tensor) -> Tensor:
        cycles = (coords + 1) / 2 @ self.bands.T + self.shifts
        return 4 * (cycles - cycles.floor() - 0.5).abs() - 1

    def feature_frequencies(self) -> Tensor:
        return self.bands

    def formula(self) -> str:
        return f"triangle waves, {format_axes(self.bands)} (cycles across the domain)"
