"""Signals on a line: what Rahaman et al. (2019) measured the spectral bias with."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.ranges import LINE, check_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.analytic import check_frequency, check_range


class Waveform(Signal):
    """Samples on a line, trained on every `holdout`-th of them.

    With a hold-out of s > 1 the training samples are [::s], the test samples [s//2::s], and all others are
    for validation. With s = 2 there are no others, and the score is taken on the training samples.

    Args:
        values: (n,) float, unbounded, n at least 2 and not all of them 0.
        holdout: s, in [1, n]; 1 trains on all samples.
        frequencies: Those that are scored one by one on the training samples, in cycles across the domain.
    """

    value_range = None
    channels = 1

    def __init__(self, values: Tensor, holdout: int = 1, frequencies: Sequence[float] = ()) -> None:
        LINE.check("signal.num_samples", len(values))
        check_range("holdout", holdout, 1, len(values), "samples")
        if not values.any():
            raise UserError("signal: all values are 0, so there is no energy to measure an error against")
        self.domain = Domain((len(values),), holdout)
        self.values = values.float()[:, None]
        self.holdout = holdout
        self.frequencies = list(dict.fromkeys(frequencies))
        self.num_observations = -(-len(values) // holdout)

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        sample = index * self.holdout
        return {"coords": self.domain.index_to_coords(sample[:, None]), "value": self.values[sample]}

    def training_grid(self) -> Tensor:
        return self.values[:: self.holdout]


def times(num_samples: int) -> NDArray[np.floating]:
    """t = (x + 1) / 2 in [0, 1] at the cell centers, (num_samples,)."""
    return (Domain((num_samples,)).grid()[:, 0].double().numpy() + 1) / 2


def sines(
    num_samples: int = 200,
    holdout: int = 1,
    frequencies: Sequence[float] = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50),
    amplitudes: Sequence[float] | None = None,
    phases: Sequence[float] | None = None,
    seed: int = 0,
) -> Waveform:
    """z(t) = sum_i A_i sin(2 pi k_i t + 2 pi phi_i), t in [0, 1] (Rahaman et al. 2019, sec. 4).

    Args:
        num_samples: In [2, 2^20].
        holdout: Every holdout-th sample is trained on, in [1, num_samples].
        frequencies: k, in cycles across the domain, each in [0, num_samples / 2].
        amplitudes: A, one per frequency, within +-10^6; ones if not given.
        phases: phi, one per frequency, in cycles, within +-10^6; drawn uniformly from [0, 1) if not given.
        seed: Of that draw, at least 0.

    Raises:
        UserError: Some option is outside these ranges.
    """
    check_ranges(
        sines,
        num_samples=num_samples,
        holdout=holdout,
        frequencies=frequencies,
        amplitudes=amplitudes,
        phases=phases,
        seed=seed,
    )
    if not frequencies:
        raise UserError(f"signal.frequencies={list(frequencies)} must hold at least one number")
    for frequency in frequencies:
        check_frequency("frequencies", frequency, num_samples)
    if amplitudes is None:
        amplitudes = np.ones(len(frequencies)).tolist()
    if phases is None:
        phases = np.random.default_rng(seed).random(len(frequencies)).tolist()
    for key, given in (("amplitudes", amplitudes), ("phases", phases)):
        if len(given) != len(frequencies):
            raise UserError(
                f"signal.{key}={list(given)} must hold {len(frequencies)} numbers, one per frequency"
            )
    t = times(num_samples)
    waves = [
        amplitude * np.sin(2 * math.pi * (frequency * t + phase))
        for frequency, amplitude, phase in zip(frequencies, amplitudes, phases, strict=True)
    ]
    return Waveform(torch.from_numpy(np.sum(waves, axis=0)), holdout, frequencies)


def chirp(
    num_samples: int = 1024,
    holdout: int = 2,
    start_frequency: float = 1.0,
    stop_frequency: float | None = None,
) -> Waveform:
    """A sine whose frequency goes linearly from `start_frequency` at x = -1 to `stop_frequency` at x = 1.

    Args:
        num_samples: In [2, 2^20].
        holdout: Every holdout-th sample is trained on, in [1, num_samples].
        start_frequency: In cycles across the domain, in [0, num_samples / 2].
        stop_frequency: Likewise; by default the training Nyquist frequency num_samples / holdout / 2.

    Raises:
        UserError: Some option is outside these ranges.
    """
    check_ranges(
        chirp,
        num_samples=num_samples,
        holdout=holdout,
        start_frequency=start_frequency,
        stop_frequency=stop_frequency,
    )
    check_range("holdout", holdout, 1, num_samples, "samples")
    if stop_frequency is None:
        stop_frequency = Domain((num_samples,), holdout).nyquist
    check_frequency("start_frequency", start_frequency, num_samples)
    check_frequency("stop_frequency", stop_frequency, num_samples)
    t = times(num_samples)
    cycles = start_frequency * t + (stop_frequency - start_frequency) * t**2 / 2
    return Waveform(torch.from_numpy(np.sin(2 * math.pi * cycles)), holdout)
