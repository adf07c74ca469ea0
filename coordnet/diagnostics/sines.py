"""Amplitudes of the sines in a function on a line, and the error of a prediction for each sine."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]

# A float32 signal has no sine below this share of its strongest sine.
_ABSENT = 1e-6


def sine_coefficients(samples: Values, x: Values, frequencies: Values) -> NDArray[np.complexfloating]:
    """Fit the sum of Re(c_k exp(i pi f_k x)) to samples by least squares.

    |c_k| is the amplitude of sine k. On the cell centers of the whole domain, sines with different whole numbers of
    cycles below the Nyquist frequency are orthogonal, and c_k = 2 f^(k), with f^ the discrete Fourier transform over n.

    Args:
        samples: Samples (n,).
        x: Coordinates (n,) of the samples.
        frequencies: Frequencies f (k,) in cycles across the domain. Sines that are equal at the samples share their
            amplitude.

    Returns:
        The coefficients c (k,), complex.
    """
    phase = np.pi * x[:, None].astype(np.float64) * frequencies
    basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
    real, imaginary = np.split(np.linalg.lstsq(basis, samples.astype(np.float64), rcond=1e-9)[0], 2)
    return real + 1j * imaginary


def sine_scores(prediction: Values, target: Values, x: Values, frequencies: Values) -> tuple[Values, Values]:
    """Compare the sines of a prediction with those of the target (Rahaman et al. 2019, fig. 1).

    Args:
        prediction: Predicted samples (n,).
        target: Target samples (n,).
        x: Coordinates (n,) of the samples.
        frequencies: Frequencies (k,) in cycles across the domain.

    Returns:
        The errors |p_k - t_k|^2 / |t_k|^2 and the relative amplitudes |p_k| / |t_k|, both (k,), from the coefficients p
        of the prediction and t of the target. Both are NaN for a sine that the target does not contain.
    """
    p, t = (sine_coefficients(samples, x, frequencies) for samples in (prediction, target))
    t[np.abs(t) <= _ABSENT * np.abs(t).max()] = np.nan
    return np.abs(p - t) ** 2 / np.abs(t) ** 2, np.abs(p) / np.abs(t)
