"""Power spectra of samples on a grid, in cycles across the domain.

By DCT-II, which has no seam where the borders meet. Coefficient k of n makes k half cycles over n samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Values = NDArray[np.floating]


def axis_frequencies(shape: Sequence[int], nyquist: float) -> list[Values]:
    """The frequency of each DCT-II coefficient along each axis of a grid, `nyquist` that of its samples."""
    return [np.arange(n) * nyquist / n for n in shape]


def wave_power(samples: Values) -> Values:
    """The power of each wave in samples (*axes, channels), summed over channels: (*axes,).

    The powers add up to the mean square of the samples (Parseval); the first is that of the mean.
    """
    power = np.zeros(samples.shape[:-1], np.result_type(samples, np.float32))
    for channel in np.moveaxis(samples, -1, 0):
        power += dctn(channel, norm="ortho") ** 2
    return power / power.size


def power_spectrum(samples: Values, nyquist: float) -> tuple[Values, Values]:
    """The power of each wave in samples on a grid.

    Args:
        samples: (*axes, channels). The mean of each channel is taken off.
        nyquist: Of these samples, in cycles across the domain, the same along each axis.

    Returns:
        The radial frequencies, and the powers summed over channels, both (number of samples,). The powers add up to
        the samples' total variance (Parseval).
    """
    axes = tuple(range(samples.ndim - 1))
    power = wave_power(samples.astype(np.float64) - samples.mean(axis=axes, dtype=np.float64, keepdims=True))
    along = np.ix_(*axis_frequencies(power.shape, nyquist))
    frequency = np.sqrt(sum(f**2 for f in along))
    return frequency.ravel(), power.ravel()


def octaves(frequency: Values, weight: Values) -> tuple[Values, Values]:
    """Sums of weights in octaves [1, 2), [2, 4), ... up to that of the highest frequency.

    What lies below 1 is counted in the first octave.

    Returns:
        The lower edges (k,) and the sums (k,).
    """
    place = np.log2(np.maximum(frequency, 1)).astype(int)
    sums = np.bincount(place, weights=weight).astype(np.float64)
    return 2.0 ** np.arange(len(sums)), sums
