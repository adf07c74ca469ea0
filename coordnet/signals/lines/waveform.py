"""Signals on a line: what Rahaman et al. (2019) measured the spectral bias with."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet import viz
from coordnet.coords import Domain, FieldFunction, in_chunks
from coordnet.diagnostics.sines import sine_scores
from coordnet.errors import UserError
from coordnet.metrics.scores import nmse
from coordnet.ranges import LINE, check_ranges
from coordnet.signals.base import EvaluationResult, GridComparison, Predict, Signal
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
        return {"coords": self.domain.centers(sample[:, None]), "value": self.values[sample]}

    def training_grid(self) -> Tensor:
        return self.values[:: self.holdout]

    def evaluate(self, field: FieldFunction, predict: Predict) -> EvaluationResult:
        coords = self.domain.grid()
        prediction = in_chunks(field, coords)
        metrics = self.metrics(prediction)
        score = -metrics.get("val/nmse", metrics["train/nmse"])
        lines = {"target": self.values[:, 0].numpy(), "prediction": prediction[:, 0].numpy()}
        name = "target | prediction"
        samples = GridComparison(prediction.numpy(), self.values.numpy(), self.domain.across / 2)
        return EvaluationResult(
            metrics, lambda: {name: viz.plot_lines(coords[:, 0].numpy(), lines, name)}, score, samples
        )

    def metrics(self, prediction: Tensor) -> dict[str, float]:
        """Metrics of a prediction (n, 1) at all samples."""
        s = self.holdout
        splits: dict[str, slice | Tensor] = {"train": slice(None, None, s)}
        if s > 1:
            splits["test"] = slice(s // 2, None, s)
        if s > 2:
            place = torch.arange(len(self.values)) % s
            splits["val"] = (place != 0) & (place != s // 2)
        metrics = {f"{name}/nmse": nmse(prediction[part], self.values[part]) for name, part in splits.items()}
        return metrics | (self.sine_metrics(prediction) if self.frequencies else {})

    def sine_metrics(self, prediction: Tensor) -> dict[str, float]:
        """sine_error/k005 and sine_amplitude/k005, for 5 cycles, of each sine that the target has."""
        p, t, x = (v[:: self.holdout, 0].numpy() for v in (prediction, self.values, self.domain.grid()))
        errors, amplitudes = sine_scores(p, t, x, np.array(self.frequencies))
        return {
            f"{name}/k{padded(k)}": float(value)
            for name, values in (("sine_error", errors), ("sine_amplitude", amplitudes))
            for k, value in zip(self.frequencies, values, strict=True)
            if not np.isnan(value)
        }


def padded(frequency: float) -> str:
    """5 as 005 and 7.5 as 007.5, so that names sort by frequency."""
    whole, point, fraction = f"{frequency:g}".partition(".")
    return f"{whole:0>3}{point}{fraction}"


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
