from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.evaluation.top_down import score_top_down
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim
from coordnet.rendering.camera import render_view
from coordnet.signals.scenes.posed_images import PosedImages, Views, alpha_composite

_Rendering = Mapping[str, Tensor]

# Longest side of a view in a picture, in pixels.
_MAX_SIDE = 512
# Numbers of training views that are scored, of views that are drawn, and of views whose band errors are computed.
_NUM_SCORED_TRAINING, _NUM_DRAWN, _NUM_COMPARED = 2, 3, 10


class ViewsEvaluator(Evaluator):
    """Renders held-out views of a scene, and two training views, and compares them with the pictures.

    Metrics are means over the views of a split, under "train/", "val/" and "test/": PSNR in dB, SSIM and the further
    metrics. The PSNR of each view of the last split is under "view_psnr/<number>". The score is "val/psnr" where there
    are validation views, else "train/psnr".

    The grid holds up to 10 views of the last split side by side as channels, so that band errors are computed view by
    view and averaged, in cycles across the longer side of the picture. A synthetic scene is compared from above, too
    (see `score_top_down`), and that view is then the grid.

    Media are "target | prediction | error" of up to 3 views and, where the forward map predicts both,
    "depth | opacity".
    """

    signal_type = PosedImages

    def evaluate(self, signal: PosedImages, field: FieldFunction, predict: Predict) -> EvaluationResult:
        metrics: dict[str, float] = {}
        kept: list[_Rendering] = []
        by_view: list[float] = []
        splits = {"train": signal.train.subsample(_NUM_SCORED_TRAINING), **signal.held_out}
        for split, views in splits.items():
            kept, by_view, similarity, extra = [], [], [], defaultdict(list)
            for i in range(len(views.images)):
                rendering = render_beside_target(views, i, signal.eval_background, predict)
                value, target = rendering["value"], rendering["target"]
                by_view.append(psnr(value, target))
                similarity.append(ssim(value, target))
                for name, number in self.extra_metrics(split, value, target).items():
                    extra[name].append(number)
                if i < _NUM_COMPARED:
                    kept.append(rendering)
            metrics |= {f"{split}/psnr": fmean(by_view), f"{split}/ssim": fmean(similarity)}
            metrics |= {name: fmean(numbers) for name, numbers in extra.items()}
        score = metrics.get("val/psnr", metrics["train/psnr"])
        metrics |= {f"view_psnr/{i:04}": number for i, number in enumerate(by_view)}
        grid = _views_as_channels(kept, max(signal.train.cameras.size) / 2)
        if signal.top_down:
            found, grid = score_top_down(signal.top_down, predict, signal.eval_background)
            metrics |= found
        return EvaluationResult(metrics, lambda: _draw(kept), score, grid)


def render_beside_target(views: Views, i: int, background: Tensor, predict: Predict) -> dict[str, Tensor]:
    """Render view `i` on a background (3,): the results of `render_view` and "target", (height, width, channels)."""
    target = alpha_composite(views.images[i], background)
    return {"target": target} | render_view(views.cameras, i, background, predict)


def _views_as_channels(renderings: Sequence[_Rendering], nyquist: float) -> GridComparison:
    prediction, target = (
        torch.cat([rendering[name] for rendering in renderings], dim=-1) for name in ("value", "target")
    )
    return GridComparison(prediction.clamp(0, 1).numpy(), target.numpy(), nyquist)


def _draw(renderings: Sequence[_Rendering]) -> dict[str, Media]:
    drawn = renderings[:: -(-len(renderings) // _NUM_DRAWN)]
    strips = [viz.comparison_strip(view["target"].numpy(), view["value"].numpy()) for view in drawn]
    media: dict[str, Media] = {"target | prediction | error": Picture(viz.vconcat(strips))}
    if "depth" in drawn[0] and "opacity" in drawn[0]:
        pictures = [_draw_geometry(view["depth"], view["opacity"]) for view in drawn]
        media["depth | opacity"] = Picture(viz.vconcat(pictures))
    return media


def _draw_geometry(depth: Tensor, opacity: Tensor) -> viz.Picture:
    """Depth, from the nearest (black) to the farthest point with opacity above 1/2, beside opacity.

    Args:
        depth: (height, width, 1).
        opacity: (height, width, 1) in [0, 1].
    """
    solid = depth[opacity > 0.5]
    low, high = solid.aminmax() if len(solid) else depth.aminmax()
    relative = (depth - low).clamp(min=0) * (opacity > 0.5)
    shown = [viz.shrink(values.numpy(), _MAX_SIDE) for values in (relative, opacity)]
    return viz.hconcat(
        [viz.apply_colormap(shown[0][..., 0], top=float(high - low) or 1.0), viz.to_rgb(shown[1])]
    )
