import math
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, in_chunks
from coordnet.evaluation.base import EvaluationResult, Evaluator, Metric, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.metrics.nmse import nmse
from coordnet.signals.synthetic.sphere import Sphere

_ROWS = 128


class SphereEvaluator(Evaluator):
    """Scores a function on the sphere: "train/nmse" at the lattice points, "test/nmse" at random points.

    The score is the negative "train/nmse". The picture is an equirectangular map.
    """

    signal_type = Sphere

    def __init__(self, metrics: Mapping[str, Metric] | None = None) -> None:
        super().__init__(metrics)
        self._maps: WeakKeyDictionary[Sphere, Tensor] = WeakKeyDictionary()

    def evaluate(self, signal: Sphere, field: FieldFunction, predict: Predict) -> EvaluationResult:
        train, test, world = (
            in_chunks(field, points) for points in (signal.points, signal.test_points, equirectangular(_ROWS))
        )
        splits = {"train": (train, signal.values), "test": (test, signal.test_values)}
        metrics = {f"{name}/nmse": nmse(*pair) for name, pair in splits.items()}
        score = -metrics["train/nmse"]
        for name, pair in splits.items():
            metrics |= self.extra_metrics(name, *pair)

        def make_media() -> dict[str, Media]:
            true = self._true_map(signal)
            low, high = true.aminmax()
            target, prediction = (((values - low) / (high - low)).numpy() for values in (true, world))
            return {"target | prediction | error": Picture(viz.comparison_strip(target, prediction))}

        return EvaluationResult(metrics, make_media, score)

    def _true_map(self, signal: Sphere) -> Tensor:
        """The true values (rows, 2 rows, 1) of the map."""
        if signal not in self._maps:
            points = equirectangular(_ROWS)
            self._maps[signal] = signal.reference(points.reshape(-1, 3)).reshape(*points.shape[:2], 1)
        return self._maps[signal]


def equirectangular(rows: int) -> Tensor:
    """Unit vectors (rows, 2 rows, 3) of a map: the north pole is above, azimuth runs from -pi (left) to pi (right)."""
    polar = (torch.arange(rows)[:, None] + 0.5) * math.pi / rows
    azimuth = (torch.arange(2 * rows) + 0.5) * math.pi / rows - math.pi
    return torch.stack(
        [polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos().expand(-1, 2 * rows)], dim=-1
    )
