import math
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.spherical import SphericalHarmonics
from coordnet.errors import UserError

Signs = Literal["plus", "tcnn"]

BOX = Domain((8, 8, 8))
every_degree = pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
every_sign = pytest.mark.parametrize("signs", ["plus", "tcnn"])


def directions(polar: NDArray[np.floating], azimuth: NDArray[np.floating]) -> Tensor:
    ring = np.sin(polar)
    return torch.from_numpy(
        np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), np.cos(polar)], axis=-1)
    )


def random_angles() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    generator = np.random.default_rng(0)
    return np.arccos(generator.uniform(-1, 1, 200)), generator.uniform(0, 2 * math.pi, 200)


def complex_harmonic(
    row: int, m: int, polar: NDArray[np.floating], azimuth: NDArray[np.floating]
) -> NDArray[np.generic]:
    """Y_l^m with the Condon-Shortley phase; scipy renamed it, and changed the order of its arguments, in 1.15."""
    if hasattr(special, "sph_harm_y"):
        return special.sph_harm_y(row, m, polar, azimuth)
    return special.sph_harm(m, row, azimuth, polar)


def test_golden_spherical_harmonics() -> None:
    """Degree 3 at (1, 2, 2) / 3 with all signs plus."""
    expected = [0.282095, 0.325735, 0.325735, 0.162868, 0.242789, 0.485577, 0.105131, 0.242789, -0.182091]
    features = SphericalHarmonics(BOX, 3)(torch.tensor([1.0, 2.0, 2.0]) / 3)
    # The golden values have six digits.
    torch.testing.assert_close(features, torch.tensor(expected), atol=1e-6, rtol=0)


@every_degree
@every_sign
def test_they_are_the_real_and_imaginary_parts_of_scipys(degree: int, signs: Signs) -> None:
    polar, azimuth = random_angles()
    expected = []
    for row in range(degree):
        for m in range(-row, row + 1):
            whole = complex_harmonic(row, abs(m), polar, azimuth)
            part = whole.real if m == 0 else math.sqrt(2) * (whole.real if m > 0 else whole.imag)
            expected.append(part if signs == "tcnn" else (-1) ** abs(m) * part)
    features = SphericalHarmonics(BOX, degree, signs).double()(directions(polar, azimuth))
    assert features.shape == (200, degree**2)
    # The norms are kept in float32: 6e-8 of values that reach 3.
    assert features.numpy() == pytest.approx(np.stack(expected, axis=-1), abs=5e-7)


@every_sign
def test_they_are_orthonormal_on_the_sphere(signs: Signs) -> None:
    """By a quadrature that is exact for products of two, polynomials of degree 8 at most."""
    z, weight = np.polynomial.legendre.leggauss(6)
    azimuth = np.arange(12) * 2 * math.pi / 12
    points = directions(np.arccos(z)[:, None] + 0 * azimuth, azimuth + 0 * z[:, None])
    features = SphericalHarmonics(BOX, 5, signs).double()(points).reshape(-1, 25)
    area = torch.from_numpy(np.repeat(weight * 2 * math.pi / 12, 12))
    # The norms are kept in float32, twice in a product.
    torch.testing.assert_close(
        features.T @ (area[:, None] * features), torch.eye(25).double(), atol=5e-7, rtol=0
    )


@pytest.mark.parametrize("signs, sign", [("plus", 1), ("tcnn", -1)])
def test_the_order_and_the_signs_of_the_first_ones(signs: Signs, sign: int) -> None:
    x, y, z = 0.6, -0.64, 0.48
    features = SphericalHarmonics(BOX, 2, signs)(torch.tensor([x, y, z]))
    first = math.sqrt(3 / (4 * math.pi))
    expected = [math.sqrt(1 / (4 * math.pi)), sign * first * y, first * z, sign * first * x]
    # Values below 1 are rounded to 6e-8.
    assert features.tolist() == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize("signs, sign", [("plus", 1), ("tcnn", -1)])
def test_a_few_of_the_third_and_fourth_rows_as_they_are_tabulated(signs: Signs, sign: int) -> None:
    x, y, z = 0.6, -0.64, 0.48
    features = SphericalHarmonics(BOX, 5, signs)(torch.tensor([x, y, z])).tolist()
    tabulated = {
        9: sign * 0.59004359 * y * (3 * x**2 - y**2),
        10: 2.89061144 * x * y * z,
        11: sign * 0.45704580 * y * (5 * z**2 - 1),
        12: 0.37317633 * z * (5 * z**2 - 3),
        15: sign * 0.59004359 * x * (x**2 - 3 * y**2),
        20: 0.10578555 * (35 * z**4 - 30 * z**2 + 3),
        24: 0.62583574 * (x**4 - 6 * x**2 * y**2 + y**4),
    }
    # The tabulated factors have eight digits; values below 1 are rounded a few times in float32.
    assert [features[i] for i in tabulated] == pytest.approx(list(tabulated.values()), abs=1e-6)


@every_degree
def test_their_squares_add_up_to_the_same_in_every_direction(degree: int) -> None:
    """Unsoeld's theorem: sum_m Y_lm^2 = (2l + 1) / (4 pi), so degree^2 / (4 pi) over all l."""
    features = SphericalHarmonics(BOX, degree)(directions(*random_angles()).float())
    # Up to 25 squares, rounded in float32, of a sum of at most 2.
    expected = torch.full((200,), degree**2 / (4 * math.pi))
    torch.testing.assert_close(features.square().sum(-1), expected, atol=5e-6, rtol=0)


def test_nothing_is_normalized() -> None:
    features = SphericalHarmonics(BOX, 3)(torch.tensor([2.0, 0.0, 0.0]))
    assert features[3].item() == pytest.approx(2 * math.sqrt(3 / (4 * math.pi)))
    assert features[8].item() == pytest.approx(4 * 0.54627422)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_only_three_columns_are_served(dim: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^spherical harmonics need 3 columns, x, y and z, and the domain has {dim}$"
    ):
        SphericalHarmonics(Domain((8,) * dim))


@pytest.mark.parametrize("degree", [0, 6])
def test_other_degrees_are_refused(degree: int) -> None:
    with pytest.raises(UserError, match=rf"^degree={degree} must be a whole number from 1 to 5$"):
        SphericalHarmonics(BOX, degree)
