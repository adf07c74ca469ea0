"""Noise of falling spectrum on a line."""

import numpy as np
import pytest

from coordnet.errors import UserError
from coordnet.signals.lines.noise_line import power_noise_1d


def test_values_fill_the_range_and_the_seed_decides() -> None:
    first, again, other = (power_noise_1d(seed=seed).values for seed in (3, 3, 4))
    assert first.min() == -0.5 and first.max() == 0.5
    assert (first == again).all() and (first != other).any()


def test_no_wave_is_at_or_above_the_cutoff() -> None:
    for cutoff, num_samples in ((None, 256), (10, 256), (2, 64)):
        power = np.abs(np.fft.rfft(power_noise_1d(num_samples, 1, cutoff=cutoff).values[:, 0].double())) ** 2
        highest = (cutoff or num_samples // 4) - 1
        assert power[highest] > 1e-9 * power.max() and power[highest + 1 :].max() < 1e-9 * power.max()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 1.5])
def test_amplitudes_fall_as_the_exponent_says(exponent: float) -> None:
    """(1 + k)^-exponent, up to the factor that brings each line to its range."""
    k = np.arange(1, 64)
    slopes = []
    for seed in range(40):
        values = power_noise_1d(exponent=exponent, seed=seed).values[:, 0].double().numpy()
        power = np.abs(np.fft.rfft(values))[1:64] ** 2
        slopes.append(np.polyfit(np.log(1 + k), np.log(power), 1)[0] / -2)
    # The logarithm of a power of two normal draws varies by 1.3, so one slope by about 0.1, and 40 by 0.015.
    assert np.mean(slopes) == pytest.approx(exponent, abs=0.08)


def test_every_eighth_sample_is_trained_on_and_holds_up_to_16_cycles() -> None:
    signal = power_noise_1d()
    assert signal.num_observations == 32 and max(signal.domain.nyquist) == 16
    assert (signal.training_grid() == signal.values[::8]).all()


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"num_samples": 1}, "num_samples"),
        ({"train_stride": 0}, "train_stride"),
        ({"exponent": -1}, "exponent"),
        ({"cutoff": 1}, "cutoff"),
        ({"cutoff": 129}, "cutoff"),
        ({"frequencies": [129]}, "frequencies"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_met_is_refused_by_name(options: dict[str, int], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}="):
        power_noise_1d(**options)
