from collections.abc import Iterable
from functools import partial

import numpy as np
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, in_chunks
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.metrics.psnr import psnr
from coordnet.signals.images.multiscale import Multiscale


class MultiscaleEvaluator(Evaluator):
    """Scores an image by its PSNR at each scale, under names such as "scale_4/psnr".

    "train/psnr" and "test/psnr" are the means over the scales that are trained on and over the scales that are only
    evaluated. The image has no validation samples, so the score is "train/psnr".
    """

    signal_type = Multiscale

    def evaluate(self, signal: Multiscale, field: FieldFunction, predict: Predict) -> EvaluationResult:
        scores: dict[int, float] = {}
        pairs: dict[int, tuple[Tensor, Tensor]] = {}
        for factor, level in signal.levels.items():
            values = in_chunks(partial(_query_blocks, field, level.covariance), level.domain.grid())
            pairs[factor] = values, level.values.reshape(values.shape)
            scores[factor] = psnr(*pairs[factor])
        splits = {"train": signal.factors, "test": signal.eval_factors}
        splits = {split: factors for split, factors in splits.items() if factors}
        metrics = {
            f"{split}/psnr": _mean(scores[factor] for factor in factors) for split, factors in splits.items()
        }
        metrics |= {f"scale_{factor}/psnr": score for factor, score in scores.items()}
        for split, factors in splits.items():
            extra = [self.extra_metrics(split, *pairs[factor]) for factor in factors]
            metrics |= {name: _mean(each[name] for each in extra) for name in extra[0]}

        def make_media() -> dict[str, Media]:
            strips = [
                viz.comparison_strip(_enlarge(target, factor), _enlarge(values, factor))
                for factor, (values, target) in pairs.items()
            ]
            return {"target | prediction | error": Picture(viz.vconcat(strips))}

        finest = min(signal.levels)
        values, target = pairs[finest]
        grid = GridComparison(
            values.clamp(0, 1).numpy(),
            target.numpy(),
            nyquist=max(signal.levels[finest].domain.resolution) / 2,
        )
        return EvaluationResult(metrics, make_media, metrics["train/psnr"], grid)


def _query_blocks(field: FieldFunction, covariance: Tensor, coords: Tensor) -> Tensor:
    """The field at coords (n, 2), all with the same covariance (2, 2)."""
    return field(coords, covariance.expand(len(coords), 2, 2))


def _enlarge(values: Tensor, factor: int) -> viz.Values:
    """The image (height, width, channels) with each pixel as a block of factor x factor pixels."""
    return values.repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1).numpy()


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
