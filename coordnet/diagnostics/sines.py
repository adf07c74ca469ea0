"""Which sines a function on a line is made of, and how well a prediction has each of them."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]

# Below this share of the strongest sine, a float32 signal has none.
ABSENT = 1e-6


def sine_coefficients(samples: Values, x: Values, frequencies: Values) -> NDArray[np.complexfloating]:
    """c, (k,) complex, of the sum of Re(c_k exp(i pi f_k x)) that is nearest to the samples (least squares).

    |c_k| is the amplitude of sine k. On the cell centers of the whole domain, sines of different whole numbers of
    cycles below the Nyquist frequency are orthogonal, and c_k = 2 f^(k), with f^ the discrete Fourier transform over n.

    Args:
        samples: (n,), at
        x: (n,), in the domain's coordinates.
        frequencies: f, (k,), in cycles across the domain. Of what the samples cannot tell apart, each gets a share.
    """
    phase = np.pi * x[:, None].astype(np.float64) * frequencies
    basis = np.concatenate([np.cos(phase), -np.sin(phase)], axis=1)
    real, imaginary = np.split(np.linalg.lstsq(basis, samples.astype(np.float64), rcond=1e-9)[0], 2)
    return real + 1j * imaginary


def sine_scores(prediction: Values, target: Values, x: Values, frequencies: Values) -> tuple[Values, Values]:
    """How well a prediction has each sine of the target.

    Args:
        prediction: (n,)
        target: (n,)
        x: (n,), where both are taken.
        frequencies: (k,), in cycles across the domain.

    Returns:
        The errors |p_k - t_k|^2 / |t_k|^2 and the amplitudes |p_k| / |t_k| (Rahaman et al. 2019, fig. 1), both (k,), of
        p and t the coefficients of the prediction and the target; NaN for a sine that the target has not.
    """
    p, t = (sine_coefficients(samples, x, frequencies) for samples in (prediction, target))
    t[np.abs(t) <= ABSENT * np.abs(t).max()] = np.nan
    return np.abs(p - t) ** 2 / np.abs(t) ** 2, np.abs(p) / np.abs(t)
