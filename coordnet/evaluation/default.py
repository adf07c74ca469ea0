from collections.abc import Mapping
from typing import Any

from coordnet.coords import FieldFunction
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Metric, Predict
from coordnet.evaluation.image import ImageEvaluator
from coordnet.evaluation.media import Picture
from coordnet.evaluation.multiscale import MultiscaleEvaluator
from coordnet.evaluation.points import PointEvaluator
from coordnet.evaluation.sequence import SequenceEvaluator
from coordnet.evaluation.sphere import SphereEvaluator
from coordnet.evaluation.tomography import TomographyEvaluator
from coordnet.evaluation.waveform import WaveformEvaluator
from coordnet.signals.base import Signal

_EVALUATORS: tuple[type[Evaluator], ...] = (
    ImageEvaluator,
    MultiscaleEvaluator,
    TomographyEvaluator,
    WaveformEvaluator,
    SequenceEvaluator,
    SphereEvaluator,
)


def evaluator_for(signal: Signal, metrics: Mapping[str, Metric] | None = None) -> Evaluator:
    """The evaluator for the kind of signal; `PointEvaluator` if no other evaluator can score the signal.

    Args:
        signal: The data that the evaluator will score.
        metrics: Further metrics by name.
    """
    if hasattr(signal, "evaluate"):
        return _SignalEvaluator(metrics)
    found = (kind for kind in _EVALUATORS if isinstance(signal, kind.signal_type))
    return next(found, PointEvaluator)(metrics)


class _SignalEvaluator(Evaluator):
    """Scores a signal that still evaluates itself."""

    def evaluate(self, signal: Any, field: FieldFunction, predict: Predict) -> EvaluationResult:
        result = signal.evaluate(field, predict)
        grid = None if result.samples is None else GridComparison(*result.samples)
        return EvaluationResult(
            result.metrics,
            lambda: {name: Picture(pixels) for name, pixels in result.draw().items()},
            result.score,
            grid,
        )
