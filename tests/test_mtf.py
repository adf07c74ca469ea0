import math

import numpy as np
import pytest
import support
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from coordnet.diagnostics.mtf import MTFCurve, gain, mtf_curve
from coordnet.diagnostics.spectrum_figure import draw_mtf
from coordnet.evaluation.base import EvaluationResult
from coordnet.signals.images.analytic import grating, zone_plate
from coordnet.signals.images.image import Image


def curve(image: Image, prediction: np.ndarray) -> MTFCurve:
    assert image.wave is not None
    wave = image.wave(image.domain.grid()).reshape(-1, 2).numpy()
    return mtf_curve(prediction.ravel(), image.pixels.numpy().ravel(), wave)


def evaluate(image: Image, prediction: np.ndarray) -> EvaluationResult:
    """The evaluation of a field that takes these values at the pixels, which it is asked for in their order."""
    values = torch.from_numpy(prediction.astype(np.float32)).reshape(-1, 1)
    done = 0

    def field(coords: Tensor) -> Tensor:
        nonlocal done
        done += len(coords)
        return values[done - len(coords) : done]

    return support.evaluate(image, field, dict)


@pytest.mark.parametrize("a, offset", [(1, 0), (0.4, 0.3), (0, 0.5), (-1, 1)])
def test_contrast_is_the_factor_of_the_wave_whatever_its_mean(a: float, offset: float) -> None:
    target = np.random.default_rng(0).random((30, 40))
    assert gain(a * target + offset, target) == pytest.approx(a, abs=1e-12)


def test_what_the_target_does_not_have_does_not_count() -> None:
    x = np.arange(64) / 64
    target, other = np.cos(2 * np.pi * 5 * x), np.cos(2 * np.pi * 9 * x)
    assert gain(0.5 * target + 3 * other, target) == pytest.approx(0.5)


def test_a_constant_target_has_no_contrast_to_recover() -> None:
    assert math.isnan(gain(np.arange(4.0), np.full(4, 0.1)))
    assert math.isnan(
        support.evaluate(grating(16, frequency=0), lambda c: c[:, :1], dict).metrics["wave/contrast"]
    )


@pytest.mark.parametrize("wave", [(16, 0), (0, 16), (12, 16), (-12, 16), (5, 12)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_grating_keeps_what_a_gaussian_blur_leaves_of_it(wave: tuple[int, int], sigma: float) -> None:
    """exp(-2 pi^2 sigma^2 nu^2), nu in cycles per pixel: here f / 128."""
    size, frequency = 128, math.hypot(*wave)
    image = grating(size, 2, frequency, math.degrees(math.atan2(wave[1], wave[0])))
    # The blur of a periodic wave by its transform, so that it is the exact Gaussian.
    nu = np.fft.fftfreq(size)
    blur = np.exp(-2 * math.pi**2 * sigma**2 * (nu[:, None] ** 2 + nu**2))
    blurred = np.fft.ifft2(np.fft.fft2(image.pixels[..., 0].numpy()) * blur).real
    expected = math.exp(-2 * math.pi**2 * sigma**2 * (frequency / size) ** 2)
    assert evaluate(image, blurred).metrics["wave/contrast"] == pytest.approx(expected, abs=1e-5)
    found = curve(image, blurred)
    assert found.frequency == pytest.approx([frequency], rel=1e-6)
    assert found.gain == pytest.approx([expected], abs=1e-5)
    assert found.direction == pytest.approx(math.degrees(math.atan2(wave[1], wave[0])) % 180, abs=1e-4)


@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_a_zone_plate_shows_the_mtf_of_a_gaussian_blur_at_each_frequency(sigma: float) -> None:
    size = 256
    image = zone_plate(size, 2)
    found = curve(image, gaussian_filter(image.pixels.numpy().astype(float), (sigma, sigma, 0)))
    assert found.direction is None
    # The blur meets the border from r = 1 on, where the frequency is that of the training Nyquist.
    inside = found.frequency < 0.9 * max(image.domain.nyquist)
    expected = np.exp(-2 * np.pi**2 * sigma**2 * (found.frequency / size) ** 2)
    assert inside.sum() > 8
    assert found.gain[inside] == pytest.approx(expected[inside], abs=0.03)
    for part in found.by_sector:
        assert part[inside] == pytest.approx(expected[inside], abs=0.05)


def test_a_zone_plate_tells_directions_apart() -> None:
    """Blurred along x only, waves along y are left: those at 60 to 90 degrees keep most."""
    image = zone_plate(256, 2)
    along_x, between, along_y = curve(image, gaussian_filter(image.pixels.numpy(), (0, 2, 0))).by_sector
    middle = slice(5, 12)
    assert (along_x[middle] < between[middle]).all() and (between[middle] < along_y[middle]).all()


@pytest.mark.parametrize("size, train_stride", [(64, 1), (128, 4), (33, 2), (16, 8)])
def test_rings_hold_all_pixels_and_grow_in_frequency(size: int, train_stride: int) -> None:
    image = zone_plate(size, train_stride)
    found = curve(image, 0.3 * image.pixels.numpy())
    assert (np.diff(found.frequency) > 0).all()
    # The mean of the squares over rings of many pixels each, at most f sqrt(2) in the corners.
    assert found.frequency[-1] < math.sqrt(2) * max(image.domain.nyquist)
    assert found.gain == pytest.approx(0.3, rel=1e-5)
    known = np.isfinite(found.by_sector)
    assert known.any() and found.by_sector[known] == pytest.approx(0.3, rel=1e-5)


def test_the_local_wave_is_the_gradient_of_the_phase() -> None:
    """The phase of cos(pi f r^2 / 2) has grad / pi cycles across the domain of width 2."""
    image = zone_plate(64, 2, max_frequency=20)
    at = torch.tensor([[0.3, -0.7], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    (slope,) = torch.autograd.grad((math.pi * 20 * at.square().sum(dim=1) / 2).sum(), at)
    assert image.wave is not None
    torch.testing.assert_close(image.wave(at), slope / math.pi)


def test_only_images_of_one_wave_have_contrast() -> None:
    plain = support.evaluate(Image(torch.rand(16, 16, 1)), lambda c: c[:, :1], dict)
    assert "wave/contrast" not in plain.metrics and "contrast" not in support.pictures(plain)
    waves = support.evaluate(zone_plate(32), lambda c: c[:, :1], dict)
    assert "wave/contrast" in waves.metrics and support.pictures(waves)["contrast"].dtype == np.uint8


def test_pictures_differ_by_contrast() -> None:
    for image in (zone_plate(64), grating(64)):
        target = image.pixels.numpy()
        first, second = (draw_mtf(curve(image, a * target), 16) for a in (1.0, 0.5))
        assert first.shape == second.shape and not np.array_equal(first, second)
