import math

import numpy as np
import pytest
import torch
from support import evaluate, make_config, pictures
from torch import Tensor

from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.evaluation.sphere import equirectangular
from coordnet.signals.synthetic.sphere import Sphere, fibonacci_lattice
from coordnet.training.batches import BatchSampler


def unused(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    raise AssertionError("a sphere is scored on the field")


def directions(count: int) -> Tensor:
    points = np.random.default_rng(3).standard_normal((count, 3))
    return torch.from_numpy(points / np.linalg.norm(points, axis=1, keepdims=True))


# With the sign (-1)^m of Condon and Shortley; any text on quantum mechanics has a table of them.
CLOSED_FORMS = {
    ("cosines", 0, 0): lambda x, y, z: math.sqrt(1 / (4 * math.pi)) + 0 * x,
    ("cosines", 1, 0): lambda x, y, z: math.sqrt(3 / (4 * math.pi)) * z,
    ("cosines", 1, 1): lambda x, y, z: -math.sqrt(3 / (4 * math.pi)) * x,
    ("sines", 1, 1): lambda x, y, z: -math.sqrt(3 / (4 * math.pi)) * y,
    ("cosines", 2, 0): lambda x, y, z: math.sqrt(5 / (16 * math.pi)) * (3 * z**2 - 1),
    ("sines", 2, 1): lambda x, y, z: -math.sqrt(15 / (4 * math.pi)) * y * z,
    ("cosines", 2, 2): lambda x, y, z: math.sqrt(15 / (16 * math.pi)) * (x**2 - y**2),
    ("sines", 3, 2): lambda x, y, z: math.sqrt(105 / (4 * math.pi)) * x * y * z,
}


@pytest.mark.parametrize("kind, degree, order", CLOSED_FORMS)
def test_each_coefficient_is_that_of_a_real_spherical_harmonic(kind: str, degree: int, order: int) -> None:
    signal = Sphere(64, 4)
    signal.cosines, signal.sines = np.zeros((2, 5, 5))
    getattr(signal, kind)[degree, order] = 1
    points = directions(5000)
    expected = CLOSED_FORMS[kind, degree, order](*points.numpy().T)
    np.testing.assert_allclose(signal.harmonics(points), expected, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 8, 16])
def test_the_energy_is_that_of_the_coefficients(degree: int) -> None:
    """Parseval: the mean of f^2 over the sphere is the sum of the squared coefficients over 4 pi."""
    signal = Sphere(4096, degree)
    energy = sum(
        signal.cosines[row, column] ** 2 + (column > 0) * signal.sines[row, column] ** 2
        for row, column in zip(*np.tril_indices(degree + 1), strict=True)
    )
    lattice = (signal.harmonics(fibonacci_lattice(20_000)) ** 2).mean()
    # The lattice's own error as a rule of quadrature.
    assert lattice == pytest.approx(energy / (4 * math.pi), rel=2e-3)


@pytest.mark.parametrize("num_samples, degree", [(16, 1), (500, 5), (4096, 8)])
def test_the_truth_scores_zero_and_training_values_are_standardized(num_samples: int, degree: int) -> None:
    signal = Sphere(num_samples, degree)
    # Values are rounded to float32.
    evaluation = evaluate(signal, true_field(signal), unused)
    assert evaluation.metrics == pytest.approx({"train/nmse": 0, "test/nmse": 0}, abs=1e-10)
    values = BatchSampler(signal, None, 0)(0)["value"].double()
    assert values.shape == (num_samples, 1)
    assert values.mean() == pytest.approx(0, abs=1e-6)
    assert (values**2).mean() == pytest.approx(1, abs=1e-6)


def true_field(signal: Sphere):  # type: ignore[no-untyped-def]
    return lambda coords: signal.reference(coords.reshape(-1, 3)).reshape(*coords.shape[:-1], 1)


@pytest.mark.parametrize("constant", [0.0, 0.7])
def test_a_constant_scores_one_and_its_square_on_train(constant: float) -> None:
    evaluation = evaluate(Sphere(1000), lambda coords: torch.full((*coords.shape[:-1], 1), constant), unused)
    # Values are rounded to float32.
    assert evaluation.metrics["train/nmse"] == pytest.approx(1 + constant**2, abs=1e-5)
    assert evaluation.score == -evaluation.metrics["train/nmse"]


def test_test_points_lie_elsewhere_on_the_sphere() -> None:
    signal = Sphere(1000)
    # Float32 coordinates.
    torch.testing.assert_close(signal.test_points.norm(dim=1), torch.ones(1000), atol=1e-6, rtol=0)
    assert torch.cdist(signal.test_points, signal.points).min() > 1e-4
    # The mean of 1000 directions has standard deviation sqrt(1 / 3000) = 0.018 per axis.
    assert signal.test_points.mean(dim=0).abs().max() < 0.08


@pytest.mark.parametrize("num_points", [100, 4096])
def test_the_lattice_is_even(num_points: int) -> None:
    points = fibonacci_lattice(num_points)
    # Float32 coordinates.
    torch.testing.assert_close(points.norm(dim=1), torch.ones(num_points), atol=1e-6, rtol=0)
    distance = torch.cdist(points, points) + 9 * torch.eye(num_points)
    nearest = distance.min(dim=1).values
    # The best packing of n points has a nearest distance of at most 3.81 / sqrt(n); this lattice reaches 3.1.
    assert nearest.min() > 3.0 / math.sqrt(num_points)
    for axis in torch.eye(3):
        # A cap above height h has (1 - h) / 2 of the surface; points at its rim, some 4 sqrt(n), are uncertain by few.
        share = (points @ axis > 0.3).float().mean()
        assert share == pytest.approx(0.35, abs=2 / math.sqrt(num_points))


def test_the_domain_has_as_many_samples_across_as_the_lattice() -> None:
    signal = Sphere(4096)
    assert signal.domain.size == (36, 36, 36) and signal.domain.dim == 3
    # One lattice point has 4 pi / n of the surface.
    assert signal.domain.spacing[0] == pytest.approx(math.sqrt(4 * math.pi / 4096), rel=0.02)


def test_the_map_has_north_above_and_runs_eastwards() -> None:
    globe = equirectangular(16)
    assert globe.shape == (16, 32, 3)
    # Float32 coordinates.
    torch.testing.assert_close(globe.norm(dim=-1), torch.ones(16, 32), atol=1e-6, rtol=0)
    assert (globe[:-1, :, 2] > globe[1:, :, 2]).all() and globe[0, 0, 2] > 0.99
    azimuth = torch.atan2(globe[..., 1], globe[..., 0])
    assert (azimuth[:, 1:] > azimuth[:, :-1]).all()


def test_the_picture_shows_target_prediction_and_error() -> None:
    signal = Sphere(500)
    (picture,) = pictures(evaluate(signal, true_field(signal), unused)).values()
    assert picture.dtype == np.uint8
    width = (picture.shape[1] - 8) // 3
    target = picture[:, :width]
    assert target.shape == (128, 256, 3)
    assert target.min() == 0 and target.max() == 255
    assert np.array_equal(target, picture[:, width + 4 : 2 * width + 4])


def test_same_seed_same_signal() -> None:
    first, second, other = (Sphere(100, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.values, second.values) and torch.equal(first.test_points, second.test_points)
    assert not torch.allclose(first.values, other.values)


def test_shipped_config_states_the_defaults() -> None:
    built, default = build(make_config("signal=sphere", "seed=0")["signal"], "signal"), Sphere()
    assert torch.equal(built.values, default.values) and torch.equal(built.points, default.points)
    other = build(make_config("signal=sphere", "seed=1")["signal"], "signal")
    assert not torch.equal(other.values, default.values)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_samples": 15}, r"num_samples=15 must be a whole number from 16 to 65536"),
        ({"num_samples": 65537}, r"num_samples=65537 must be a whole number from 16 to 65536"),
        ({"degree": 0}, r"degree=0 must be a whole number from 1 to 32"),
        ({"degree": 33}, r"degree=33 must be a whole number from 1 to 32"),
        (
            {"num_samples": 100, "degree": 9},
            r"degree=9 must be a whole number from 1 to 8 at",
        ),
        ({"seed": -1}, r"seed=-1 must be a whole number from 0"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Sphere(**options)
    assert "\n" not in str(caught.value)
