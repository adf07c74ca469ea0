"""The Fourier family: one class, and one function per choice of frequencies.

Frequencies are in cycles across the domain (the longest axis), so a phase is pi f x with x in [-1, 1]. Options that
cannot be met raise a UserError.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.ranges import MAX_FREQUENCY, check_ranges

Distribution = Literal["gaussian", "uniform", "log_uniform", "laplace"]


class Fourier(Encoding):
    """gamma(x) = [x?, a w sin(pi B (x - o)), a w cos(pi B (x - o))] (Tancik et al. 2020, eq. 5).

    The kernel gamma(x) . gamma(y) = sum_j a_j^2 cos(pi b_j . (x - y)) depends on x - y alone. The weight w is 1, or
    where a footprint of covariance S is given, the average of the waves over a Gaussian of that covariance:
    w_j = exp(-pi^2 b_j^T S b_j / 2) (Barron et al. 2021, eqs. 12 to 14).

    Args:
        frequencies: B, (m, d), in cycles across the domain.
        amplitudes: a, (m,); ones if not given.
        include_input: Put the coordinates themselves in front.
        origin: o, (d,), where all phases are 0; zeros, the center of the domain, if not given.
        interleaved: Each sine is followed by its cosine; otherwise all sines come before all cosines.
        trainable: B is a parameter; otherwise it is saved with the weights but stays as it is.
        integrates: Use the footprints of samples where they are known.
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
        place = coords if self.origin is None else coords - self.origin
        phase = place @ (math.pi * self.frequencies).T
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
        f = self.frequencies.detach().norm(dim=-1)
        axis_aligned = bool(((self.frequencies.detach() != 0).sum(dim=-1) <= 1).all())
        place = "x"
        if self.origin is not None:
            place = "(x + 1)" if bool((self.origin == -1).all()) else "(x - o)"
        wave = f"pi f {place}" if axis_aligned else f"pi b . {place}"
        parts = ["x"] * self.includes_input + [f"sin({wave})", f"cos({wave})"]
        if axis_aligned:
            which = f"f in {{{format_frequencies(f)}}} on each axis"
        else:
            which = f"{len(f)} vectors b, |b| from {f.min():.3g} to {f.max():.3g}, median {f.median():.3g}"
        scaled = "" if self.amplitudes is None else "a * "
        averaged = ", averaged over the footprint of a sample" if self.integrates else ""
        return f"{scaled}[{', '.join(parts)}], {which} (cycles across the domain){averaged}"


def check_frequencies(frequencies: Tensor) -> None:
    """Refuse what a float32 coordinate cannot follow."""
    if not (frequencies.abs() <= MAX_FREQUENCY).all():
        raise UserError(
            f"encoding: frequencies must be at most 2^24 = {MAX_FREQUENCY} cycles across the domain"
        )


def format_frequencies(frequencies: Tensor) -> str:
    """The different ones of frequencies (n,), in rising order, abridged."""
    shown = [f"{f:g}" for f in sorted({float(f"{value:.4g}") for value in frequencies.tolist()})]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def on_each_axis(bands: Tensor, dim: int) -> Tensor:
    """Axis-aligned frequencies (m * dim, dim): all bands (m,) of x, then all of y, and so on."""
    return torch.kron(torch.eye(dim), bands.float()[:, None])


def check_minimum(key: str, value: float, low: float) -> None:
    if value < low:
        raise UserError(f"encoding.{key}={value} must be at least {low}")


def octaves_below_nyquist(domain: Domain, min_frequency: float) -> int:
    """The number of f, 2f, 4f, ..., f = min_frequency, below the training Nyquist frequency; at least 1."""
    return max(1, math.ceil(math.log2(domain.nyquist / min_frequency)))


def basic(domain: Domain) -> Fourier:
    """One cycle across the domain per axis: gamma(x) = [sin(pi x), cos(pi x)] (Tancik et al. 2020)."""
    return Fourier(torch.eye(domain.dim))


def positional(
    domain: Domain,
    num_frequencies: int | None = None,
    min_frequency: float = 1.0,
    max_frequency: float | None = None,
    spacing: Literal["log", "linear"] = "log",
    include_input: bool = False,
    zero_one_coords: bool = False,
    integrates: bool = False,
) -> Fourier:
    """Frequencies f, 2f, 4f, ..., 2^(L-1) f on each axis, by default (Mildenhall et al. 2020, eq. 4).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: L, up to 2^16; by default the most whose top frequency stays below the training Nyquist.
        min_frequency: f in cycles across the domain: 1 in the paper (its sin(2^k pi x)), 1 / pi in its code
            (sin(2^k x)), 2 for sin(2^k 2 pi x).
        max_frequency: The top frequency, from `min_frequency` to 2^24; by default 2^(L-1) times `min_frequency`.
        spacing: "log" spaces the L frequencies evenly in their logarithm, "linear" evenly.
        include_input: Put the coordinates themselves in front, as NeRF's code does.
        zero_one_coords: Phases are those of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        integrates: Average the waves over the footprint of a sample where it is known (Barron et al. 2021).
    """
    check_ranges(
        positional, num_frequencies=num_frequencies, min_frequency=min_frequency, max_frequency=max_frequency
    )
    if num_frequencies is None:
        num_frequencies = octaves_below_nyquist(domain, min_frequency)
    bands = min_frequency * 2.0 ** torch.arange(num_frequencies, dtype=torch.float64)
    if max_frequency is not None:
        check_minimum("max_frequency", max_frequency, min_frequency)
        check_minimum("num_frequencies", num_frequencies, 2)
        bands = torch.logspace(
            math.log2(min_frequency), math.log2(max_frequency), num_frequencies, 2, dtype=torch.float64
        )
    if spacing == "linear":
        bands = torch.linspace(float(bands[0]), float(bands[-1]), num_frequencies)
    origin = -torch.ones(domain.dim) if zero_one_coords else None
    frequencies = on_each_axis(bands, domain.dim)
    return Fourier(frequencies, include_input=include_input, origin=origin, integrates=integrates)


def nyquist_positional(domain: Domain) -> Fourier:
    """Frequencies 1, 2, ..., 2^(L-1) with L = floor(log2(n / 4)), n the training samples of the shortest axis.

    The rule by which SIREN's code chooses L for its positional baseline (Sitzmann et al. 2020), which includes the
    input. In 3 dimensions its L is 10 for any n. Where the rule gives no octave at all, there is one here.
    """
    samples = math.ceil(min(domain.size) / domain.train_stride)
    octaves = 10 if domain.dim == 3 else max(1, math.floor(math.log2(samples / 4)))
    return positional(domain, octaves, include_input=True)


def transformer(domain: Domain, num_features: int = 64, base: float = 10000.0) -> Fourier:
    """sin(p w_i), cos(p w_i), interleaved, w_i = base^(-2i / C), p the position (Vaswani et al. 2017, sec. 3.5).

    Positions are whole numbers at the training samples: 0, 1, 2, ... along each axis, so the fastest wave turns by 1
    radian per training sample. Each axis gets C = 2 ceil(num_features / 2d) features of its own.

    Args:
        domain: Gives positions and dimension.
        num_features: Over all axes together, in [2, 2^16], rounded up to a multiple of 2d.
        base: 10000 in the paper; above 1, and at most 10^12.
    """
    check_ranges(transformer, num_features=num_features, base=base)
    pairs = math.ceil(num_features / (2 * domain.dim))
    rates = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    # p = (x - o) n / 2 for n training samples across the domain, so p w = pi f (x - o) with f = w n / (2 pi).
    frequencies = rates * domain.nyquist / math.pi
    origin = domain.index_to_coords(torch.zeros(domain.dim, dtype=torch.long))
    return Fourier(on_each_axis(frequencies, domain.dim), origin=origin, interleaved=True)


def log_linear(domain: Domain, num_frequencies: int = 256, octaves: float | None = None) -> Fourier:
    """Log-linear frequencies 2^t - 1 on each axis, t evenly from 0 to `octaves` (Tancik et al. 2020, App. E.1).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: Frequencies over all axes together, up to 2^16; each axis gets its share, rounded down.
        octaves: The top frequency is 2^octaves - 1, octaves above 0 and at most 24; by default just below half the
            training Nyquist, which gives the paper's 6 at its 256 training samples per axis.
    """
    check_ranges(log_linear, num_frequencies=num_frequencies, octaves=octaves)
    check_minimum("num_frequencies", num_frequencies, 2 * domain.dim)
    share = num_frequencies // domain.dim
    if octaves is None:
        octaves = max(1.0, math.log2(domain.nyquist / 2))
    bands = 2 ** torch.linspace(0, octaves, share) - 1
    return Fourier(on_each_axis(bands, domain.dim))


def geometric(domain: Domain, num_frequencies: int = 16, scale: float | None = None) -> Fourier:
    """Frequencies scale^(j / m), j = 0, ..., m - 1, on each axis.

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: m, per axis, up to 2^16.
        scale: In cycles across the domain; not reached, but what the next frequency would be. By default the training
            Nyquist. 1 would make all frequencies equal, and is refused.
    """
    check_ranges(geometric, num_frequencies=num_frequencies, scale=scale)
    if scale is None:
        scale = max(2.0, domain.nyquist)
    if scale == 1:
        raise UserError("encoding.scale=1 makes all frequencies equal; choose another")
    bands = scale ** (torch.arange(num_frequencies) / num_frequencies)
    return Fourier(on_each_axis(bands, domain.dim))


def harmonic(
    domain: Domain, num_frequencies: int | None = None, decay: float = 1.0, unit_norm: bool = False
) -> Fourier:
    """Frequencies j = 1, 2, ..., n on each axis with amplitudes j^-decay (Tancik et al. 2020, sec. 5).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        num_frequencies: n, up to 2^16; by default 16, or as many as stay below the training Nyquist.
        decay: p, in [-3, 1000]; 0 weights all alike, larger ones favor low frequencies.
        unit_norm: Divide by the root of the sum of all squared amplitudes, so that the features of any point have
            length 1, as in the paper's 1-D experiments.
    """
    check_ranges(harmonic, num_frequencies=num_frequencies, decay=decay)
    if num_frequencies is None:
        num_frequencies = min(16, max(1, math.ceil(domain.nyquist) - 1))
    bands = torch.arange(1, num_frequencies + 1).float()
    amplitudes = (bands**-decay).repeat(domain.dim)
    if unit_norm:
        amplitudes = amplitudes / amplitudes.norm()
    return Fourier(on_each_axis(bands, domain.dim), amplitudes)


def gaussian(
    domain: Domain,
    scale: float | None = None,
    num_frequencies: int = 256,
    seed: int = 0,
    trainable: bool = False,
    zero_one_coords: bool = False,
    unit_norm: bool = False,
) -> Fourier:
    """Random frequencies b ~ N(0, scale^2 I) (Tancik et al. 2020); the kernel tends to exp(-pi^2 scale^2 d^2 / 2).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        scale: Standard deviation per axis in cycles across the domain, the paper's sigma on [0, 1];
            by default 0.08 of the training Nyquist, about the paper's 10 at its 256 training samples.
        num_frequencies: m, up to 2^16.
        seed: Of the draw, which is saved with the weights; at least 0.
        trainable: The draw is where training starts.
        zero_one_coords: Phases are those of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        unit_norm: Divide by the root of m, so that the features of any point have length 1.
    """
    return random_fourier(
        domain, "gaussian", scale, num_frequencies, seed, trainable, zero_one_coords, unit_norm
    )


# Default scales, as shares of the training Nyquist frequency. All but the log-uniform one draw with the same
# standard deviation.
DEFAULT_SCALES = {
    "gaussian": 0.08,
    "uniform": 0.08 * math.sqrt(3),
    "laplace": 0.08 / math.sqrt(2),
    "log_uniform": 0.5,
}


def random_fourier(
    domain: Domain,
    distribution: Distribution,
    scale: float | None = None,
    num_frequencies: int = 256,
    seed: int = 0,
    trainable: bool = False,
    zero_one_coords: bool = False,
    unit_norm: bool = False,
) -> Fourier:
    """Random frequencies, each component drawn on its own (Tancik et al. 2020, sec. 6.1 and fig. 4).

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        distribution: "gaussian" N(0, scale^2), "uniform" in +-scale, "laplace" with density exp(-|b| / scale)
            or "log_uniform" +-scale^u with u uniform in [0, 1].
        scale: In cycles across the domain; by default such that the standard deviation is 0.08 of the training Nyquist
            (log-uniform: half of the training Nyquist).
        num_frequencies: m, up to 2^16.
        seed: Of the draw, which is saved with the weights; at least 0.
        trainable: The draw is where training starts.
        zero_one_coords: Phases are those of u = (x + 1) / 2, the coordinates of sources that use [0, 1].
        unit_norm: Divide by the root of m, so that the features of any point have length 1.
    """
    if distribution not in DEFAULT_SCALES:
        raise UserError(f"encoding.distribution={distribution!r} must be one of {', '.join(DEFAULT_SCALES)}")
    check_ranges(random_fourier, scale=scale, num_frequencies=num_frequencies, seed=seed)
    if scale is None:
        scale = DEFAULT_SCALES[distribution] * domain.nyquist
    generator = torch.Generator().manual_seed(seed)
    shape = (num_frequencies, domain.dim)

    def uniform() -> Tensor:
        return torch.rand(shape, generator=generator)

    def sign() -> Tensor:
        return torch.where(uniform() < 0.5, -1.0, 1.0)

    draws: dict[str, Callable[[], Tensor]] = {
        "gaussian": lambda: scale * torch.randn(shape, generator=generator),
        "uniform": lambda: scale * (2 * uniform() - 1),
        "laplace": lambda: -scale * torch.log1p(-uniform()) * sign(),
        "log_uniform": lambda: scale ** uniform() * sign(),
    }
    origin = -torch.ones(domain.dim) if zero_one_coords else None
    amplitudes = torch.full((num_frequencies,), num_frequencies**-0.5) if unit_norm else None
    return Fourier(draws[distribution](), amplitudes, origin=origin, trainable=trainable)
