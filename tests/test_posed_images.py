from pathlib import Path

import pytest
import torch
from scene_files import picture, write_scene, write_split
from torch import Tensor

from coordnet.evaluation.base import EvaluationResult, Metric, Predict
from coordnet.evaluation.media import Picture
from coordnet.evaluation.views import ViewsEvaluator
from coordnet.metrics.psnr import psnr
from coordnet.signals.scenes.blender import blender
from coordnet.signals.scenes.posed_images import PosedImages, Views, alpha_composite
from coordnet.training.batches import BatchSampler

Batch = dict[str, Tensor]


@pytest.fixture
def signal(tmp_path: Path) -> PosedImages:
    return blender(str(write_scene(tmp_path, size=(16, 12))))


def unused(coords: Tensor) -> Tensor:
    raise AssertionError("views are scored on what is rendered")


def gray(batch: Batch) -> Batch:
    return {"value": torch.full_like(batch["origins"], 0.5)}


def evaluate(signal: PosedImages, predict: Predict, **metrics: Metric) -> EvaluationResult:
    return ViewsEvaluator(metrics).evaluate(signal, unused, predict)


class Truth:
    """Predicts the color of a ray by looking up its pixel, as a perfect field would render the pixel."""

    def __init__(self, signal: PosedImages) -> None:
        self.views = [signal.train, *signal.held_out.values()]

    def __call__(self, batch: Batch) -> Batch:
        return {"value": torch.stack([self.look_up(*ray) for ray in zip(*batch.values(), strict=True)])}

    def look_up(self, origin: Tensor, direction: Tensor, background: Tensor) -> Tensor:
        for images, cameras, _ in self.views:
            for i in torch.arange(len(cameras)):
                if torch.equal(cameras.poses[i, :, 3], origin):
                    column, row = cameras.project((origin + direction)[None], i[None])[0].long()
                    return alpha_composite(images[i, row, column], background)
        raise AssertionError("a ray from nowhere")


VIEWS = {"view_psnr/0000", "view_psnr/0001"}


def test_an_observation_is_the_ray_and_the_color_of_a_pixel(signal: PosedImages) -> None:
    batch = signal.get_batch(torch.tensor([0, 16 * 12 * 2 + 16 * 3 + 5]))
    origins, directions = signal.train.cameras.rays(
        torch.tensor([0, 2]), torch.tensor([[0.5, 0.5], [5.5, 3.5]])
    )
    torch.testing.assert_close(batch["origins"], origins)
    torch.testing.assert_close(batch["directions"], directions)
    for value, pixel in zip(
        batch["value"], (signal.train.images[0, 0, 0], signal.train.images[2, 3, 5]), strict=True
    ):
        red, green, blue, alpha = (pixel / 255).tolist()
        expected = [alpha * color + 1 - alpha for color in (red, green, blue)]
        torch.testing.assert_close(value, torch.tensor(expected))


@pytest.mark.parametrize("background, value", [("white", 1.0), ("black", 0.0)])
def test_transparent_pixels_show_the_background(tmp_path: Path, background: str, value: float) -> None:
    write_split(tmp_path, "train", [picture(0) * 0])
    batch = blender(str(tmp_path), background=background).get_batch(torch.arange(48))  # type: ignore[arg-type]
    assert (batch["value"] == value).all() and (batch["background"] == value).all()


def test_random_backgrounds_are_uniform_and_a_function_of_the_pixel(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [picture(i, (64, 64)) * 0 for i in range(2)])
    signal = blender(str(tmp_path), background="random")
    batch = signal.get_batch(torch.arange(signal.num_observations))
    torch.testing.assert_close(batch["value"], batch["background"])
    again = signal.get_batch(torch.tensor([5000]))["background"]
    torch.testing.assert_close(again[0], batch["background"][5000])
    # The lattice is even: the mean of 8192 random draws has standard deviation 0.003.
    assert (batch["background"].mean(dim=0) - 0.5).abs().max() < 2e-3
    assert torch.corrcoef(batch["background"].T).triu(1).abs().max() < 0.05


def test_batches_are_functions_of_seed_and_step(signal: PosedImages) -> None:
    first, second = (BatchSampler(signal, 32, seed=1)(7) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_truth_scores_perfectly(signal: PosedImages) -> None:
    metrics = evaluate(signal, Truth(signal)).metrics
    assert metrics["val/psnr"] == metrics["train/psnr"] == float("inf")
    assert metrics["val/ssim"] == pytest.approx(1)


def test_scores_are_means_over_views(signal: PosedImages) -> None:
    evaluation = evaluate(signal, gray)
    views = signal.held_out["val"]
    expected = [
        psnr(torch.full((12, 16, 3), 0.5), alpha_composite(image, torch.ones(3))) for image in views.images
    ]
    assert evaluation.metrics["val/psnr"] == pytest.approx(sum(expected) / 2)
    assert evaluation.score == evaluation.metrics["val/psnr"]
    assert [evaluation.metrics[f"view_psnr/{i:04}"] for i in range(2)] == pytest.approx(expected)
    assert set(evaluation.metrics) == {"train/psnr", "train/ssim", "val/psnr", "val/ssim", *VIEWS}


def test_further_metrics_are_means_over_the_views_of_each_split(signal: PosedImages) -> None:
    def error(prediction: Tensor, target: Tensor) -> float:
        return float((prediction - target).abs().mean())

    metrics = evaluate(signal, gray, mae=error).metrics
    views = signal.held_out["val"]
    expected = [(0.5 - alpha_composite(image, torch.ones(3))).abs().mean().item() for image in views.images]
    assert metrics["val/mae"] == pytest.approx(sum(expected) / 2)
    assert set(metrics) >= {"train/mae", "val/mae"}


def test_the_score_is_never_taken_on_test_views(signal: PosedImages) -> None:
    only_test = PosedImages(signal.train, test=signal.held_out["val"])
    evaluation = evaluate(only_test, gray)
    assert "test/psnr" in evaluation.metrics and "val/psnr" not in evaluation.metrics
    assert evaluation.score == evaluation.metrics["train/psnr"]


def test_views_are_compared_by_frequency_as_channels(signal: PosedImages) -> None:
    grid = evaluate(signal, gray).grid
    assert grid is not None and grid.nyquist == 8
    assert grid.prediction.shape == grid.target.shape == (12, 16, 6)
    torch.testing.assert_close(
        torch.from_numpy(grid.target[..., 3:]),
        alpha_composite(signal.held_out["val"].images[1], torch.ones(3)),
    )


def test_pictures_show_views_and_geometry(signal: PosedImages) -> None:
    def predict(batch: Batch) -> Batch:
        opacity = (batch["directions"][:, 2:] < -0.2).float()
        return gray(batch) | {"depth": 2 - batch["directions"][:, 2:], "opacity": opacity}

    media = evaluate(signal, predict).make_media()
    # Two views have 12 rows and a gap of 4; the rows hold three and two pictures of 16 columns.
    assert {name: each.pixels.shape for name, each in media.items() if isinstance(each, Picture)} == {
        "target | prediction | error": (28, 56, 3),
        "depth | opacity": (28, 36, 3),
    }
    assert list(evaluate(signal, gray).make_media()) == ["target | prediction | error"]


def test_without_anything_held_out_the_views_trained_on_are_shown(signal: PosedImages) -> None:
    evaluation = evaluate(PosedImages(signal.train), gray)
    assert set(evaluation.metrics) == {"train/psnr", "train/ssim", *VIEWS}
    assert evaluation.make_media()


def test_no_more_than_ten_views_are_kept(signal: PosedImages) -> None:
    views = signal.held_out["val"]
    index = torch.arange(12) % 2
    many = Views(views.images[index], views.cameras[index], ("a",) * 12)
    evaluation = evaluate(PosedImages(signal.train, many), gray)
    assert "view_psnr/0011" in evaluation.metrics
    assert evaluation.grid is not None and evaluation.grid.target.shape == (12, 16, 30)


def test_the_fingerprint_follows_pixels_and_poses(signal: PosedImages) -> None:
    images, cameras, names = signal.train
    other = images.clone()
    other[0, 0, 0, 0] ^= 1
    prints = {
        PosedImages(signal.train).fingerprint(),
        PosedImages(Views(other, cameras, names)).fingerprint(),
        PosedImages(signal.train.normalized_to(torch.zeros(3), 2.0)).fingerprint(),
    }
    assert len(prints) == 3 and PosedImages(signal.train).fingerprint() in prints


def test_a_subsample_of_views_is_evenly_spaced(signal: PosedImages) -> None:
    assert torch.equal(signal.train.subsample(2).images, signal.train.images[[0, 1]])
    assert torch.equal(signal.train.subsample(9).images, signal.train.images)
