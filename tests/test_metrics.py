import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from coordnet.metrics.mae import mae
from coordnet.metrics.mean_squared_error import mean_squared_error
from coordnet.metrics.nmse import nmse
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim


def noisy(height: int, width: int, channels: int) -> tuple[Tensor, Tensor]:
    """A smooth picture with a flat corner, and the same with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / max(height, width)
    target = np.stack([0.5 + 0.4 * np.sin(9 * x + c) * np.cos(7 * y) for c in range(channels)], axis=-1)
    target[: height // 3, : width // 3] = 0.25
    prediction = (target + 0.2 * rng.standard_normal(target.shape)).clip(0, 1)
    return torch.from_numpy(prediction).float(), torch.from_numpy(target).float()


@pytest.mark.parametrize("error, decibel", [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.5, 6.0206)])
def test_psnr_of_a_constant_error(error: float, decibel: float) -> None:
    target = torch.zeros(4, 5, 3)
    # float32 holds the error to 6e-8 of itself, which is below 1e-6 dB.
    assert psnr(target + error, target) == pytest.approx(decibel, abs=1e-4)


def test_psnr_averages_squared_errors_over_all_values() -> None:
    prediction = torch.tensor([0.0, 0.2, 0.4, 0.0])
    assert psnr(prediction, torch.zeros(4)) == pytest.approx(-10 * math.log10(0.2 / 4), abs=1e-5)


def test_psnr_clips_the_prediction() -> None:
    target = torch.tensor([0.0, 1.0, 0.5])
    assert psnr(torch.tensor([-3.0, 7.0, 0.5]), target) == math.inf
    assert psnr(torch.tensor([-3.0, 7.0, 0.6]), target) == psnr(torch.tensor([0.0, 1.0, 0.6]), target)


def test_psnr_sums_in_double() -> None:
    # 10^6 errors of 1e-3: a float32 sum of that many equal squares would drift.
    assert psnr(torch.full((1000, 1000), 1e-3), torch.zeros(1000, 1000)) == pytest.approx(60, abs=1e-5)


def test_psnr_agrees_with_scikit_image() -> None:
    prediction, target = noisy(20, 30, 3)
    expected = peak_signal_noise_ratio(target.double().numpy(), prediction.double().numpy(), data_range=1)
    assert psnr(prediction, target) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shape", [(64, 48, 3), (40, 40, 1), (12, 30, 4), (11, 11, 1)])
def test_ssim_agrees_with_scikit_image(shape: tuple[int, int, int]) -> None:
    prediction, target = noisy(*shape)
    expected = structural_similarity(
        target.double().numpy(),
        prediction.double().numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=2,
    )
    # Variances are differences of float32 means of squares, off by some 1e-7, against the constant 0.03^2 = 9e-4:
    # a relative error of some 1e-4 in the worst window. scikit-image is given float64.
    assert ssim(prediction, target) == pytest.approx(expected, abs=3e-4)
    assert expected < 0.9


def test_ssim_of_a_picture_with_itself_is_one_and_of_its_negative_is_low() -> None:
    _, target = noisy(32, 32, 3)
    assert ssim(target, target) == pytest.approx(1, abs=1e-6)
    assert ssim(1 - target, target) < 0.5


def test_ssim_clips_the_prediction() -> None:
    target = torch.ones(16, 16, 1)
    assert ssim(target + 5, target) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(10, 64, 3), (64, 10, 3)])
def test_ssim_is_nan_below_its_window(shape: tuple[int, int, int]) -> None:
    assert math.isnan(ssim(torch.zeros(shape), torch.zeros(shape)))


def test_nmse_golden() -> None:
    target = torch.tensor([3.0, -4.0])
    assert nmse(target, target) == 0
    assert nmse(torch.zeros(2), target) == 1
    assert nmse(torch.tensor([3.0, 1.0]), target) == pytest.approx(1.0)
    assert nmse(torch.tensor([4.0, -4.0]), target) == pytest.approx(0.04)


def test_nmse_does_not_depend_on_the_scale() -> None:
    prediction, target = noisy(20, 20, 1)
    assert nmse(1e3 * prediction, 1e3 * target) == pytest.approx(nmse(prediction, target), rel=1e-5)


def test_absolute_and_squared_errors_are_means() -> None:
    prediction, target = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 6.0])
    assert mae(prediction, target) == pytest.approx(5 / 3)
    assert mean_squared_error(prediction, target) == pytest.approx(13 / 3)


def test_ssim_is_nan_of_values_that_are_no_image() -> None:
    assert math.isnan(ssim(torch.zeros(100, 3), torch.zeros(100, 3)))
