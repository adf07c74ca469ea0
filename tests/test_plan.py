import math

import pytest
import torch
from torch import Tensor

from coordnet.signals.base import Predict
from coordnet.signals.synthetic.scenes import SCENES, make
from coordnet.signals.synthetic.synthetic_scene import known_scene
from coordnet.signals.synthetic.top_down import SIZE, plan

WHITE = torch.ones(3)


def exact(name: str, lift: float = 0.0) -> Predict:
    """What a perfect field predicts for rays, at depths too large by `lift`."""

    def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        hits = make(name, 8.0, 0).trace(batch["origins"], batch["directions"])
        value = torch.where(hits.hit[:, None], hits.color, batch["background"])
        depth = torch.where(hits.hit, hits.distance + lift, 0)
        return {"value": value, "depth": depth[:, None]}

    return predict


@pytest.mark.parametrize("name", SCENES)
def test_a_perfect_field_scores_perfectly(name: str) -> None:
    metrics, samples = plan(make(name, 8.0, 0)).score(exact(name), WHITE)
    assert metrics["plan/psnr"] > 100
    assert metrics["plan/contrast"] == pytest.approx(1)
    assert metrics["plan/depth_error"] == 0
    assert samples.nyquist == SIZE / 2 and samples.target.shape == (SIZE, SIZE, 3)


def test_red_is_a_wave_along_x_and_green_along_y_whose_rows_run_down() -> None:
    found = plan(make("checker", 5.0, 0))
    place = (2 * torch.arange(SIZE) + 1) / SIZE - 1
    wave = 0.5 + 0.5 * torch.cos(math.pi * 5 * place)
    middle = SIZE // 2
    met = found.depth[..., 0].isfinite()
    # Float32 places, times the phase's slope.
    torch.testing.assert_close(found.color[middle, :, 0][met[middle]], wave[met[middle]], atol=1e-4, rtol=0)
    down = wave.flip(0)
    torch.testing.assert_close(
        found.color[:, middle, 1][met[:, middle]], down[met[:, middle]], atol=1e-4, rtol=0
    )


def test_the_ball_is_nearest_to_the_roof_in_the_middle() -> None:
    depth = plan(make("checker", 5.0, 0)).depth[..., 0]
    assert depth.min() == depth[SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1].min()
    # The ball's top is at 0.6, the disc at -0.6, the roof at 1.
    assert depth.min() == pytest.approx(0.4, abs=1e-3)
    assert depth[depth.isfinite()].max() == pytest.approx(1.6)


def test_gray_has_no_contrast_and_a_wrong_depth_is_told() -> None:
    known = plan(make("checker", 8.0, 0))

    def gray(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        origins = batch["origins"]
        return {"value": torch.full_like(origins, 0.5), "depth": origins[:, :1]}

    assert known.score(gray, WHITE)[0]["plan/contrast"] == pytest.approx(0, abs=1e-6)
    assert known.score(exact("checker", lift=0.25), WHITE)[0]["plan/depth_error"] == pytest.approx(
        0.25, abs=1e-6
    )


def test_a_scene_is_scored_by_its_plan_and_view_by_view() -> None:
    signal = known_scene("checker", size=16, views=2, held_out=2, supersample=1)
    found = signal.evaluate(lambda coords: coords, exact("checker"))
    assert found.metrics["plan/psnr"] > 100
    views = [found.metrics[f"view_psnr/{i:04}"] for i in range(2)]
    # Pictures are rounded to bytes; the mean over views is val/psnr.
    assert sum(views) / 2 == pytest.approx(found.metrics["val/psnr"]) and min(views) > 50
    assert found.samples is not None and found.samples.prediction.shape == (SIZE, SIZE, 3)
