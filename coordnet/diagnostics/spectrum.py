"""Power spectra of samples on a grid, with frequencies in cycles across the domain.

The transform is a DCT-II, which has no seam at the borders. Coefficient k of n makes k half cycles over n samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Values = NDArray[np.floating]


def axis_frequencies(shape: Sequence[int], nyquist: float) -> list[Values]:
    """Return the frequency of each DCT-II coefficient along each axis of a grid.

    Args:
        shape: Number of samples along each axis.
        nyquist: Nyquist frequency of the samples in cycles across the domain, the same along each axis.
    """
    return [np.arange(n) * nyquist / n for n in shape]


def wave_power(samples: Values) -> Values:
    """Return the power (*axes,) of each wave in samples (*axes, channels), summed over channels.

    The powers add up to the mean square of the samples (Parseval). The first power is the power of the mean.
    """
    power = np.zeros(samples.shape[:-1], np.result_type(samples, np.float32))
    for channel in np.moveaxis(samples, -1, 0):
        power += dctn(channel, norm="ortho") ** 2
    return power / power.size


def power_spectrum(samples: Values, nyquist: float) -> tuple[Values, Values]:
    """Return the frequency and the power of each wave in samples on a grid.

    Args:
        samples: Samples (*axes, channels). The mean of each channel is subtracted first.
        nyquist: Nyquist frequency of the samples in cycles across the domain, the same along each axis.

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
    """Sum weights in octaves [1, 2), [2, 4), ... up to the octave of the highest frequency.

    Frequencies below 1 count in the first octave.

    Returns:
        The lower edges (k,) and the sums (k,).
    """
    place = np.log2(np.maximum(frequency, 1)).astype(int)
    sums = np.bincount(place, weights=weight).astype(np.float64)
    return 2.0 ** np.arange(len(sums)), sums


def format_frequency(frequency: float, digits: int) -> str:
    """Pad the whole part of a frequency with zeros: with four digits 8 becomes 0008 and 5.5 becomes 0005.5."""
    whole, point, fraction = f"{frequency:g}".partition(".")
    return f"{whole.zfill(digits)}{point}{fraction}"
