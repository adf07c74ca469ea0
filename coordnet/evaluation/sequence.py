import math

import numpy as np
import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, in_chunks
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.signals.lines.sequence import PositionSequence

# Number of points between two neighboring positions.
_POINTS_PER_POSITION = 8
_MAX_DOTS = 64
_NAME = "target | prediction"


class SequenceEvaluator(Evaluator):
    """Scores values at the positions of a sequence, between the positions, and past their end.

    All metrics are mean squared errors divided by the mean square of the N values, which is 1, not by the energy of
    the points that the error is computed on: 0 is perfect, and the best constant scores 1 at the positions.

    - "train/nmse" is the error at the positions.
    - "interpolation/nmse" is the error at 8 points between each two neighbors, at 1/16, 3/16, ..., 15/16 of the way. No
      position is among these points.
    - "extrapolation/nmse" is the error at the positions N, N + 1, ... past the end.

    The score is the negative "train/nmse".
    """

    signal_type = PositionSequence

    def evaluate(self, signal: PositionSequence, field: FieldFunction, predict: Predict) -> EvaluationResult:
        whole = torch.arange(signal.num_scored).double()
        fine = (torch.arange((signal.num_scored - 1) * _POINTS_PER_POSITION) + 0.5) / _POINTS_PER_POSITION
        position = torch.cat([whole, fine.double()])
        target = signal.reference(position)
        prediction = in_chunks(field, signal.domain.index_to_coords(position[:, None]))
        error = ((prediction - target).double() ** 2)[:, 0]
        inside = position <= signal.num_observations - 1
        on_sample = position == position.floor()
        splits = {
            "train": inside & on_sample,
            "interpolation": inside & ~on_sample,
            "extrapolation": ~inside & on_sample,
        }
        metrics = {f"{name}/nmse": float(error[part].mean()) for name, part in splits.items()}
        score = -metrics["train/nmse"] if prediction.isfinite().all() else math.nan
        for name, part in splits.items():
            metrics |= self.extra_metrics(name, prediction[part], target[part])

        def make_media() -> dict[str, Media]:
            between = slice(len(whole), None)
            return {_NAME: _curve_picture(signal, fine, target[between, 0], prediction[between, 0])}

        at_positions = prediction[: signal.num_observations].numpy()
        grid = GridComparison(at_positions, signal.values.numpy(), max(signal.domain.resolution) / 2)
        return EvaluationResult(metrics, make_media, score, grid)


def _curve_picture(signal: PositionSequence, position: Tensor, target: Tensor, prediction: Tensor) -> Picture:
    """Curves over positions (n,); a prediction far outside the range of the target is cut off."""
    low, high = (float(bound) for bound in target.aminmax())
    margin = (high - low) / 2
    shown = prediction.clamp(low - margin, high + margin)
    samples = np.arange(signal.num_observations, dtype=np.float64)
    pixels = viz.plot_lines(
        position.numpy(),
        {"target": target.numpy(), "prediction": shown.numpy()},
        "target | prediction, by position; the gray part is past the training range",
        dots=(samples, signal.values[:, 0].numpy()) if len(samples) <= _MAX_DOTS else None,
        gray_from=len(samples) - 0.5,
    )
    return Picture(pixels)
