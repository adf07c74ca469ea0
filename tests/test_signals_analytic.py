import math

import numpy as np
import pytest
import torch
import yaml

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.fields.interpolation import Interpolation
from coordnet.signals.images import analytic
from coordnet.signals.images.image import Image

PICTURES = ("zone_plate", "grating", "siemens_star", "power_noise", "text")


def gray(image: Image) -> np.ndarray:
    return image.pixels[..., 0].double().numpy()


def crossings(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Positions at which values cross 1/2, by linear interpolation between samples."""
    v = values - 0.5
    i = np.flatnonzero(np.sign(v[:-1]) != np.sign(v[1:]))
    return x[i] + (x[i + 1] - x[i]) * v[i] / (v[i] - v[i + 1])


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("size, train_stride", [(64, 1), (65, 3)])
def test_every_picture_is_gray_square_and_within_zero_and_one(
    name: str, size: int, train_stride: int
) -> None:
    image = getattr(analytic, name)(size=size, train_stride=train_stride)
    assert image.pixels.shape == (size, size, 1)
    assert image.pixels.dtype == torch.float32
    assert image.pixels.min() >= 0 and image.pixels.max() <= 1
    assert image.pixels.std() > 0.1
    assert image.train_stride == train_stride


@pytest.mark.parametrize("name", PICTURES)
def test_shipped_config_states_the_defaults(name: str) -> None:
    node = yaml.safe_load((shipped.config_dir() / "signal" / f"{name}.yaml").read_text())
    built = build(node, "signal", allow=["coordnet."])
    default = getattr(analytic, name)()
    assert torch.equal(built.pixels, default.pixels)
    assert built.train_stride == default.train_stride


@pytest.mark.parametrize("name", PICTURES)
def test_same_arguments_give_the_same_picture(name: str) -> None:
    make = getattr(analytic, name)
    assert torch.equal(make(size=48).pixels, make(size=48).pixels)


@pytest.mark.parametrize("name", ["power_noise", "text"])
def test_another_seed_gives_another_picture(name: str) -> None:
    make = getattr(analytic, name)
    assert not torch.equal(make(size=96, seed=0).pixels, make(size=96, seed=1).pixels)


@pytest.mark.parametrize("wave", [(16, 0), (0, 16), (12, 16), (-12, 16), (5, -12)])
def test_grating_has_its_whole_energy_at_one_frequency_and_direction(wave: tuple[int, int]) -> None:
    size = 64
    bx, by = wave
    angle = math.degrees(math.atan2(by, bx))
    picture = gray(analytic.grating(size, frequency=math.hypot(bx, by), angle=angle))
    amplitude = np.abs(np.fft.fft2(picture)) / size**2
    expected = np.zeros((size, size))
    expected[0, 0] = 0.5
    expected[by, bx] = expected[-by, -bx] = 0.25
    np.testing.assert_allclose(amplitude, expected, atol=1e-6)


def test_grating_has_its_phase_at_the_center_of_the_domain() -> None:
    image = analytic.grating(33, frequency=7, angle=20)
    assert image.pixels[16, 16, 0] == 1


def test_grating_at_angle_zero_varies_along_x_only() -> None:
    picture = gray(analytic.grating(64, frequency=5))
    assert np.ptp(picture, axis=0).max() == 0
    assert np.ptp(picture, axis=1).min() > 0.9


@pytest.mark.parametrize("diagonal", [False, True])
def test_zone_plate_frequency_grows_linearly_with_the_distance_from_the_center(diagonal: bool) -> None:
    size, top = 513, 32.0
    picture = gray(analytic.zone_plate(size, max_frequency=top))
    center = size // 2
    line = picture.diagonal()[center:] if diagonal else picture[center, center:]
    r = np.arange(len(line)) * 2 / size * (math.sqrt(2) if diagonal else 1)
    found = crossings(r, line)
    local = 1 / np.diff(found)
    np.testing.assert_allclose(local, top * (found[1:] + found[:-1]) / 2, rtol=0.02)
    assert local[-1] == pytest.approx(top * r[-1], rel=0.03)


def test_zone_plate_is_brightest_at_its_center_and_symmetric() -> None:
    picture = gray(analytic.zone_plate(65))
    assert picture[32, 32] == 1
    for other in (picture.T, picture[::-1], picture[:, ::-1]):
        np.testing.assert_allclose(picture, other, atol=1e-6)


@pytest.mark.parametrize("train_stride", [1, 2, 4])
def test_zone_plate_reaches_the_training_nyquist_by_default(train_stride: int) -> None:
    image = analytic.zone_plate(128, train_stride)
    stated = analytic.zone_plate(128, train_stride, max_frequency=max(image.domain.nyquist))
    assert torch.equal(image.pixels, stated.pixels)


@pytest.mark.parametrize("spokes", [1, 8, 31])
@pytest.mark.parametrize("radius", [0.6, 0.9])
def test_siemens_star_has_two_edges_per_spoke_around_a_circle(spokes: int, radius: float) -> None:
    star = analytic.siemens_star(256, train_stride=1, spokes=spokes)
    angle = torch.linspace(0, 2 * math.pi, 4001)[:-1] + 1e-3
    circle = radius * torch.stack([angle.cos(), angle.sin()], dim=-1)
    white = Interpolation(*star.training_samples(), "bilinear")(circle)[:, 0] > 0.5
    edges = angle[white != white.roll(-1)]
    expected = (torch.arange(2 * spokes) + 0.5) * math.pi / spokes
    torch.testing.assert_close(edges, expected, atol=0.01, rtol=0)


def test_siemens_star_is_antialiased_and_half_white() -> None:
    picture = gray(analytic.siemens_star(256, spokes=32))
    assert picture.mean() == pytest.approx(0.5, abs=0.01)
    assert 0.1 < np.mean((picture > 0) & (picture < 1)) < 0.5
    assert np.all(picture * 64 == np.round(picture * 64))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_power_noise_spectrum_falls_with_twice_the_exponent(exponent: float) -> None:
    size = 256
    power = np.abs(np.fft.fft2(gray(analytic.power_noise(size, exponent=exponent, seed=3)))) ** 2
    f = np.fft.fftfreq(size, 1 / size)
    radius = np.hypot(f[:, None], f).round().astype(int)
    mean = np.bincount(radius.ravel(), power.ravel()) / np.bincount(radius.ravel())
    bands = np.arange(6, size // 2)
    slope, _ = np.polyfit(np.log(bands), np.log(mean[bands]), 1, w=np.sqrt(bands))
    assert slope == pytest.approx(-2 * exponent, abs=0.05)


def test_power_noise_fills_the_range() -> None:
    picture = gray(analytic.power_noise(64))
    assert picture.min() == 0 and picture.max() == 1


def test_text_is_dark_on_white_down_to_the_last_line() -> None:
    picture = gray(analytic.text(256, font_size=16, words="MMM"))
    assert 0.5 < picture.mean() < 0.95
    ink = picture < 0.5
    blank_rows = np.diff(np.flatnonzero(np.r_[True, ink.any(axis=1), True])) - 1
    assert blank_rows.max() < 16
    assert ink[:, :16].any() and ink[:, -16:].any()


def test_text_draws_the_words_it_is_given() -> None:
    assert not torch.equal(analytic.text(64, words="a").pixels, analytic.text(64, words="b").pixels)


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "zone_plate",
            {"max_frequency": 200.0},
            r"max_frequency=200\.0 must be a number from 0 to 128 cycles",
        ),
        (
            "zone_plate",
            {"train_stride": 0},
            r"train_stride=0 must be a whole number from 1 to 8192 pixels",
        ),
        ("zone_plate", {"size": 1}, r"size=1 must be a whole number from 2 to 8192 pixels"),
        ("grating", {"frequency": -1.0}, r"frequency=-1\.0 must be a number from 0 to 4096 cycles"),
        ("grating", {"frequency": math.nan}, r"frequency=nan must"),
        ("grating", {"train_stride": 257}, r"train_stride=257 must be a whole number from 1 to 256 pixels"),
        ("siemens_star", {"spokes": 0}, r"spokes=0 must be a whole number from 1 to 8192"),
        ("siemens_star", {"spokes": 257}, r"spokes=257 must be a whole number from 1 to 256"),
        ("power_noise", {"exponent": 11.0}, r"exponent=11\.0 must be a number from 0 to 10"),
        ("power_noise", {"seed": -1}, r"seed=-1 must be a whole number from 0"),
        ("text", {"font_size": 1.0}, r"font_size=1\.0 must be a number from 4 to 8192 pixels"),
        ("text", {"font_size": 257.0}, r"font_size=257\.0 must be a number from 4 to 256 pixels"),
        ("text", {"words": "  "}, r"words='  ' must hold at least one word"),
        ("text", {"seed": -1}, r"seed=-1 must be a whole number from 0"),
    ],
)
def test_bad_options_are_refused_in_one_line(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        getattr(analytic, name)(**options)
    assert "\n" not in str(caught.value)
