"""Encodings between an index and sinusoids: index, normalized position, binary digits, and sines without cosines."""

import math
from typing import Annotated

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding, Frequency, OptionalCount
from coordnet.encodings.fourier import axis_aligned, check_frequencies, format_axes, octaves_below_nyquist
from coordnet.options import Range, validate_ranges


class Index(Encoding):
    """gamma(x) = p: the index of the sample, 0 to n - 1 along each axis, and fractions between samples.

    Args:
        domain: Box with the number of samples along each axis.
    """

    includes_input = True

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.in_dim = self.out_dim = domain.dim

    def forward(self, coords: Tensor) -> Tensor:
        return self.domain.coords_to_index(coords)

    def formula(self) -> str:
        return f"p, the index of the sample: 0 to {max(self.domain.size) - 1} along the longest axis"


class Normalized(Encoding):
    """gamma(x) = x in [-1, 1] for any length n; an optional column log2(n) / 16 keeps the length.

    Args:
        domain: Box with n samples along the longest axis.
        length: True appends log2(n) / 16, which is within [0, 1] up to 65,536 samples.
    """

    includes_input = True

    def __init__(self, domain: Domain, length: bool = False) -> None:
        super().__init__()
        self.in_dim = domain.dim
        self.out_dim = domain.dim + length
        self.length = math.log2(max(domain.resolution)) / 16 if length else None

    def forward(self, coords: Tensor) -> Tensor:
        if self.length is None:
            return coords
        return torch.cat([coords, torch.full_like(coords[..., :1], self.length)], dim=-1)

    def formula(self) -> str:
        return "x in [-1, 1]" + ("" if self.length is None else f", and log2(n) / 16 = {self.length:.4g}")


class Binary(Encoding):
    """The binary digits of floor(u N), each as -1 or 1, lowest digit first, with u in [0, 1) along each axis.

    The code is bounded and injective on the training samples, but piecewise constant: its derivative is 0 wherever the
    derivative exists. Cells beyond the ends of the domain are counted modulo 2^num_digits.

    Args:
        domain: Box with the training samples. By default each training sample is a cell of its own.
        num_digits: Number of digits, for 2^num_digits cells across [-1, 1]. float32 coordinates hold 24 digits.
        gray: True uses the Gray code, in which neighboring cells differ in one digit only.
    """

    low: Tensor
    weights: Tensor

    @validate_ranges
    def __init__(
        self, domain: Domain, num_digits: Annotated[int | None, Range(1, 24)] = None, gray: bool = False
    ) -> None:
        super().__init__()
        cells = [
            r / domain.train_stride if num_digits is None else 2.0**num_digits for r in domain.resolution
        ]
        self.num_digits = num_digits or max(1, math.ceil(math.log2(max(cells))))
        self.cells_per_unit = [count / 2 for count in cells]
        self.gray = gray
        self.in_dim = domain.dim
        self.out_dim = domain.dim * self.num_digits
        self.register_buffer("low", -torch.tensor(domain.extent))
        self.register_buffer("weights", 2 ** torch.arange(self.num_digits))

    def forward(self, coords: Tensor) -> Tensor:
        equal = len(set(self.cells_per_unit)) == 1
        cells_per_unit = self.cells_per_unit[0] if equal else coords.new_tensor(self.cells_per_unit)
        # A whole number below 2^24 is exact in float32.
        cell = ((coords - self.low) * cells_per_unit).floor()
        index = cell.detach().long() % 2**self.num_digits
        if self.gray:
            index = index ^ (index >> 1)
        digits = (index[..., None] // self.weights % 2) * 2 - 1
        return digits.to(coords.dtype).flatten(-2) + 0 * coords.sum(dim=-1, keepdim=True)

    def formula(self) -> str:
        code = "Gray code" if self.gray else "binary digits"
        cells = ", ".join(dict.fromkeys(f"{2 * count:g}" for count in self.cells_per_unit))
        return f"{self.num_digits} {code} of floor(u N), N = {cells}, each -1 or 1, per axis"


class Sine(Encoding):
    """gamma(x) = sin(pi f x) for f, 2f, 4f, ... on each axis. Without cosines, a shift of x is no linear map.

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: Number of frequencies per axis. By default each axis has the most octaves below its training
            Nyquist frequency.
        min_frequency: f in cycles across the domain; 1/2 makes the slowest wave rise from end to end.
    """

    frequencies: Tensor

    @validate_ranges
    def __init__(
        self, domain: Domain, num_frequencies: OptionalCount = None, min_frequency: Frequency = 0.5
    ) -> None:
        super().__init__()
        counts = [num_frequencies or octaves_below_nyquist(n, min_frequency) for n in domain.nyquist]
        bands = axis_aligned([min_frequency * 2.0 ** torch.arange(count) for count in counts])
        check_frequencies(bands)
        self.register_buffer("frequencies", bands)
        self.out_dim, self.in_dim = self.frequencies.shape

    def forward(self, coords: Tensor) -> Tensor:
        return (coords @ (math.pi * self.frequencies).T).sin()

    def feature_frequencies(self) -> Tensor:
        return self.frequencies

    def formula(self) -> str:
        return f"sin(pi f x), {format_axes(self.frequencies)} (cycles across the domain)"
