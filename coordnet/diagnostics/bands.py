"""Errors of a prediction by frequency: by octave, by direction, and by step.

The samples lie on a grid with any number of axes and are transformed by DCT-II. The errors of the bands add up to the
whole error. Borders do not leak into high bands, unlike those of a Fourier transform, which joins opposite sides.
Frequencies are radial, in cycles across the domain.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coordnet.coords import chunks
from coordnet.diagnostics.spectrum import axis_frequencies, format_frequency, wave_power

Values = NDArray[np.floating]

# Relative errors divide by at least this share of the target's total energy, so that rounding in an empty band does not
# count as an error.
FLOOR = 1e-4
# A band is learned if its error energy is below this share of its target energy.
LEARNED = 0.1
# Number of equal parts of 90 degrees; an odd number has one part around the diagonals.
SECTORS = 9

# Waves whose bands are computed at once.
_WAVES_PER_CHUNK = 2**18


class Bands(NamedTuple):
    """Error and target by octave.

    Attributes:
        edges: Edges (k + 1,) in cycles across the domain: 0, 2, 4, 8, ... and the training Nyquist frequency. Band i
            is [edges[i], edges[i + 1]).
        nyquist: Training Nyquist frequency in cycles across the domain.
        error: Share (k,) of each band in the mean square error over all samples and channels. The first band includes
            the error of the mean.
        target: Share (k,) of each band in the target's variance.
    """

    edges: Values
    nyquist: float
    error: Values
    target: Values

    @property
    def names(self) -> list[str]:
        """Names such as 0008-0016, whose alphabetical order is the order of frequencies."""
        return [
            f"{format_frequency(low, 4)}-{format_frequency(high, 4)}" for low, high in pairwise(self.edges)
        ]

    @property
    def total(self) -> float:
        """Variance of the target, or 1 for a constant target."""
        return float(self.target.sum()) or 1.0

    @property
    def relative(self) -> Values:
        """Error over target (k,): 0 is perfect, and 1 is the score of the target's mean or of noise of equal energy."""
        return self._over_target(self.error, self.target)

    @property
    def psnr(self) -> Values:
        """Minus 10 log10 of `error` (k,): the PSNR with data range 1 if only this band were wrong."""
        with np.errstate(divide="ignore"):
            return -10 * np.log10(self.error)

    def _over_target(self, error: Values, target: Values) -> Values:
        return error / np.maximum(target, FLOOR * self.total)

    def metrics(self) -> dict[str, float]:
        """Return band_error and band_psnr of each band, and the errors below and above the training Nyquist frequency.

        band_error/in is the error below the training Nyquist frequency and band_error/out the error from there on. A
        grid without waves above the training Nyquist frequency has no band_error/out.
        """
        inside = self.edges[1:] <= self.nyquist
        named = {f"band_error/{name}": value for name, value in zip(self.names, self.relative, strict=True)}
        named |= {f"band_psnr/{name}": value for name, value in zip(self.names, self.psnr, strict=True)}
        for name, side in (("in", inside), ("out", ~inside)):
            if side.any():
                error, target = self.error[side].sum(), self.target[side].sum()
                named[f"band_error/{name}"] = self._over_target(error, target)
        return {name: float(value) for name, value in named.items()}


def band_errors(prediction: Values, target: Values, nyquist: float, training_nyquist: float) -> Bands:
    """Sum the powers of the error's and the target's waves in octaves, split at the training Nyquist frequency.

    Args:
        prediction: Samples (*axes, channels) on a regular grid.
        target: Samples of the same shape.
        nyquist: Nyquist frequency of this grid in cycles across the domain, the same along each axis.
        training_nyquist: Nyquist frequency of the training samples in cycles across the domain.
    """
    edges = band_edges(_highest(target.shape[:-1], nyquist), training_nyquist)
    error = wave_power(prediction - target)
    return Bands(
        edges,
        training_nyquist,
        _fold(error, nyquist, edges)[:, 0] / target.shape[-1],
        _fold(_centered_power(target), nyquist, edges)[:, 0] / target.shape[-1],
    )


def band_powers(samples: Values, nyquist: float, edges: Values) -> Values:
    """Return the share (k,) of each band in the variance of samples (*axes, channels), averaged over channels."""
    return _fold(_centered_power(samples), nyquist, edges)[:, 0] / samples.shape[-1]


def sector_errors(
    prediction: Values, target: Values, nyquist: float, training_nyquist: float, sectors: int = SECTORS
) -> tuple[Values, Values]:
    """Return the relative error of images by octave and by direction of the wave vector.

    A coefficient of the DCT belongs to waves in four directions that mirror each other at the axes. So directions are
    folded into [0, 90] degrees: 0 is a wave along x (vertical stripes), 90 is a wave along y, and 45 is both diagonals.
    The mean has no direction and is left out. FLOOR is divided evenly among the sectors of a band.

    Args:
        prediction: Image (height, width, channels).
        target: Image of the same shape.
        nyquist: Nyquist frequency of the images in cycles across the domain.
        training_nyquist: Nyquist frequency of the training samples in cycles across the domain.
        sectors: Number of equal parts of 90 degrees.

    Returns:
        The edges (k + 1,) and the errors (k, sectors); NaN for sectors without waves.
    """
    edges = band_edges(_highest(target.shape[:-1], nyquist), training_nyquist)
    error, power = (
        _fold(_centered_power(values), nyquist, edges, sectors) for values in (prediction - target, target)
    )
    count = _fold(np.broadcast_to(1.0, target.shape[:-1]), nyquist, edges, sectors)
    relative = error / np.maximum(power, FLOOR / sectors * (power.sum() or 1.0))
    return edges, np.where(count > 0, relative, np.nan)


def _centered_power(samples: Values) -> Values:
    """Return `wave_power` with the mean's power set to 0; all 0 if the rest is rounding of a constant."""
    power = wave_power(samples)
    mean = float(power.flat[0])
    power.flat[0] = 0
    return power if power.sum() > (16 * np.finfo(power.dtype).eps) ** 2 * mean else np.zeros_like(power)


def _highest(shape: Sequence[int], nyquist: float) -> float:
    """Return the largest radial frequency on a grid."""
    return math.hypot(*(float(f[-1]) for f in axis_frequencies(shape, nyquist)))


def band_edges(top: float, nyquist: float) -> Values:
    """Return 0, 2, 4, 8, ... and `nyquist`, up to the first edge above `top`."""
    octaves = 2.0 ** np.arange(1, max(1, math.floor(math.log2(max(top, 1))) + 1) + 1)
    edges = np.unique([0.0, *octaves, nyquist])
    return edges[: np.searchsorted(edges, top, side="right") + 1]


def _fold(power: Values, nyquist: float, edges: Values, sectors: int = 1) -> Values:
    """Sum the powers (*axes,) of DCT-II waves over bands and equal sectors of [0, 90] degrees.

    More than one sector requires two axes.

    Returns:
        The sums (k, sectors).
    """
    shape = (len(edges) - 1, sectors)
    along = np.ix_(*axis_frequencies(power.shape, nyquist))
    rows = max(1, _WAVES_PER_CHUNK * len(power) // power.size)
    sums = np.zeros(math.prod(shape))
    for part in chunks(len(power), rows):
        some = (along[0][part], *along[1:])
        frequency = np.sqrt(sum(f**2 for f in some))
        # Rounding can lift the highest frequency above the last edge.
        place = (np.searchsorted(edges, frequency, side="right") - 1).clip(max=shape[0] - 1)
        if sectors > 1:
            y, x = some
            sector = (np.arctan2(y, x) * (2 / math.pi * sectors)).astype(int).clip(max=sectors - 1)
            place = place * sectors + sector
        sums += np.bincount(place.ravel(), power[part].ravel(), len(sums))
    return sums.reshape(shape)


def band_history(rows: Sequence[Mapping[str, float]]) -> tuple[Values, Values, Values]:
    """Read band errors from rows of metrics.csv.

    Returns:
        The steps (n,), the edges (k + 1,) and the relative errors (k, n). Without rows or bands, the edges are empty.
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
    """Return the first evaluated step from which on the error stays below the threshold.

    A later error above the threshold cancels an earlier dip. So a longer record can move the step.

    Args:
        steps: Evaluated steps (n,), rising.
        errors: Relative errors (n,); NaN counts as above the threshold.
        threshold: Limit of the relative error. 0.1 is a tenth of the energy, about a third of the amplitude.

    Returns:
        The step, or None if the last error is not below the threshold.
    """
    late = np.flatnonzero(~(np.asarray(errors) < threshold))
    first = late[-1] + 1 if len(late) else 0
    given = np.asarray(steps)
    return float(given[first]) if first < len(given) else None
