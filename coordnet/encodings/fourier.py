"""The Fourier family: one class, and one function per choice of frequencies.

A frequency along an axis is in cycles across [-1, 1] of that axis, so a phase is pi f x with x in [-1, 1]. Default
frequencies stay below the training Nyquist frequency of their axis.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import (
    MAX_FREQUENCY,
    Count,
    Encoding,
    Frequency,
    OptionalCount,
    OptionalFrequency,
    Seed,
)
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges

Distribution = Literal["gaussian", "uniform", "log_uniform", "laplace"]


class Fourier(Encoding):
    """gamma(x) = [x?, a w sin(pi B (x - o)), a w cos(pi B (x - o))] (Tancik et al. 2020, eq. 5).

    The kernel gamma(x) . gamma(y) = sum_j a_j^2 cos(pi b_j . (x - y)) depends on x - y alone. The weight w is 1
    without a footprint. With a footprint of covariance S, w is the average of the waves over a Gaussian of that
    covariance: w_j = exp(-pi^2 b_j^T S b_j / 2) (Barron et al. 2021, eqs. 12 to 14).

    Args:
        frequencies: B, (m, d), in cycles across the domain.
        amplitudes: a, (m,); the default is 1 for all waves.
        include_input: True puts the coordinates in front of the waves.
        origin: o, (d,), the point at which all phases are 0; the default is the center of the domain.
        interleaved: True puts each cosine behind its sine. False puts all sines before all cosines.
        trainable: True makes B a parameter. False saves B with the weights as a constant.
        integrates: True averages the waves over the footprints of samples with a known footprint.

    Raises:
        OptionError: A frequency is above 2^24 cycles across the domain.
    """

    frequencies: Tensor
    amplitudes: Tensor | None
    origin: Tensor | None

    def __init__(
        self,
        frequencies: Tensor,
        amplitudes: Tensor | None = None,
        include_input: bool = False,
        origin: Tensor | None = None,
        interleaved: bool = False,
        trainable: bool = False,
        integrates: bool = False,
    ) -> None:
        super().__init__()
        check_frequencies(frequencies)
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies)
        self.register_buffer("amplitudes", amplitudes)
        self.register_buffer("origin", origin)
        count, self.in_dim = frequencies.shape
        self.includes_input = include_input
        self.interleaved = interleaved
        self.integrates = integrates
        self.out_dim = 2 * count + (self.in_dim if include_input else 0)

    def forward(self, coords: Tensor, covariance: Tensor | None = None) -> Tensor:
        shifted = coords if self.origin is None else coords - self.origin
        phase = shifted @ (math.pi * self.frequencies).T
        waves = [phase.sin(), phase.cos()]
        if self.amplitudes is not None:
            waves = [self.amplitudes * wave for wave in waves]
        if covariance is not None:
            variance = ((covariance @ self.frequencies.T) * self.frequencies.T).sum(dim=-2)
            weight = torch.exp(-(math.pi**2) / 2 * variance)
            waves = [weight * wave for wave in waves]
        if self.interleaved:
            waves = [torch.stack(waves, dim=-1).flatten(-2)]
        return torch.cat([coords, *waves] if self.includes_input else waves, dim=-1)

    def feature_frequencies(self) -> Tensor:
        b = self.frequencies.detach()
        pairs = b.repeat_interleave(2, dim=0) if self.interleaved else b.repeat(2, 1)
        return torch.cat([b.new_zeros(self.out_dim - len(pairs), self.in_dim), pairs])

    def formula(self) -> str:
        frequencies = self.frequencies.detach()
        axis_aligned = bool(((frequencies != 0).sum(dim=-1) <= 1).all())
        x = "x"
        if self.origin is not None:
            x = "(x + 1)" if bool((self.origin == -1).all()) else "(x - o)"
        phase = f"pi f {x}" if axis_aligned else f"pi b . {x}"
        parts = ["x"] * self.includes_input + [f"sin({phase})", f"cos({phase})"]
        if axis_aligned:
            numbers = format_axes(frequencies)
        else:
            f = frequencies.norm(dim=-1)
            numbers = f"{len(f)} vectors b, |b| from {f.min():.3g} to {f.max():.3g}, median {f.median():.3g}"
        amplitudes = "" if self.amplitudes is None else "a * "
        averaged = ", averaged over the footprint of a sample" if self.integrates else ""
        return f"{amplitudes}[{', '.join(parts)}], {numbers} (cycles across the domain){averaged}"


def check_frequencies(frequencies: Tensor) -> None:
    """Refuse frequencies that a float32 coordinate cannot follow.

    Raises:
        OptionError: A frequency is above 2^24 cycles across the domain.
    """
    if not (frequencies.abs() <= MAX_FREQUENCY).all():
        top = float(frequencies.abs().max())
        raise OptionError(
            "frequencies", top, f"must be at most 2^24 = {MAX_FREQUENCY} cycles across the domain"
        )


def format_frequencies(frequencies: Tensor) -> str:
    """The distinct frequencies of (n,), in rising order, abridged to 6 numbers if there are more than 8."""
    shown = [f"{f:g}" for f in sorted({float(f"{value:.4g}") for value in frequencies.tolist()})]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def format_axes(frequencies: Tensor) -> str:
    """Axis-aligned frequencies (m, d) in words: one list for all axes, or a list per axis if these differ."""
    axes = [format_frequencies(column[column != 0]) for column in frequencies.T]
    if len(set(axes)) == 1:
        return f"f in {{{format_frequencies(frequencies.norm(dim=-1))}}} on each axis"
    return "f in " + ", ".join(f"{{{axis}}} on axis {i}" for i, axis in enumerate(axes))


def axis_aligned(bands: Sequence[Tensor]) -> Tensor:
    """Axis-aligned frequencies (m, d), d = len(bands): all bands (m_0,) of x, then all of y, and so on."""
    return torch.block_diag(*[band.float()[:, None] for band in bands])


def octaves_below_nyquist(nyquist: float, min_frequency: float) -> int:
    """The number of frequencies f, 2f, 4f, ... below `nyquist` that start at f = min_frequency; at least 1."""
    return max(1, math.ceil(math.log2(nyquist / min_frequency)))


def basic(domain: Domain) -> Fourier:
    """One cycle across the domain per axis: gamma(x) = [sin(pi x), cos(pi x)] (Tancik et al. 2020)."""
    return Fourier(torch.eye(domain.dim))


@validate_ranges
def positional(
    domain: Domain,
    num_frequencies: OptionalCount = None,
    min_frequency: Frequency = 1.0,
    max_frequency: OptionalFrequency = None,
    spacing: Literal["log", "linear"] = "log",
    include_input: bool = False,
    zero_one_coords: bool = False,
    integrates: bool = False,
) -> Fourier:
    """Frequencies f, 2f, 4f, ..., 2^(L-1) f on each axis, by default (Mildenhall et al. 2020, eq. 4).

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: L. By default each axis has the most octaves below its training Nyquist frequency.
        min_frequency: f in cycles across the domain: 1 in the paper (its sin(2^k pi x)), 1 / pi in its code
            (sin(2^k x)), 2 for sin(2^k 2 pi x).
        max_frequency: Highest frequency, at least `min_frequency`; the default is 2^(L-1) times `min_frequency`.
        spacing: "log" spaces the L frequencies evenly in their logarithm, "linear" evenly.
        include_input: True puts the coordinates in front of the waves, as NeRF's code does.
        zero_one_coords: True computes the phases of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        integrates: True averages the waves over the footprint of a sample (Barron et al. 2021).

    Raises:
        OptionError: `max_frequency` is below `min_frequency`, or a range of one frequency has two ends.
    """

    def bands(nyquist: float) -> Tensor:
        count = octaves_below_nyquist(nyquist, min_frequency) if num_frequencies is None else num_frequencies
        octaves = min_frequency * 2.0 ** torch.arange(count, dtype=torch.float64)
        if max_frequency is not None:
            _check_minimum("max_frequency", max_frequency, min_frequency)
            _check_minimum("num_frequencies", count, 2)
            ends = math.log2(min_frequency), math.log2(max_frequency)
            octaves = torch.logspace(*ends, count, 2, dtype=torch.float64)
        if spacing == "linear":
            return torch.linspace(float(octaves[0]), float(octaves[-1]), count)
        return octaves

    frequencies = axis_aligned([bands(nyquist) for nyquist in domain.nyquist])
    origin = -torch.ones(domain.dim) if zero_one_coords else None
    return Fourier(frequencies, include_input=include_input, origin=origin, integrates=integrates)


def _check_minimum(option: str, value: float, low: float) -> None:
    if value < low:
        raise OptionError(option, value, f"must be at least {low}")


def nyquist_positional(domain: Domain) -> Fourier:
    """Frequencies 1, 2, ..., 2^(L-1) with L = floor(log2(n / 4)), n the training samples of the shortest axis.

    SIREN's code chooses L for its positional baseline by this rule (Sitzmann et al. 2020) and includes the input. In
    3 dimensions its L is 10 for any n. L is at least 1 here.
    """
    samples = math.ceil(min(domain.size) / domain.train_stride)
    octaves = 10 if domain.dim == 3 else max(1, math.floor(math.log2(samples / 4)))
    return positional(domain, octaves, include_input=True)


@validate_ranges
def transformer(
    domain: Domain,
    num_features: Annotated[int, Range(2, 2**16)] = 64,
    base: Annotated[float, Range(1, 1e12, above=True)] = 10000.0,
) -> Fourier:
    """sin(p w_i), cos(p w_i), interleaved, w_i = base^(-2i / C), p the position (Vaswani et al. 2017, sec. 3.5).

    Positions are whole numbers at the training samples: 0, 1, 2, ... along each axis, so the fastest wave turns by 1
    radian per training sample. Each axis gets C = 2 ceil(num_features / 2d) features of its own.

    Args:
        domain: Box with the training samples along each axis.
        num_features: Number of features of all axes together, rounded up to a multiple of 2d.
        base: Ratio of the fastest wave to the limit of the slowest; 10000 in the paper.
    """
    pairs = math.ceil(num_features / (2 * domain.dim))
    rates = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    # p = (x - o) n / 2 for n training samples across the domain, so p w = pi f (x - o) with f = w n / (2 pi).
    frequencies = axis_aligned([rates * nyquist / math.pi for nyquist in domain.nyquist])
    origin = domain.index_to_coords(torch.zeros(domain.dim, dtype=torch.long))
    return Fourier(frequencies, origin=origin, interleaved=True)


@validate_ranges
def log_linear(
    domain: Domain,
    num_frequencies: Annotated[int, Range(2, 2**16)] = 256,
    octaves: Annotated[float | None, Range(0, math.log2(MAX_FREQUENCY), above=True)] = None,
) -> Fourier:
    """Log-linear frequencies 2^t - 1 on each axis, t evenly from 0 to `octaves` (Tancik et al. 2020, App. E.1).

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: Number of frequencies of all axes together, at least 2 per axis. Each axis gets an equal
            share, rounded down.
        octaves: Logarithm of 1 + the highest frequency. The default puts the highest frequency just below half the
            training Nyquist frequency of each axis, which gives the paper's 6 at its 256 training samples per axis.

    Raises:
        OptionError: An axis would get fewer than 2 frequencies.
    """
    _check_minimum("num_frequencies", num_frequencies, 2 * domain.dim)
    share = num_frequencies // domain.dim

    def bands(nyquist: float) -> Tensor:
        top = max(1.0, math.log2(nyquist / 2)) if octaves is None else octaves
        return 2 ** torch.linspace(0, top, share) - 1

    return Fourier(axis_aligned([bands(nyquist) for nyquist in domain.nyquist]))


@validate_ranges
def geometric(domain: Domain, num_frequencies: Count = 16, scale: OptionalFrequency = None) -> Fourier:
    """Frequencies scale^(j / m), j = 0, ..., m - 1, on each axis.

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: m, the number of frequencies per axis.
        scale: Frequency that would come after the last, in cycles across the domain. The default is the training
            Nyquist frequency of each axis.

    Raises:
        OptionError: `scale` is 1, so that all frequencies would be equal.
    """
    if scale == 1:
        raise OptionError("scale", scale, "must not be 1, because all frequencies would then be equal")

    def bands(nyquist: float) -> Tensor:
        top = max(2.0, nyquist) if scale is None else scale
        return top ** (torch.arange(num_frequencies) / num_frequencies)

    return Fourier(axis_aligned([bands(nyquist) for nyquist in domain.nyquist]))


@validate_ranges
def harmonic(
    domain: Domain,
    num_frequencies: OptionalCount = None,
    decay: Annotated[float, Range(-3, 1000)] = 1.0,
    unit_norm: bool = False,
) -> Fourier:
    """Frequencies j = 1, 2, ..., n on each axis with amplitudes j^-decay (Tancik et al. 2020, sec. 5).

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        num_frequencies: n. By default n is 16, or the number of integers below the training Nyquist frequency of the
            axis if this number is smaller.
        decay: p of the amplitudes j^-p. 0 weights all frequencies alike; larger values favor low frequencies.
        unit_norm: True divides by the root of the sum of all squared amplitudes, so that the features of any point
            have length 1, as in the paper's 1-D experiments.
    """

    def bands(nyquist: float) -> Tensor:
        count = min(16, max(1, math.ceil(nyquist) - 1)) if num_frequencies is None else num_frequencies
        return torch.arange(1, count + 1).float()

    axes = [bands(nyquist) for nyquist in domain.nyquist]
    amplitudes = torch.cat([axis**-decay for axis in axes])
    if unit_norm:
        amplitudes = amplitudes / amplitudes.norm()
    return Fourier(axis_aligned(axes), amplitudes)


@validate_ranges
def gaussian(
    domain: Domain,
    scale: OptionalFrequency = None,
    num_frequencies: Count = 256,
    seed: Seed = 0,
    trainable: bool = False,
    zero_one_coords: bool = False,
    unit_norm: bool = False,
) -> Fourier:
    """Random frequencies b ~ N(0, scale^2 I) (Tancik et al. 2020); the kernel tends to exp(-pi^2 scale^2 d^2 / 2).

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        scale: Standard deviation per axis in cycles across the domain, the paper's sigma on [0, 1]. The default is
            0.08 of the training Nyquist frequency of each axis, about the paper's 10 at its 256 training samples.
        num_frequencies: m, the number of vectors b.
        seed: Seed of the draw. The draw is saved with the weights.
        trainable: True trains the frequencies, starting from the draw.
        zero_one_coords: True computes the phases of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        unit_norm: True divides by the root of m, so that the features of any point have length 1.
    """
    return random_fourier(
        domain, "gaussian", scale, num_frequencies, seed, trainable, zero_one_coords, unit_norm
    )


# Default scales as shares of the training Nyquist frequency. The Gaussian, uniform and Laplace distributions then
# have the same standard deviation.
_DEFAULT_SCALES = {
    "gaussian": 0.08,
    "uniform": 0.08 * math.sqrt(3),
    "laplace": 0.08 / math.sqrt(2),
    "log_uniform": 0.5,
}


@validate_ranges
def random_fourier(
    domain: Domain,
    distribution: Distribution,
    scale: OptionalFrequency = None,
    num_frequencies: Count = 256,
    seed: Seed = 0,
    trainable: bool = False,
    zero_one_coords: bool = False,
    unit_norm: bool = False,
) -> Fourier:
    """Random frequencies with independent components (Tancik et al. 2020, sec. 6.1 and fig. 4).

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        distribution: "gaussian" N(0, scale^2), "uniform" in +-scale, "laplace" with density exp(-|b| / scale)
            or "log_uniform" +-scale^u with u uniform in [0, 1].
        scale: Scale of the distribution in cycles across the domain. The default gives a standard deviation of 0.08 of
            the training Nyquist frequency of each axis (log-uniform: scale is half of that Nyquist frequency).
        num_frequencies: m, the number of vectors b.
        seed: Seed of the draw. The draw is saved with the weights.
        trainable: True trains the frequencies, starting from the draw.
        zero_one_coords: True computes the phases of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        unit_norm: True divides by the root of m, so that the features of any point have length 1.

    Raises:
        OptionError: The distribution is unknown.
    """
    if distribution not in _DEFAULT_SCALES:
        raise OptionError("distribution", distribution, f"must be one of {', '.join(_DEFAULT_SCALES)}")
    factor = _axis_scales(domain, _DEFAULT_SCALES[distribution]) if scale is None else scale
    generator = torch.Generator().manual_seed(seed)
    shape = (num_frequencies, domain.dim)

    def uniform() -> Tensor:
        return torch.rand(shape, generator=generator)

    def sign() -> Tensor:
        return torch.where(uniform() < 0.5, -1.0, 1.0)

    draws: dict[str, Callable[[], Tensor]] = {
        "gaussian": lambda: factor * torch.randn(shape, generator=generator),
        "uniform": lambda: factor * (2 * uniform() - 1),
        "laplace": lambda: -factor * torch.log1p(-uniform()) * sign(),
        "log_uniform": lambda: factor ** uniform() * sign(),
    }
    origin = -torch.ones(domain.dim) if zero_one_coords else None
    amplitudes = torch.full((num_frequencies,), num_frequencies**-0.5) if unit_norm else None
    return Fourier(draws[distribution](), amplitudes, origin=origin, trainable=trainable)


def _axis_scales(domain: Domain, share: float) -> float | Tensor:
    """A share of the training Nyquist frequency: one number for cubic cells, otherwise (d,)."""
    scales = [share * nyquist for nyquist in domain.nyquist]
    return scales[0] if domain.is_cubic else torch.tensor(scales)
