"""Noise of falling spectrum on a line: Tancik et al. (2020) compared kernel theory and training on such lines."""

from typing import Annotated

import numpy as np
import torch

from coordnet.options import Range, check_number, validate_ranges
from coordnet.signals.lines.waveform import Waveform
from coordnet.signals.options import (
    Exponent,
    LineFrequencies,
    LineLength,
    LineStride,
    Seed,
    check_frequency,
)


@validate_ranges
def power_noise_1d(
    num_samples: LineLength = 256,
    train_stride: LineStride = 8,
    exponent: Exponent = 1.0,
    cutoff: Annotated[int | None, Range(2, 2**19, "cycles across the domain")] = None,
    frequencies: LineFrequencies = (),
    seed: Seed = 0,
) -> Waveform:
    """Periodic Gaussian noise on a line, sum_k (1 + k)^-exponent (a_k cos(2 pi k t) - b_k sin(2 pi k t)), t in [0, 1).

    a and b are standard normal, k = 0, ..., cutoff - 1. The values are then shifted and scaled so that the lowest
    sample is -1/2 and the highest is 1/2, as in the paper's 1-D experiments.

    Args:
        num_samples: Number of samples on the line.
        train_stride: Distance between training samples, at most `num_samples`.
        exponent: Decay of the amplitudes; 0 is white below the cutoff.
        cutoff: Number of frequencies, at most num_samples / 2. None takes a quarter of the samples, as in the paper:
            with the paper's training stride of 8 that is four times the training Nyquist frequency.
        frequencies: Frequencies that are scored one by one on the training samples, in cycles across the domain.
        seed: Seed of the noise.

    Raises:
        OptionError: An option is outside its range.
    """
    if cutoff is None:
        cutoff = max(2, num_samples // 4)
    limit = Range(2, num_samples / 2, f"cycles across the domain at {num_samples} samples")
    check_number("cutoff", cutoff, Annotated[int, limit])
    check_frequency("frequencies", frequencies, num_samples)
    a, b = np.random.default_rng(seed).standard_normal((2, cutoff))
    coefficients = np.zeros(num_samples, dtype=complex)
    coefficients[:cutoff] = (a + 1j * b) * (1 + np.arange(cutoff)) ** -float(exponent)
    noise = np.fft.ifft(coefficients).real
    values = (noise - noise.min()) / np.ptp(noise) - 0.5
    return Waveform(torch.from_numpy(values), train_stride, frequencies)
