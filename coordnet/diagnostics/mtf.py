"""How much of a wave's contrast a prediction has, by the wave's frequency and direction: its MTF.

The contrast of a prediction p of a target t is <p, t> / <t, t>, the mean of each taken off: 1 is all of it, 0 a flat
gray, below 0 the wave turned over, above 1 one that is exaggerated. Waves that t does not have do not count.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]

# Of 90 degrees.
SECTORS = 3
MOST_RINGS = 32
FEWEST_PIXELS = 16


class MTFCurve(NamedTuple):
    """Contrast by local frequency.

    Attributes:
        frequency: (k,), the root mean square of each ring, in cycles across the domain.
        contrast: (k,), NaN where a ring has too little to tell.
        by_sector: (sectors, k), the same of equal parts of [0, 90] degrees.
        direction: Of a single wave, in [0, 180) degrees from x toward y; None where there are many.
    """

    frequency: Values
    contrast: Values
    by_sector: Values
    direction: float | None


def gain(prediction: Values, target: Values) -> float:
    """<p, t> / <t, t> of arrays of one shape, their means taken off; NaN where the target is constant."""
    t = target.astype(np.float64) - target.mean(dtype=np.float64)
    energy = np.vdot(t, t)
    # <p, t> needs no mean taken off p, because t has none.
    return float(np.vdot(prediction.astype(np.float64), t) / energy) if np.ptp(target) > 0 else math.nan


def mtf_curve(prediction: Values, target: Values, wave: Values) -> MTFCurve:
    """Contrast on rings of equal local frequency, and on the parts of them that share the local wave's direction.

    Rings are evenly spaced in the square of the frequency: on a zone plate, whose phase grows as that square, all hold
    equally many cycles, and with one ring per 4 cycles across the domain that is at least one. Directions are folded
    into [0, 90] degrees, as those of `sector_errors`.

    Args:
        prediction: (n,).
        target: (n,).
        wave: (n, 2), the local wave vector (x, y), in cycles across the domain.
    """
    squared = (wave.astype(np.float64) ** 2).sum(axis=1)
    low, high = float(squared.min()), float(squared.max())
    single = bool((wave == wave[0]).all())
    rings = 1 if single else min(MOST_RINGS, max(1, int(math.sqrt(high) / 4)))
    ring = ((squared - low) * (rings / ((high - low) or 1))).astype(int).clip(max=rings - 1)
    angle = np.arctan2(np.abs(wave[:, 1]), np.abs(wave[:, 0]))
    sector = (angle * (2 / math.pi * SECTORS)).astype(int).clip(max=SECTORS - 1)

    def sums(values: Values) -> Values:
        found = np.bincount(ring + rings * sector, values, rings * SECTORS)
        return found.astype(np.float64).reshape(SECTORS, rings)

    p, t = prediction.astype(np.float64), target.astype(np.float64)
    parts = np.stack([sums(values) for values in (np.ones_like(t), t, t * t, p, p * t)])
    whole = parts.sum(axis=1)
    squares = np.bincount(ring, squared, rings)
    return MTFCurve(
        np.sqrt(squares / np.maximum(whole[0], 1)),
        from_sums(*whole),
        from_sums(*parts),
        math.degrees(math.atan2(wave[0, 1], wave[0, 0])) % 180 if single else None,
    )


def from_sums(count: Values, t: Values, tt: Values, p: Values, pt: Values) -> Values:
    """Contrast from the sums of 1, t, t^2, p and p t; NaN where pixels are few or t is constant."""
    mean = t / np.maximum(count, 1)
    energy = tt - mean * t
    known = (count >= FEWEST_PIXELS) & (energy > 1e-9 * tt)
    return np.where(known, (pt - mean * p) / np.where(known, energy, 1), np.nan)
