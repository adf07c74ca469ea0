"""The Fourier family: one class, and one function per choice of frequencies.

Frequencies are in cycles across the domain (the longest axis), so a phase is pi f x with x in [-1, 1].
"""

import math

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError


class Fourier(Encoding):
    """gamma(x) = [x?, a sin(pi B x), a cos(pi B x)] (Tancik et al. 2020, eq. 5), sines before cosines.

    The kernel gamma(x) . gamma(y) = sum_j a_j^2 cos(pi b_j . (x - y)) depends on x - y alone.

    Args:
        frequencies: B, (m, d), in cycles across the domain.
        amplitudes: a, (m,); ones if not given.
        include_input: Put the coordinates themselves in front.
    """

    frequencies: Tensor
    amplitudes: Tensor | None

    def __init__(
        self, frequencies: Tensor, amplitudes: Tensor | None = None, include_input: bool = False
    ) -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("amplitudes", amplitudes)
        count, self.in_dim = frequencies.shape
        self.raw = include_input
        self.out_dim = 2 * count + (self.in_dim if include_input else 0)

    def forward(self, coords: Tensor) -> Tensor:
        phase = coords @ (math.pi * self.frequencies).T
        waves = [phase.sin(), phase.cos()]
        if self.amplitudes is not None:
            waves = [self.amplitudes * wave for wave in waves]
        return torch.cat([coords, *waves] if self.raw else waves, dim=-1)


def on_each_axis(bands: Tensor, dim: int) -> Tensor:
    """Axis-aligned frequencies (m * dim, dim): all bands (m,) of x, then all of y, and so on."""
    return torch.kron(torch.eye(dim), bands.float()[:, None])


def basic(domain: Domain) -> Fourier:
    """One cycle across the domain per axis: gamma(x) = [sin(pi x), cos(pi x)] (Tancik et al. 2020)."""
    return Fourier(torch.eye(domain.dim))


def positional(domain: Domain, num_frequencies: int | None = None, include_input: bool = False) -> Fourier:
    """Frequencies 1, 2, 4, ..., 2^(L-1) on each axis (Mildenhall et al. 2020, eq. 4).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: L; by default the most whose top frequency stays below the training Nyquist.
        include_input: Put the coordinates themselves in front, as NeRF's code does.
    """
    if num_frequencies is None:
        num_frequencies = max(1, math.ceil(math.log2(domain.nyquist)))
    if num_frequencies < 1:
        raise UserError(f"encoding.num_frequencies={num_frequencies} must be at least 1")
    bands = 2.0 ** torch.arange(num_frequencies)
    return Fourier(on_each_axis(bands, domain.dim), include_input=include_input)


def dense(domain: Domain, num_frequencies: int = 256, octaves: float | None = None) -> Fourier:
    """Log-linear frequencies 2^t - 1 on each axis, t evenly from 0 to `octaves` (Tancik et al. 2020, App. E.1).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: Frequencies over all axes together; each axis gets its share, rounded down.
        octaves: The top frequency is 2^octaves - 1; by default just below half the training Nyquist,
            which gives the paper's 6 at its 256 training samples per axis.
    """
    share = num_frequencies // domain.dim
    if share < 2:
        raise UserError(f"encoding.num_frequencies={num_frequencies} must be at least {2 * domain.dim}")
    if octaves is None:
        octaves = max(1.0, math.log2(domain.nyquist / 2))
    if octaves <= 0:
        raise UserError(f"encoding.octaves={octaves} must be above 0")
    bands = 2 ** torch.linspace(0, octaves, share) - 1
    return Fourier(on_each_axis(bands, domain.dim))


def gaussian(
    domain: Domain, scale: float | None = None, num_frequencies: int = 256, seed: int = 0
) -> Fourier:
    """Random frequencies b ~ N(0, scale^2 I) (Tancik et al. 2020); the kernel tends to exp(-pi^2 scale^2 d^2 / 2).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        scale: Standard deviation per axis in cycles across the domain, the paper's sigma on [0, 1];
            by default 0.08 of the training Nyquist, about the paper's 10 at its 256 training samples.
        num_frequencies: m.
        seed: Of the draw, which is saved with the weights.
    """
    if scale is None:
        scale = 0.08 * domain.nyquist
    if scale <= 0:
        raise UserError(f"encoding.scale={scale} must be above 0")
    if num_frequencies < 1:
        raise UserError(f"encoding.num_frequencies={num_frequencies} must be at least 1")
    generator = torch.Generator().manual_seed(seed)
    return Fourier(scale * torch.randn(num_frequencies, domain.dim, generator=generator))
