import numpy as np
import pytest

from coordnet.diagnostics.spectrum import octaves, power_spectrum


@pytest.mark.parametrize("shape", [(64, 1), (12, 20, 3), (6, 8, 10, 2)])
def test_powers_add_up_to_the_variance(shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).random(shape)
    _, power = power_spectrum(samples, nyquist=max(shape[:-1]) / 2)
    variance = samples.reshape(-1, shape[-1]).var(axis=0).sum()
    assert power.sum() == pytest.approx(variance, rel=1e-12)


def test_a_wave_stands_at_its_frequency() -> None:
    """cos(pi f x) with x = -1 at the low edge: f cycles over [-1, 1] are 2 f half cycles, one DCT-II coefficient."""
    n, f = 64, 5.0
    x = (2 * np.arange(n) + 1) / n - 1
    frequency, power = power_spectrum(np.cos(np.pi * f * (x + 1))[:, None], nyquist=n / 2)
    assert frequency[np.argmax(power)] == f
    assert power.max() == pytest.approx(0.5, rel=1e-12)


def test_frequencies_are_radial_and_equal_along_axes_of_different_length() -> None:
    rows, columns = 16, 32
    x = (2 * np.arange(columns) + 1) / columns - 1
    y = ((2 * np.arange(rows) + 1) - rows) / columns
    wave = np.cos(np.pi * 3 * (x + 1))[None, :] * np.cos(np.pi * 4 * (y + 0.5))[:, None]
    frequency, power = power_spectrum(wave[..., None], nyquist=columns / 2)
    assert frequency[np.argmax(power)] == pytest.approx(5.0)


def test_octaves_hold_all_weights_and_start_at_powers_of_two() -> None:
    frequency = np.array([0.0, 0.5, 1.0, 1.9, 2.0, 3.9, 4.0, 90.0])
    edges, sums = octaves(frequency, np.ones(8))
    assert edges.tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert sums.tolist() == [4, 2, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_wave_of_a_grid_is_below_the_end_of_the_last_octave_and_above_its_start(dim: int) -> None:
    """The corner of a cube of Nyquist frequency 10 is at sqrt(3) 9.5 = 16.5, an octave above that of a square."""
    samples = np.random.default_rng(0).random((*(20,) * dim, 1))
    frequency, power = power_spectrum(samples, nyquist=10)
    edges, sums = octaves(frequency, power)
    assert edges[-1] == {1: 8, 2: 8, 3: 16}[dim]
    assert edges[-1] <= frequency.max() < 2 * edges[-1]
    assert sums[-1] == pytest.approx(power[frequency >= edges[-1]].sum(), rel=1e-9)
