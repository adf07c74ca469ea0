"""Which frequencies a prediction has right: errors by octave, by direction, and by step.

Of samples on a grid with any number of axes, by DCT-II: the bands add up to the whole error, and borders do not leak
into high bands, as they do where a Fourier transform joins opposite sides. Frequencies are radial, in cycles across
the domain.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coordnet.coords import chunks
from coordnet.diagnostics.spectrum import axis_frequencies, wave_power

Values = NDArray[np.floating]

# A band with less than this share of the target's energy counts as having it: an error in an empty band is measured
# against something, and rounding there is no error.
FLOOR = 1e-4
# A band is learned where its error energy is below this share of its target's.
LEARNED = 0.1
# Of 90 degrees; an odd number has one around the diagonals, as it has one at each axis.
SECTORS = 9

WAVES_PER_CHUNK = 2**18


class Bands(NamedTuple):
    """Error and target by octave.

    Attributes:
        edges: (k + 1,). 0, 2, 4, 8, ... and the training Nyquist frequency; band i is [edges[i], edges[i + 1]).
        nyquist: That of the training samples.
        error: (k,), the mean square error that each band has, over all samples and channels. They add up to the
            mean square error; the mean's is in the first band.
        target: (k,), likewise the target's variance.
    """

    edges: Values
    nyquist: float
    error: Values
    target: Values

    @property
    def names(self) -> list[str]:
        """Such as 0008-0016, so that they sort by frequency."""
        return [f"{padded(low)}-{padded(high)}" for low, high in pairwise(self.edges)]

    @property
    def total(self) -> float:
        """The target's variance, or 1 where it is constant."""
        return float(self.target.sum()) or 1.0

    @property
    def relative(self) -> Values:
        """(k,), error over target: 0 is perfect, 1 is what the target's mean scores, or noise of equal energy."""
        return self.over_target(self.error, self.target)

    @property
    def psnr(self) -> Values:
        """(k,), -10 log10 of `error`: what the PSNR of data range 1 would be if this band alone were wrong."""
        with np.errstate(divide="ignore"):
            return -10 * np.log10(self.error)

    def over_target(self, error: Values, target: Values) -> Values:
        return error / np.maximum(target, FLOOR * self.total)

    def metrics(self) -> dict[str, float]:
        """band_error and band_psnr of each band, and the errors below ("in") and from the training Nyquist ("out").

        There is no "out" where the grid has no wave there.
        """
        inside = self.edges[1:] <= self.nyquist
        named = {f"band_error/{name}": value for name, value in zip(self.names, self.relative, strict=True)}
        named |= {f"band_psnr/{name}": value for name, value in zip(self.names, self.psnr, strict=True)}
        for name, side in (("in", inside), ("out", ~inside)):
            if side.any():
                error, target = self.error[side].sum(), self.target[side].sum()
                named[f"band_error/{name}"] = self.over_target(error, target)
        return {name: float(value) for name, value in named.items()}


def band_errors(prediction: Values, target: Values, nyquist: float, training_nyquist: float) -> Bands:
    """Fold the error's and the target's waves into octaves, split at the training Nyquist frequency.

    Args:
        prediction: (*axes, channels), samples on a regular grid.
        target: Likewise.
        nyquist: Of this grid, in cycles across the domain, the same along each axis.
        training_nyquist: Of the samples that were trained on.
    """
    edges = band_edges(highest(target.shape[:-1], nyquist), training_nyquist)
    error = wave_power(prediction - target)
    return Bands(
        edges,
        training_nyquist,
        fold(error, nyquist, edges)[:, 0] / target.shape[-1],
        fold(centered_power(target), nyquist, edges)[:, 0] / target.shape[-1],
    )


def band_powers(samples: Values, nyquist: float, edges: Values) -> Values:
    """(k,), the variance of samples (*axes, channels) that each band has, per channel."""
    return fold(centered_power(samples), nyquist, edges)[:, 0] / samples.shape[-1]


def sector_errors(
    prediction: Values, target: Values, nyquist: float, training_nyquist: float, sectors: int = SECTORS
) -> tuple[Values, Values]:
    """The relative error by octave and by direction of the wave vector, of images.

    A coefficient of the DCT stands for waves in four directions that mirror each other at the axes, so directions are
    folded into [0, 90] degrees: 0 is a wave along x (vertical stripes), 90 along y, and 45 both diagonals. The mean,
    which has no direction, is left out. The floor of `Bands` is divided evenly among a band's sectors.

    Args:
        prediction: (height, width, channels).
        target: Likewise.
        nyquist: As in `band_errors`.
        training_nyquist: Likewise.
        sectors: Equal parts of 90 degrees.

    Returns:
        The edges (k + 1,) and the errors (k, sectors), NaN where no wave of the grid lies.
    """
    edges = band_edges(highest(target.shape[:-1], nyquist), training_nyquist)
    error, power = (
        fold(centered_power(values), nyquist, edges, sectors) for values in (prediction - target, target)
    )
    count = fold(np.broadcast_to(1.0, target.shape[:-1]), nyquist, edges, sectors)
    relative = error / np.maximum(power, FLOOR / sectors * (power.sum() or 1.0))
    return edges, np.where(count > 0, relative, np.nan)


def centered_power(samples: Values) -> Values:
    """`wave_power` without that of the mean; 0 where all that is left is the rounding of a constant."""
    power = wave_power(samples)
    mean = float(power.flat[0])
    power.flat[0] = 0
    return power if power.sum() > (16 * np.finfo(power.dtype).eps) ** 2 * mean else np.zeros_like(power)


def highest(shape: Sequence[int], nyquist: float) -> float:
    """The largest radial frequency on a grid."""
    return math.hypot(*(float(f[-1]) for f in axis_frequencies(shape, nyquist)))


def band_edges(top: float, nyquist: float) -> Values:
    """0, 2, 4, 8, ... and `nyquist`, up to the first that is above `top`."""
    octaves = 2.0 ** np.arange(1, max(1, math.floor(math.log2(max(top, 1))) + 1) + 1)
    edges = np.unique([0.0, *octaves, nyquist])
    return edges[: np.searchsorted(edges, top, side="right") + 1]


def fold(power: Values, nyquist: float, edges: Values, sectors: int = 1) -> Values:
    """Sums over bands and equal sectors of [0, 90] degrees, (k, sectors), of the powers (*axes,) of DCT-II waves.

    More than one sector takes two axes.
    """
    shape = (len(edges) - 1, sectors)
    along = np.ix_(*axis_frequencies(power.shape, nyquist))
    rows = max(1, WAVES_PER_CHUNK * len(power) // power.size)
    sums = np.zeros(math.prod(shape))
    for part in chunks(len(power), rows):
        some = (along[0][part], *along[1:])
        frequency = np.sqrt(sum(f**2 for f in some))
        # The highest is below the last edge but for rounding.
        place = (np.searchsorted(edges, frequency, side="right") - 1).clip(max=shape[0] - 1)
        if sectors > 1:
            y, x = some
            sector = (np.arctan2(y, x) * (2 / math.pi * sectors)).astype(int).clip(max=sectors - 1)
            place = place * sectors + sector
        sums += np.bincount(place.ravel(), power[part].ravel(), len(sums))
    return sums.reshape(shape)


def padded(frequency: float) -> str:
    """8 as 0008 and 5.5 as 0005.5."""
    whole, point, fraction = f"{frequency:g}".partition(".")
    return f"{whole:0>4}{point}{fraction}"


def history(rows: Sequence[Mapping[str, float]]) -> tuple[Values, Values, Values]:
    """Band errors from rows of metrics.csv: the steps (n,), the edges (k + 1,) and the relative errors (k, n).

    Without rows or bands there is no edge.
    """
    found = [re.fullmatch(r"band_error/([\d.]+)-([\d.]+)", name) for name in (rows[0] if rows else ())]
    bands = [match for match in found if match]
    edges = [float(match[1]) for match in bands] + [float(match[2]) for match in bands[-1:]]
    errors = [[row[match[0]] for row in rows] for match in bands]
    return (
        np.array([row["step"] for row in rows]),
        np.array(edges),
        np.array(errors).reshape(len(bands), len(rows)),
    )


def steps_until_learned(steps: ArrayLike, errors: ArrayLike, threshold: float = LEARNED) -> float | None:
    """The first evaluated step from which on the error stays below the threshold.

    A dip that is lost again does not count, so a longer record may move the step of a band that is not safe yet.

    Args:
        steps: (n,), rising.
        errors: (n,), the relative error at each; NaN is not below anything.
        threshold: On the relative error: 0.1 leaves a tenth of the energy, an amplitude within about a third.

    Returns:
        None where the last error is not below the threshold.
    """
    late = np.flatnonzero(~(np.asarray(errors) < threshold))
    first = late[-1] + 1 if len(late) else 0
    given = np.asarray(steps)
    return float(given[first]) if first < len(given) else None
