"""Signals on a line: Rahaman et al. (2019) measured the spectral bias with sums of sines."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import OptionError, UserError
from coordnet.options import Range, check_number, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.options import (
    LineFrequencies,
    LineLength,
    LineStride,
    Seed,
    check_frequency,
    check_stride,
)

_Values = Annotated[Sequence[float] | None, Range(-(10**6), 10**6)]
_Frequency = Annotated[float, Range(0, 2**19, "cycles across the domain")]
_FrequencyOrNull = Annotated[float | None, Range(0, 2**19, "cycles across the domain")]


class Waveform(Signal):
    """Samples on a line, trained on every `train_stride`-th sample.

    With a training stride of s > 1 the training samples are [::s], the test samples are [s//2::s], and all other
    samples are for validation. With s = 2 there are no validation samples.

    Args:
        values: (n,) float, unbounded, n at least 2 and not all values 0.
        train_stride: s, from 1 (train on all samples) to n.
        frequencies: Frequencies that are scored one by one on the training samples, in cycles across the domain.

    Raises:
        UserError: All values are 0, or an option is outside its range.
    """

    value_range = None
    channels = 1

    def __init__(self, values: Tensor, train_stride: int = 1, frequencies: Sequence[float] = ()) -> None:
        check_number("num_samples", len(values), LineLength)
        check_stride(train_stride, len(values), "samples")
        if not values.any():
            raise UserError("all values are 0, so there is no energy to measure an error against")
        self.domain = Domain((len(values),), train_stride)
        self.values = values.float()[:, None]
        self.train_stride = train_stride
        self.frequencies = list(dict.fromkeys(frequencies))
        self.num_observations = -(-len(values) // train_stride)

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        sample = index * self.train_stride
        return {"coords": self.domain.index_to_coords(sample[:, None]), "value": self.values[sample]}

    def training_grid(self) -> Tensor:
        """The training samples (n, 1)."""
        return self.values[:: self.train_stride]


@validate_ranges
def sines(
    num_samples: LineLength = 200,
    train_stride: LineStride = 1,
    frequencies: LineFrequencies = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50),
    amplitudes: _Values = None,
    phases: _Values = None,
    seed: Seed = 0,
) -> Waveform:
    """z(t) = sum_i A_i sin(2 pi k_i t + 2 pi phi_i), t in [0, 1] (Rahaman et al. 2019, sec. 4).

    Args:
        num_samples: Number of samples on the line.
        train_stride: Distance between training samples, at most `num_samples`.
        frequencies: k in cycles across the domain, each at most num_samples / 2.
        amplitudes: A, one per frequency; None makes each amplitude 1.
        phases: phi in cycles, one per frequency; None draws the phases uniformly from [0, 1).
        seed: Seed of the phases.

    Raises:
        OptionError: An option is outside its range.
    """
    if not frequencies:
        raise OptionError("frequencies", list(frequencies), "must hold at least one number")
    check_frequency("frequencies", frequencies, num_samples)
    if amplitudes is None:
        amplitudes = np.ones(len(frequencies)).tolist()
    if phases is None:
        phases = np.random.default_rng(seed).random(len(frequencies)).tolist()
    for option, given in (("amplitudes", amplitudes), ("phases", phases)):
        if len(given) != len(frequencies):
            raise OptionError(option, list(given), f"must hold {len(frequencies)} numbers, one per frequency")
    t = _times(num_samples)
    waves = [
        amplitude * np.sin(2 * math.pi * (frequency * t + phase))
        for frequency, amplitude, phase in zip(frequencies, amplitudes, phases, strict=True)
    ]
    return Waveform(torch.from_numpy(np.sum(waves, axis=0)), train_stride, frequencies)


@validate_ranges
def chirp(
    num_samples: LineLength = 1024,
    train_stride: LineStride = 2,
    start_frequency: _Frequency = 1.0,
    stop_frequency: _FrequencyOrNull = None,
) -> Waveform:
    """A sine whose frequency changes linearly from `start_frequency` at x = -1 to `stop_frequency` at x = 1.

    Args:
        num_samples: Number of samples on the line.
        train_stride: Distance between training samples, at most `num_samples`.
        start_frequency: Frequency at x = -1 in cycles across the domain, at most num_samples / 2.
        stop_frequency: Frequency at x = 1 in cycles across the domain, at most num_samples / 2; None takes the training
            Nyquist frequency num_samples / train_stride / 2.

    Raises:
        OptionError: An option is outside its range.
    """
    check_stride(train_stride, num_samples, "samples")
    if stop_frequency is None:
        stop_frequency = max(Domain((num_samples,), train_stride).nyquist)
    check_frequency("start_frequency", start_frequency, num_samples)
    check_frequency("stop_frequency", stop_frequency, num_samples)
    t = _times(num_samples)
    cycles = start_frequency * t + (stop_frequency - start_frequency) * t**2 / 2
    return Waveform(torch.from_numpy(np.sin(2 * math.pi * cycles)), train_stride)


def _times(num_samples: int) -> NDArray[np.floating]:
    """t = (x + 1) / 2 in [0, 1] at the cell centers, (num_samples,)."""
    return (Domain((num_samples,)).grid()[:, 0].double().numpy() + 1) / 2
