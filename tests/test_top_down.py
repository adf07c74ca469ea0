import math

import pytest
import torch
from torch import Tensor

from coordnet.evaluation.base import Predict
from coordnet.evaluation.top_down import score_top_down
from coordnet.evaluation.views import ViewsEvaluator
from coordnet.signals.synthetic.scenes import SCENES, build_scene
from coordnet.signals.synthetic.synthetic_scene import synthetic_scene
from coordnet.signals.synthetic.top_down import TOP_DOWN_SIZE, trace_top_down

WHITE = torch.ones(3)


def exact(name: str, lift: float = 0.0) -> Predict:
    """The prediction of a perfect field for rays, at depths too large by `lift`."""

    def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        hits = build_scene(name, 8.0, 0).trace(batch["origins"], batch["directions"])
        value = torch.where(hits.hit[:, None], hits.color, batch["background"])
        depth = torch.where(hits.hit, hits.distance + lift, 0)
        return {"value": value, "depth": depth[:, None]}

    return predict


@pytest.mark.parametrize("name", SCENES)
def test_a_perfect_field_scores_perfectly(name: str) -> None:
    metrics, samples = score_top_down(trace_top_down(build_scene(name, 8.0, 0)), exact(name), WHITE)
    assert metrics["top_down/psnr"] > 100
    assert metrics["top_down/contrast"] == pytest.approx(1)
    assert metrics["top_down/depth_error"] == 0
    assert samples.nyquist == TOP_DOWN_SIZE / 2 and samples.target.shape == (TOP_DOWN_SIZE, TOP_DOWN_SIZE, 3)


def test_red_is_a_wave_along_x_and_green_along_y_whose_rows_run_down() -> None:
    found = trace_top_down(build_scene("checker", 5.0, 0))
    place = (2 * torch.arange(TOP_DOWN_SIZE) + 1) / TOP_DOWN_SIZE - 1
    wave = 0.5 + 0.5 * torch.cos(math.pi * 5 * place)
    middle = TOP_DOWN_SIZE // 2
    met = found.depth[..., 0].isfinite()
    # The tolerance is the float32 error of positions, times the phase's slope.
    torch.testing.assert_close(found.color[middle, :, 0][met[middle]], wave[met[middle]], atol=1e-4, rtol=0)
    down = wave.flip(0)
    torch.testing.assert_close(
        found.color[:, middle, 1][met[:, middle]], down[met[:, middle]], atol=1e-4, rtol=0
    )


def test_the_ball_is_nearest_to_the_roof_in_the_middle() -> None:
    depth = trace_top_down(build_scene("checker", 5.0, 0)).depth[..., 0]
    middle = slice(TOP_DOWN_SIZE // 2 - 1, TOP_DOWN_SIZE // 2 + 1)
    assert depth.min() == depth[middle, middle].min()
    # The ball's top is at 0.6, the disc at -0.6, the roof at 1.
    assert depth.min() == pytest.approx(0.4, abs=1e-3)
    assert depth[depth.isfinite()].max() == pytest.approx(1.6)


def test_gray_has_no_contrast_and_a_wrong_depth_has_an_error() -> None:
    known = trace_top_down(build_scene("checker", 8.0, 0))

    def gray(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        origins = batch["origins"]
        return {"value": torch.full_like(origins, 0.5), "depth": origins[:, :1]}

    assert score_top_down(known, gray, WHITE)[0]["top_down/contrast"] == pytest.approx(0, abs=1e-6)
    assert score_top_down(known, exact("checker", lift=0.25), WHITE)[0][
        "top_down/depth_error"
    ] == pytest.approx(0.25, abs=1e-6)


def test_a_scene_is_scored_from_above_and_view_by_view() -> None:
    signal = synthetic_scene("checker", size=16, num_views=2, num_eval_views=2, supersample=1)
    found = ViewsEvaluator().evaluate(signal, lambda coords: coords, exact("checker"))
    assert found.metrics["top_down/psnr"] > 100
    views = [found.metrics[f"view_psnr/{i:04}"] for i in range(2)]
    # Pictures are rounded to bytes. The mean over views is val/psnr.
    assert sum(views) / 2 == pytest.approx(found.metrics["val/psnr"]) and min(views) > 50
    assert found.grid is not None and found.grid.prediction.shape == (TOP_DOWN_SIZE, TOP_DOWN_SIZE, 3)
