"""Power spectra of samples on a grid, in cycles across the domain."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

Values = NDArray[np.floating]


def power_spectrum(samples: Values, nyquist: float) -> tuple[Values, Values]:
    """The power of each wave in samples on a grid, by DCT-II, which has no seam where the borders meet.

    Args:
        samples: (*axes, channels). The mean of each channel is taken off.
        nyquist: Of these samples, in cycles across the domain, the same along each axis.

    Returns:
        The radial frequencies, and the powers summed over channels, both (number of samples,). The powers add up to
        the samples' total variance (Parseval).
    """
    axes = tuple(range(samples.ndim - 1))
    centred = samples - samples.mean(axis=axes, keepdims=True)
    coefficients = dctn(centred.astype(np.float64), axes=axes, norm="ortho")
    power = (coefficients**2).sum(axis=-1) / math.prod(samples.shape[:-1])
    # Coefficient k of n makes k half cycles over n samples.
    along = np.ix_(*(np.arange(n) * nyquist / n for n in samples.shape[:-1]))
    frequency = np.sqrt(sum(f**2 for f in along))
    return frequency.ravel(), power.ravel()


def octaves(frequency: Values, weight: Values, nyquist: float) -> tuple[Values, Values]:
    """Sums of weights in octaves [1, 2), [2, 4), ... up to the first edge at or above sqrt(2) `nyquist`.

    What lies below 1 is counted in the first octave.

    Returns:
        The lower edges (k,) and the sums (k,).
    """
    count = max(1, math.ceil(math.log2(math.sqrt(2) * nyquist)))
    place = np.log2(np.maximum(frequency, 1)).astype(int).clip(max=count - 1)
    sums = np.bincount(place, weights=weight, minlength=count).astype(np.float64)
    return 2.0 ** np.arange(count), sums
