from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from skimage.measure import block_reduce
from support import evaluate, make_config, pictures
from torch import Tensor

from coordnet import viz
from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.fourier import positional
from coordnet.errors import UserError
from coordnet.fields.field import Field
from coordnet.forward_maps.point import PointEvaluation
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.multiscale import Multiscale, multiscale
from coordnet.training.batches import BatchSampler


def pixels(height: int = 16, width: int = 24, channels: int = 3) -> Tensor:
    return 0.8 * torch.rand(height, width, channels, generator=torch.Generator().manual_seed(0))


def unused(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    raise AssertionError("scales are scored on the field")


class Known:
    """The field that knows every pixel of every scale, and is off by 1 / (10 k) at scale k."""

    def __init__(self, picture: Tensor) -> None:
        self.picture = picture.numpy()
        self.height, self.width = picture.shape[:2]

    def __call__(self, coords: Tensor, covariance: Tensor) -> Tensor:
        assert covariance.shape == (len(coords), 2, 2)
        spacing = 2 / max(self.height, self.width)
        k = round(float(covariance[0, 0, 0] * 12) ** 0.5 / spacing)
        means = torch.from_numpy(block_reduce(self.picture, (k, k, 1), np.mean))
        low = torch.tensor([self.width, self.height]) * spacing / 2
        column, row = ((coords + low) / (k * spacing)).long().unbind(-1)
        return means[row, column] + 0.1 / k


@pytest.mark.parametrize("height, width", [(16, 24), (300, 264), (24, 16)])
def test_each_scale_is_scored_by_itself(height: int, width: int) -> None:
    picture = pixels(height, width)[: height // 8 * 8]
    evaluation = evaluate(Multiscale(picture, (1, 4), (2, 8)), Known(picture), unused)
    # An error of 1 / (10 k) everywhere is 20 + 20 log10(k) dB; float32 leaves some 1e-7 / 0.01 of it uncertain.
    decibels = {k: 20 + 20 * np.log10(k) for k in (1, 2, 4, 8)}
    expected = {f"scale_{k}/psnr": value for k, value in decibels.items()}
    expected |= {"train/psnr": (decibels[1] + decibels[4]) / 2, "test/psnr": (decibels[2] + decibels[8]) / 2}
    assert evaluation.metrics == pytest.approx(expected, abs=1e-3)
    assert evaluation.score == evaluation.metrics["train/psnr"]


def test_without_a_held_out_scale_there_is_no_test() -> None:
    evaluation = evaluate(Multiscale(pixels(), (2,), ()), Known(pixels()), unused)
    assert set(evaluation.metrics) == {"train/psnr", "scale_2/psnr"}


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_an_observation_is_the_mean_of_a_block_at_its_center(factor: int) -> None:
    picture = pixels()
    batch = BatchSampler(Multiscale(picture, (factor,), ()), None, 0)(0)
    means = block_reduce(picture.numpy(), (factor, factor, 1), np.mean)
    centers = block_reduce(Domain((24, 16)).grid().numpy(), (factor, factor, 1), np.mean)
    count = means.shape[0] * means.shape[1]
    # Sums of up to 64 values in another order.
    np.testing.assert_allclose(batch["value"][:count], means.reshape(count, -1), atol=1e-6)
    np.testing.assert_allclose(batch["coords"][:count], centers.reshape(count, -1), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 4])
def test_the_covariance_is_that_of_a_point_drawn_uniformly_from_the_pixel(factor: int) -> None:
    signal = Multiscale(pixels(), (factor,), ())
    batch = signal.get_batch(torch.tensor([5]))
    rng = np.random.default_rng(0)
    side = factor * signal.domain.spacing[0]
    points = batch["coords"].numpy() + side * (rng.random((1_000_000, 2)) - 0.5)
    # The variance of a million uniform draws has a relative standard deviation of 0.9e-3.
    np.testing.assert_allclose(batch["covariance"][0], np.cov(points.T), atol=5e-3 * side**2 / 12)
    assert batch["covariance"].shape == (1, 2, 2)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_scale_keeps_the_mean_of_the_image(channels: int) -> None:
    picture = pixels(channels=channels)
    signal = Multiscale(picture, (1, 2, 4), (8,))
    for level in signal.levels.values():
        # Means of means in float32.
        torch.testing.assert_close(level.values.mean(0), picture.mean(dim=(0, 1)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("factors", [(1, 4), (2, 3, 1), (4, 8)])
def test_scales_are_drawn_equally_often_and_so_are_the_pixels_of_each(factors: tuple[int, ...]) -> None:
    signal = Multiscale(pixels(24, 48), factors, ())
    batch = signal.get_batch(torch.arange(signal.num_observations))
    width = (batch["covariance"][:, 0, 0] * 12).sqrt() / signal.domain.spacing[0]
    # Widths in whole pixels, from float32.
    found, counts = width.round().unique(return_counts=True)
    assert found.tolist() == sorted(factors) and len(set(counts.tolist())) == 1
    for factor in factors:
        _, often = batch["coords"][width.round() == factor].unique(dim=0, return_counts=True)
        assert often.tolist() == [factor**2] * (24 * 48 // factor**2)


def test_the_training_nyquist_is_that_of_the_finest_trained_scale() -> None:
    assert max(Multiscale(pixels(), (4, 2), (1, 8)).domain.nyquist) == 24 / 2 / 2
    assert max(Multiscale(pixels(), (1, 4), (8,)).domain.nyquist) == 24 / 2


def test_the_image_is_cut_to_whole_blocks_of_every_scale() -> None:
    signal = Multiscale(pixels(29, 37), (2, 3), (4,))
    assert signal.domain.size == (36, 24)
    for factor in (2, 3, 4):
        first = pixels(29, 37)[:factor, :factor].mean(dim=(0, 1))
        # Means in float32, summed in another order.
        torch.testing.assert_close(signal.levels[factor].values[0], first, atol=1e-6, rtol=0)


def test_only_an_encoding_that_integrates_tells_the_scales_apart() -> None:
    signal = Multiscale(pixels(), (1, 4), ())
    batch = signal.get_batch(torch.arange(64))
    wide = batch | {"covariance": 4 * batch["covariance"]}
    for integrates in (False, True):
        encoding = positional(signal.domain, integrates=integrates)
        field = Field(encoding, Mlp(encoding.out_dim, 3, depth=1, width=16), signal.value_range)
        same = torch.equal(PointEvaluation()(field, batch)["value"], PointEvaluation()(field, wide)["value"])
        assert same != integrates


def test_the_picture_has_a_row_of_three_per_scale_all_of_one_size() -> None:
    picture = pixels()
    shown = pictures(evaluate(Multiscale(picture, (1, 4), (2, 8)), Known(picture), unused))
    strip = shown["target | prediction | error"]
    assert strip.shape == (4 * 16 + 3 * viz.GAP, 3 * 24 + 2 * viz.GAP, 3) and strip.dtype == np.uint8
    assert np.array_equal(strip[:16, :24], viz.to_rgb(picture.numpy()))
    coarse = strip[-16:, :24]
    assert np.array_equal(coarse, coarse[::8, ::8].repeat(8, axis=0).repeat(8, axis=1))


def test_shipped_config_states_the_defaults() -> None:
    built, default = build(make_config("signal=multiscale")["signal"], "signal"), multiscale()
    assert built.levels.keys() == default.levels.keys() == {1, 2, 4, 8}
    assert (built.factors, built.eval_factors) == (default.factors, default.eval_factors) == ([1, 4], [2, 8])
    assert torch.equal(built.levels[2].values, default.levels[2].values)
    assert built.domain.size == (512, 512)


def test_a_picture_of_the_users_takes_the_place_of_the_photograph(tmp_path: Path) -> None:
    gray = (pixels(16, 24, 1) * 255).byte()
    Pillow.fromarray(gray[..., 0].numpy()).save(tmp_path / "mine.png")
    signal = multiscale(path=str(tmp_path / "mine.png"))
    assert signal.channels == 1
    assert torch.equal(signal.levels[1].values, gray.reshape(-1, 1) / 255)
    assert multiscale(path=str(tmp_path / "mine.png"), resize=(8, 8)).domain.size == (8, 8)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"factors": []}, r"factors=\[\] must hold at least one"),
        ({"factors": [0]}, r"factors=\[0\] must be a list of whole numbers from 1 to 2048"),
        ({"factors": [2, 2]}, r"factors=\[2, 2\] must hold different"),
        ({"eval_factors": [-1]}, r"eval_factors=\[-1\] must be a list of"),
        ({"eval_factors": [4]}, r"eval_factors=\[4\] must hold none of the trained scales, factors=\[1, 4\]"),
        (
            {"factors": [7, 11]},
            r"resize=\[24, 16\] must be .* at least 616, the common multiple",
        ),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Multiscale(pixels(), **options)
    assert "\n" not in str(caught.value)


def test_pictures_beyond_2048_pixels_a_side_are_refused() -> None:
    with pytest.raises(UserError, match=r"resize=\[2056, 8\] must be at most 2048 pixels a side"):
        Multiscale(torch.zeros(8, 2056, 1))


def test_unknown_photographs_and_sizes_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"name='nobody' must be one of"):
        multiscale("nobody")
    with pytest.raises(UserError, match=r"^resize="):
        multiscale(resize=(0, 8))


def test_the_training_grid_is_the_finest_trained_scale() -> None:
    picture = torch.rand(16, 24, 3, generator=torch.Generator().manual_seed(0))
    grid = Multiscale(picture, (2, 4), (8,)).training_grid()
    assert grid.shape == (8, 12, 3)
    torch.testing.assert_close(grid[0, 1], picture[0:2, 2:4].mean(dim=(0, 1)))
