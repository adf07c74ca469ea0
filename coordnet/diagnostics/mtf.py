"""The modulation transfer function (MTF) of a prediction: its gain by the frequency and the direction of a wave.

The gain of a prediction p of a target t is <p, t> / <t, t>, after the mean of each is subtracted. The gain is 1 for the
full contrast of the target, 0 for a flat gray, negative for an inverted wave, and above 1 for too much contrast. Waves
that the target does not contain have no influence.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]

# Number of equal parts of 90 degrees.
MTF_SECTORS = 3
_MAX_RINGS = 32
_MIN_PIXELS = 16


class MTFCurve(NamedTuple):
    """Gain by local frequency.

    Attributes:
        frequency: Root mean square frequency (k,) of each ring in cycles across the domain.
        gain: Gain (k,); NaN for a ring with few pixels or a constant target.
        by_sector: Gain (sectors, k) for equal parts of [0, 90] degrees.
        direction: Direction of a single wave in [0, 180) degrees from x toward y; None for several waves.
    """

    frequency: Values
    gain: Values
    by_sector: Values
    direction: float | None


def gain(prediction: Values, target: Values) -> float:
    """Return <p, t> / <t, t> of arrays of one shape after their means are subtracted; NaN for a constant target."""
    t = target.astype(np.float64) - target.mean(dtype=np.float64)
    energy = np.vdot(t, t)
    # The mean of p does not change <p, t>, because the mean of t is 0.
    return float(np.vdot(prediction.astype(np.float64), t) / energy) if np.ptp(target) > 0 else math.nan


def mtf_curve(prediction: Values, target: Values, wave: Values) -> MTFCurve:
    """Compute the gain on rings of equal local frequency, and on the parts of each ring by direction of the local wave.

    Rings are evenly spaced in the square of the frequency. The phase of a zone plate grows with the square of the
    frequency, so all rings of a zone plate hold the same number of cycles. One ring per 4 cycles across the domain
    makes this number at least one. Directions are folded into [0, 90] degrees, as in `sector_errors`.

    Args:
        prediction: Predicted samples (n,).
        target: Target samples (n,).
        wave: Local wave vectors (n, 2) of the samples, x before y, in cycles across the domain.
    """
    squared = (wave.astype(np.float64) ** 2).sum(axis=1)
    low, high = float(squared.min()), float(squared.max())
    single = bool((wave == wave[0]).all())
    rings = 1 if single else min(_MAX_RINGS, max(1, int(math.sqrt(high) / 4)))
    ring = ((squared - low) * (rings / ((high - low) or 1))).astype(int).clip(max=rings - 1)
    angle = np.arctan2(np.abs(wave[:, 1]), np.abs(wave[:, 0]))
    sector = (angle * (2 / math.pi * MTF_SECTORS)).astype(int).clip(max=MTF_SECTORS - 1)

    def sum_bins(values: Values) -> Values:
        found = np.bincount(ring + rings * sector, values, rings * MTF_SECTORS)
        return found.astype(np.float64).reshape(MTF_SECTORS, rings)

    p, t = prediction.astype(np.float64), target.astype(np.float64)
    parts = np.stack([sum_bins(values) for values in (np.ones_like(t), t, t * t, p, p * t)])
    whole = parts.sum(axis=1)
    squares = np.bincount(ring, squared, rings)
    return MTFCurve(
        np.sqrt(squares / np.maximum(whole[0], 1)),
        _gain_from_sums(*whole),
        _gain_from_sums(*parts),
        math.degrees(math.atan2(wave[0, 1], wave[0, 0])) % 180 if single else None,
    )


def _gain_from_sums(count: Values, t: Values, tt: Values, p: Values, pt: Values) -> Values:
    """Compute the gain from the sums of 1, t, t^2, p and p t; NaN for few pixels or constant t."""
    mean = t / np.maximum(count, 1)
    energy = tt - mean * t
    known = (count >= _MIN_PIXELS) & (energy > 1e-9 * tt)
    return np.where(known, (pt - mean * p) / np.where(known, energy, 1), np.nan)
