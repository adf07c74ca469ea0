import math

import numpy as np
import pytest
import torch
from support import evaluate, pictures
from torch import Tensor

from coordnet.errors import UserError
from coordnet.evaluation.base import EvaluationResult
from coordnet.forward_maps.point import PointEvaluation
from coordnet.signals.images import image as module
from coordnet.signals.images.image import Image, image_from_array, skimage_image
from coordnet.training.batches import BatchSampler

SIZES = [(8, 8), (9, 7), (5, 12)]
STRIDES = [1, 2, 3, 4, 5]


def picture(height: int, width: int, channels: int = 3) -> Tensor:
    shape = (height, width, channels)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def cell(image: Image, coords: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of coordinates: their distance from the box's corner in cells."""
    corner = torch.tensor(image.domain.extent)
    column, row = ((coords + corner) / image.domain.spacing[0] - 0.5).unbind(-1)
    assert (row - row.round()).abs().max() < 1e-4 and (column - column.round()).abs().max() < 1e-4
    return row.round().long(), column.round().long()


def score(image: Image, wrong: Tensor | None = None) -> EvaluationResult:
    """The evaluation of the true image, plus `wrong` (height, width) at each pixel."""
    truth = image.values(image.pixels)

    def field(coords: Tensor) -> Tensor:
        row, column = cell(image, coords)
        value = truth[row, column]
        return value if wrong is None else value + wrong[row, column, None]

    return evaluate(image, field, lambda batch: PointEvaluation()(field, batch))


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("train_stride", STRIDES)
def test_observes_each_training_pixel_once_at_its_own_coordinate(
    shape: tuple[int, int], train_stride: int
) -> None:
    image = Image(picture(*shape), train_stride)
    batch = BatchSampler(image, None, 0)(0)
    row, column = cell(image, batch["coords"])
    expected = [(y, x) for y in range(0, shape[0], train_stride) for x in range(0, shape[1], train_stride)]
    assert sorted(zip(row.tolist(), column.tolist(), strict=True)) == expected
    assert image.num_observations == len(expected)
    assert torch.equal(batch["value"], image.pixels[row, column].float() / 255)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("train_stride", STRIDES)
def test_every_pixel_counts_in_exactly_one_split(shape: tuple[int, int], train_stride: int) -> None:
    """A mistake at one pixel shows in one of train, val and test, and in no other."""
    image = Image(torch.full((*shape, 1), 0.5), train_stride)
    counted = dict.fromkeys(("train", "val", "test"), 0)
    for y in range(shape[0]):
        for x in range(shape[1]):
            wrong = torch.zeros(shape)
            wrong[y, x] = 0.5
            metrics = score(image, wrong).metrics
            (split,) = [s for s in counted if metrics.get(f"{s}/psnr", math.inf) < math.inf]
            counted[split] += 1
            assert (split == "train") == (y % train_stride == 0 and x % train_stride == 0)
            assert (split == "test") == (
                train_stride > 1 and y % train_stride == x % train_stride == train_stride // 2
            )
    assert counted["train"] == image.num_observations


@pytest.mark.parametrize("train_stride", STRIDES)
def test_the_true_image_is_perfect(train_stride: int) -> None:
    evaluation = score(Image(picture(64, 61), train_stride))
    for name, value in evaluation.metrics.items():
        assert value == (math.inf if "psnr" in name else pytest.approx(1, abs=1e-5))
    assert evaluation.score == math.inf


def test_metrics_of_a_constant_error() -> None:
    image = Image(torch.full((24, 24, 1), 0.5), train_stride=2)
    evaluation = score(image, torch.full((24, 24), 0.1))
    for name, value in evaluation.metrics.items():
        if "psnr" in name:
            assert value == pytest.approx(20, abs=1e-4)
    assert set(evaluation.metrics) == {"train/psnr", "val/psnr", "test/psnr", "test/psnr_all", "test/ssim"}


def test_test_pixels_do_not_move_the_score() -> None:
    image = Image(torch.full((12, 12, 1), 0.5), train_stride=2)
    wrong = torch.full((12, 12), 0.01)
    before = score(image, wrong)
    wrong[1::2, 1::2] = 0.4
    after = score(image, wrong)
    assert after.score == before.score == before.metrics["val/psnr"]
    assert after.metrics["test/psnr"] < before.metrics["test/psnr"] - 20


def test_without_a_hold_out_all_is_training() -> None:
    evaluation = score(Image(picture(16, 16), train_stride=1), torch.full((16, 16), 0.1))
    assert set(evaluation.metrics) == {"train/psnr", "train/ssim"}
    assert evaluation.score == evaluation.metrics["train/psnr"]


def test_pixels_are_kept_as_bytes_and_scaled_per_batch() -> None:
    image = Image(torch.tensor([[[0], [51], [255]]], dtype=torch.uint8))
    assert image.pixels.dtype == torch.uint8
    value = image.get_batch(torch.arange(3))["value"]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value[:, 0], torch.tensor([0, 0.2, 1]))


def test_domain_is_that_of_the_training_samples() -> None:
    image = Image(picture(30, 40), train_stride=4)
    assert image.domain.size == (40, 30)
    assert max(image.domain.nyquist) == 5


@pytest.mark.parametrize("shape", [(21, 40), (37, 11), (10, 10), (64, 64)])
@pytest.mark.parametrize("train_stride", [1, 2, 3, 5])
def test_large_images_are_scored_on_a_window_that_starts_on_a_training_pixel(
    shape: tuple[int, int], train_stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SCORED_WHOLE", 16)
    monkeypatch.setattr(module, "WINDOW", 16)
    image = Image(torch.full((*shape, 1), 0.5), train_stride)
    for part, n in zip(image.window(), shape, strict=True):
        assert part.start % train_stride == 0
        assert part.stop - part.start == min(n, 16)
        assert abs((part.start + part.stop) / 2 - n / 2) <= train_stride + 0.5
    # Mistakes at the training pixels alone show in the training error alone.
    wrong = torch.zeros(shape)
    wrong[::train_stride, ::train_stride] = 0.1
    metrics = score(image, wrong).metrics
    assert metrics["train/psnr"] == pytest.approx(20, abs=1e-4)
    if train_stride > 1:
        assert metrics["val/psnr"] == metrics["test/psnr"] == math.inf


def test_picture_shows_target_prediction_and_error() -> None:
    pixels = picture(20, 30)
    (strip,) = pictures(score(Image(pixels))).values()
    assert strip.dtype == np.uint8 and strip.shape[0] == 20 and strip.shape[2] == 3
    assert np.array_equal(strip[:, :30], pixels.numpy())


@pytest.mark.parametrize("train_stride", [0, -1, 8])
def test_impossible_hold_outs_are_refused(train_stride: int) -> None:
    with pytest.raises(UserError, match=rf"^train_stride={train_stride} [^\n]* 7 pixels$"):
        Image(picture(7, 20), train_stride)


def test_arrays_of_two_or_three_axes_make_images() -> None:
    rng = np.random.default_rng(0)
    for shape in ((4, 5), (4, 5, 1), (4, 5, 3)):
        values = rng.random(shape)
        image = image_from_array(values, train_stride=1)
        assert image.pixels.dtype == torch.float32
        assert image.pixels.numpy() == pytest.approx(values.reshape(4, 5, -1), abs=1e-7)


def test_scikit_image_pictures_go_by_name() -> None:
    import skimage

    image = skimage_image("astronaut", train_stride=2)
    assert np.array_equal(image.pixels.numpy(), skimage.data.astronaut())
    assert skimage_image("astronaut", crop=(10, 20, 60, 90)).domain.size == (50, 70)
    with pytest.raises(UserError, match=r"^name='astronut' must be one of [^\n]*astronaut"):
        skimage_image("astronut")
