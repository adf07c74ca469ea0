import math

import numpy as np
import pytest

from coordnet.coords import Domain
from coordnet.diagnostics.sines import Values, sine_coefficients, sine_scores


def centers(n: int) -> Values:
    return Domain((n,)).grid()[:, 0].double().numpy()


def waves(x: Values, *waves: tuple[float, complex]) -> Values:
    """The sum of Re(c exp(i pi f x)) over pairs (f, c)."""
    return np.sum([(c * np.exp(1j * math.pi * f * x)).real for f, c in waves], axis=0)


@pytest.mark.parametrize("frequencies", [(3, 20, 41), (0.4, 7.5, 7.9), (1, 2, 63.5)])
def test_coefficients_are_those_that_the_samples_were_made_of(frequencies: tuple[float, ...]) -> None:
    c = np.array([1, 0.25j, -2 + 1j])
    x = np.random.default_rng(0).uniform(-1, 1, 128)
    samples = waves(x, *zip(frequencies, c, strict=True))
    np.testing.assert_allclose(sine_coefficients(samples, x, np.array(frequencies)), c, atol=1e-5)


def test_amplitude_is_twice_the_discrete_fourier_transform() -> None:
    samples = np.random.default_rng(0).standard_normal(200)
    k = np.array([5, 10, 50])
    amplitude = np.abs(sine_coefficients(samples, centers(200), k))
    np.testing.assert_allclose(amplitude, 2 / 200 * np.abs(np.fft.rfft(samples))[k], rtol=1e-4)


def test_other_whole_frequencies_and_the_mean_do_not_leak() -> None:
    x = centers(200)
    k = np.array([5, 10])
    alone = waves(x, (5, 1j), (10, 0.5))
    with_others = alone + 3 + waves(x, (6, 2), (11, 1j), (99, 1))
    np.testing.assert_allclose(sine_coefficients(with_others, x, k), [1j, 0.5], atol=1e-5)


def test_a_sine_turned_by_a_phase_keeps_its_amplitude_and_errs_by_the_chord() -> None:
    x, k = centers(100), np.array([4, 9])
    target, turned = waves(x, (4, 1), (9, 1)), waves(x, (4, np.exp(1j * math.pi / 3)), (9, -1))
    error, amplitude = sine_scores(turned, target, x, k)
    np.testing.assert_allclose(error, [1, 4], rtol=1e-5)
    np.testing.assert_allclose(amplitude, [1, 1], rtol=1e-5)


def test_errors_weighted_by_energy_add_up_to_the_whole() -> None:
    x, k = centers(100), np.array([4, 9, 30])
    target, prediction = waves(x, (4, 1), (9, 2j), (30, 0.1)), waves(x, (4, 0.5j), (9, 2), (30, 1))
    error, _ = sine_scores(prediction, target, x, k)
    nmse = np.sum((prediction - target) ** 2) / np.sum(target**2)
    assert np.average(error, weights=[1, 4, 0.01]) == pytest.approx(nmse, rel=1e-5)


def test_a_sine_that_the_target_has_not_is_nan() -> None:
    x, k = centers(100), np.array([4, 9])
    error, amplitude = sine_scores(waves(x, (9, 1)), waves(x, (4, 1)), x, k)
    assert np.isnan(error).tolist() == np.isnan(amplitude).tolist() == [False, True]
    assert error[0] == pytest.approx(1)
