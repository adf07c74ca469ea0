import math

import numpy as np
import pytest
from scipy.fft import dct, dctn

from coordnet.diagnostics.proposal import infinite_width_ntk, kernel_eigenvalues, leave_one_out, propose
from coordnet.signals.images.analytic import power_noise, text


def gaussian_then_tangent(distance: np.ndarray, scale: float) -> np.ndarray:
    kernel = infinite_width_ntk(np.exp(-((math.pi * scale * distance) ** 2) / 2))
    zero, one = infinite_width_ntk(np.array([0.0, 1.0]))
    return (kernel - zero) / (one - zero)


def folded(n: int, nyquist: float, scale: float) -> np.ndarray:
    """The kernel matrix (n, n) on a line that is mirrored at both ends, entry by entry."""
    i = np.arange(n)
    near = np.abs(i[:, None] - i)
    mirrored = i[:, None] + i + 1
    around = np.minimum(mirrored, 2 * n - mirrored)
    return gaussian_then_tangent(near / nyquist, scale) + gaussian_then_tangent(around / nyquist, scale)


def test_the_tangent_kernel_of_a_wide_network() -> None:
    """Against a network of 2^15 units: one hidden layer, no bias, sqrt(2 / m) sum v relu(w . x)."""
    rng = np.random.default_rng(0)
    m = 2**15
    w, v = rng.standard_normal((m, 2)), rng.standard_normal(m)
    x, y = np.array([1.0, 0.0]), np.array([math.cos(1.0), math.sin(1.0)])
    by_v = 2 / m * np.maximum(w @ x, 0) @ np.maximum(w @ y, 0)
    by_w = 2 / m * (v**2 * (w @ x > 0) * (w @ y > 0)).sum() * (x @ y)
    # A mean of 32,768 terms of size about 1: a standard error below 0.01, taken three times.
    assert infinite_width_ntk(np.array([math.cos(1.0)]), depth=1)[0] == pytest.approx(by_v + by_w, abs=0.03)


def test_the_tangent_kernel_on_the_same_point_grows_by_one_per_layer() -> None:
    for depth in (1, 2, 3):
        assert infinite_width_ntk(np.ones(1), depth)[0] == pytest.approx(depth + 1)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_eigenvalues_are_those_of_the_kernel_matrix_on_mirrored_samples(scale: float) -> None:
    n, nyquist = 24, 12.0
    expected = np.diag(dct(dct(folded(n, nyquist, scale), axis=0, norm="ortho"), axis=1, norm="ortho"))
    found = kernel_eigenvalues((n,), nyquist, scale)
    # The distance n, at which the period closes, counts once in the circulant kernel.
    assert found == pytest.approx(expected.clip(min=0), abs=1e-3 * expected.max())


def test_leave_one_out_is_what_leaving_each_sample_out_gives() -> None:
    """On a circle, where the closed form is exact: predict each sample from the others with the kernel matrix."""
    n, noise = 16, 0.3
    i = np.arange(n)
    distance = np.minimum(np.abs(i[:, None] - i), n - np.abs(i[:, None] - i))
    kernel = np.exp(-(distance**2) / 8)
    y = np.random.default_rng(0).standard_normal(n)
    errors = []
    for k in range(n):
        rest = i != k
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + noise * np.eye(n - 1), y[rest])
        errors.append((kernel[k, rest] @ weights - y[k]) ** 2)
    eigenvalues = np.fft.fft(kernel[0]).real + noise
    power = np.abs(np.fft.fft(y, norm="ortho")) ** 2
    assert leave_one_out(power, eigenvalues) == pytest.approx(np.mean(errors), rel=1e-9)


def test_a_finer_signal_gets_a_larger_scale() -> None:
    scales = [
        propose(power_noise(128, 2, exponent, 0).training_grid().numpy(), 32.0)["scale"]
        for exponent in (3.0, 2.0, 1.5)
    ]
    assert scales == sorted(scales) and scales[0] < scales[-1]


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_proposal_stays_below_the_nyquist_frequency(size: int) -> None:
    signal = text(size, 2, font_size=12)
    nyquist = max(signal.domain.nyquist)
    proposal = propose(signal.training_grid().numpy(), nyquist)
    assert 0 < proposal["scale"] <= nyquist / 2
    assert 2 ** (proposal["num_frequencies"] - 1) <= max(1, nyquist / 4)


def test_a_proposal_says_what_to_type() -> None:
    proposal = propose(power_noise(64, 2).training_grid().numpy(), 16.0)
    assert f"encoding.scale={proposal['scale']:g}" in proposal["reason"]
    assert f"encoding.num_frequencies={proposal['num_frequencies']}" in proposal["reason"]


@pytest.mark.parametrize("shape", [(40, 1), (20, 30, 3), (8, 9, 10, 1), (300, 400, 1)])
def test_signals_of_any_dimension_get_one(shape: tuple[int, ...]) -> None:
    samples = np.random.default_rng(0).random(shape)
    assert propose(samples, max(shape[:-1]) / 2)["num_frequencies"] >= 1


def test_a_constant_signal_gets_what_is_usual() -> None:
    for level in (0.0, 9 / 255, 1.0):
        samples = np.full((32, 32, 1), level, np.float32)
        assert propose(samples, 16.0)["scale"] == pytest.approx(0.06 * 16, rel=0.1)


def test_eigenvalues_of_two_axes_are_those_of_the_outer_kernel() -> None:
    """The trace: all eigenvalues add up to the number of samples times the kernel at 0, but for mirrored corners."""
    eigenvalues = kernel_eigenvalues((16, 20), 10.0, 4.0)
    assert eigenvalues.shape == (16, 20) and (eigenvalues >= 0).all()
    direct = dctn(np.ones((16, 20)), norm="ortho")
    # A constant is an eigenvector: its eigenvalue is the sum of the kernel over the mirrored plane.
    assert direct[0, 0] == pytest.approx(math.sqrt(320))
    y, x = np.mgrid[0:32, 0:40]
    distance = np.hypot(np.minimum(y, 32 - y), np.minimum(x, 40 - x)) / 10.0
    assert eigenvalues[0, 0] == pytest.approx(gaussian_then_tangent(distance, 4.0).sum(), rel=1e-9)
