"""Noise of falling spectrum on a line: what Tancik et al. (2020) compared kernel theory and training on."""

from collections.abc import Sequence

import numpy as np
import torch

from coordnet.ranges import check_ranges
from coordnet.signals.images.analytic import check_frequency, check_range
from coordnet.signals.lines.waveform import Waveform


def power_noise_1d(
    num_samples: int = 256,
    holdout: int = 8,
    exponent: float = 1.0,
    cutoff: int | None = None,
    frequencies: Sequence[float] = (),
    seed: int = 0,
) -> Waveform:
    """Periodic Gaussian noise on a line, sum_k (1 + k)^-exponent (a_k cos(2 pi k t) - b_k sin(2 pi k t)), t in [0, 1).

    a and b are standard normal, k = 0, ..., cutoff - 1. Then its lowest sample is brought to -1/2 and its highest to
    1/2, as in the paper's 1-D experiments.

    Args:
        num_samples: In [2, 2^20].
        holdout: Every holdout-th sample is trained on, in [1, num_samples].
        exponent: In [0, 10]; 0 is white below the cutoff.
        cutoff: In cycles across the domain, in [2, num_samples / 2]; a quarter of the samples if not given, as in the
            paper, which with its hold-out of 8 is four times the training Nyquist frequency.
        frequencies: Those that are scored one by one on the training samples, in cycles across the domain.
        seed: Of the draw, at least 0.

    Raises:
        UserError: Some option is outside these ranges.
    """
    check_ranges(
        power_noise_1d,
        num_samples=num_samples,
        holdout=holdout,
        exponent=exponent,
        cutoff=cutoff,
        frequencies=frequencies,
        seed=seed,
    )
    if cutoff is None:
        cutoff = max(2, num_samples // 4)
    check_range("cutoff", cutoff, 2, num_samples / 2, f"cycles across the domain at {num_samples} samples")
    for frequency in frequencies:
        check_frequency("frequencies", frequency, num_samples)
    a, b = np.random.default_rng(seed).standard_normal((2, cutoff))
    coefficients = np.zeros(num_samples, dtype=complex)
    coefficients[:cutoff] = (a + 1j * b) * (1 + np.arange(cutoff)) ** -float(exponent)
    noise = np.fft.ifft(coefficients).real
    values = (noise - noise.min()) / np.ptp(noise) - 0.5
    return Waveform(torch.from_numpy(values), holdout, frequencies)
