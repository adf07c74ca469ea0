"""The first rungs of the ladder from an index to sines and cosines. The last ones are in the Fourier family."""

import math

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import (
    check_frequencies,
    format_frequencies,
    octaves_below_nyquist,
    on_each_axis,
)
from coordnet.ranges import check_ranges


class Index(Encoding):
    """gamma(x) = p: the raw number of the sample, 0 to n - 1 along each axis; between samples a fraction.

    Args:
        domain: Gives the samples per axis.
    """

    includes_input = True

    def __init__(self, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.in_dim = self.out_dim = domain.dim

    def forward(self, coords: Tensor) -> Tensor:
        return self.domain.coords_to_index(coords)

    def formula(self) -> str:
        return f"p, the number of the sample: 0 to {max(self.domain.size) - 1} along the longest axis"


class Normalized(Encoding):
    """gamma(x) = x in [-1, 1], whatever the length; on request log2(n) / 16 keeps the length in a column of its own.

    Args:
        domain: Gives the dimension, and the length n of the longest axis.
        length: Append log2(n) / 16, which is within [0, 1] up to 65,536 samples.
    """

    includes_input = True

    def __init__(self, domain: Domain, length: bool = False) -> None:
        super().__init__()
        self.in_dim = domain.dim
        self.out_dim = domain.dim + length
        self.length = math.log2(domain.resolution) / 16 if length else None

    def forward(self, coords: Tensor) -> Tensor:
        if self.length is None:
            return coords
        return torch.cat([coords, torch.full_like(coords[..., :1], self.length)], dim=-1)

    def formula(self) -> str:
        return "x in [-1, 1]" + ("" if self.length is None else f", and log2(n) / 16 = {self.length:.4g}")


class Binary(Encoding):
    """The binary digits of floor(u N), each as -1 or 1, lowest first, with u in [0, 1) along each axis.

    Bounded and injective on the training samples, but piecewise constant: its derivative is 0 wherever it has one.
    Past the ends the cells count on, modulo 2^num_digits.

    Args:
        domain: By default each training sample along the longest axis is a cell of its own.
        num_digits: Cells are counted in 2^num_digits along the longest axis instead; in [1, 24], the digits that
            float32 coordinates hold.
        gray: Gray code: neighboring cells differ in one digit only.
    """

    def __init__(self, domain: Domain, num_digits: int | None = None, gray: bool = False) -> None:
        super().__init__()
        check_ranges(Binary, num_digits=num_digits)
        cells = domain.resolution / domain.train_stride if num_digits is None else 2.0**num_digits
        self.num_digits = num_digits or max(1, math.ceil(math.log2(cells)))
        self.cells_per_unit = cells / 2
        self.gray = gray
        self.in_dim = domain.dim
        self.out_dim = domain.dim * self.num_digits
        self.register_buffer("low", -torch.tensor(domain.extent))
        self.register_buffer("weights", 2 ** torch.arange(self.num_digits))

    low: Tensor
    weights: Tensor

    def forward(self, coords: Tensor) -> Tensor:
        # A whole number below 2^24 is exact in float32.
        cell = ((coords - self.low) * self.cells_per_unit).floor()
        index = cell.detach().long() % 2**self.num_digits
        if self.gray:
            index = index ^ (index >> 1)
        digits = (index[..., None] // self.weights % 2) * 2 - 1
        return digits.to(coords.dtype).flatten(-2) + 0 * coords.sum(dim=-1, keepdim=True)

    def formula(self) -> str:
        code = "Gray code" if self.gray else "binary digits"
        return (
            f"{self.num_digits} {code} of floor(u N), N = {2 * self.cells_per_unit:g}, each -1 or 1, per axis"
        )


class Sine(Encoding):
    """gamma(x) = sin(pi f x) for f, 2f, 4f, ... on each axis: no cosines, so a shift of x is no linear map.

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: Up to 2^16; by default the most whose top frequency stays below the training Nyquist.
        min_frequency: f in cycles across the domain; 1/2 makes the slowest wave rise from end to end.
    """

    frequencies: Tensor

    def __init__(
        self, domain: Domain, num_frequencies: int | None = None, min_frequency: float = 0.5
    ) -> None:
        super().__init__()
        check_ranges(Sine, num_frequencies=num_frequencies, min_frequency=min_frequency)
        if num_frequencies is None:
            num_frequencies = octaves_below_nyquist(domain, min_frequency)
        bands = min_frequency * 2.0 ** torch.arange(num_frequencies)
        check_frequencies(bands)
        self.register_buffer("frequencies", on_each_axis(bands, domain.dim))
        self.out_dim, self.in_dim = self.frequencies.shape

    def forward(self, coords: Tensor) -> Tensor:
        return (coords @ (math.pi * self.frequencies).T).sin()

    def feature_frequencies(self) -> Tensor:
        return self.frequencies

    def formula(self) -> str:
        frequencies = format_frequencies(self.frequencies.norm(dim=-1))
        return f"sin(pi f x), f in {{{frequencies}}} on each axis (cycles across the domain)"
