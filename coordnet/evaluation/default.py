from collections.abc import Mapping

from coordnet.evaluation.base import Evaluator, Metric
from coordnet.evaluation.image import ImageEvaluator
from coordnet.evaluation.multiscale import MultiscaleEvaluator
from coordnet.evaluation.points import PointEvaluator
from coordnet.evaluation.sequence import SequenceEvaluator
from coordnet.evaluation.sphere import SphereEvaluator
from coordnet.evaluation.tomography import TomographyEvaluator
from coordnet.evaluation.views import ViewsEvaluator
from coordnet.evaluation.waveform import WaveformEvaluator
from coordnet.signals.base import Signal

_EVALUATORS: tuple[type[Evaluator], ...] = (
    ImageEvaluator,
    MultiscaleEvaluator,
    TomographyEvaluator,
    WaveformEvaluator,
    SequenceEvaluator,
    SphereEvaluator,
    ViewsEvaluator,
)


def evaluator_for(signal: Signal, metrics: Mapping[str, Metric] | None = None) -> Evaluator:
    """The evaluator for the kind of signal; `PointEvaluator` if no other evaluator can score the signal.

    Args:
        signal: The data that the evaluator will score.
        metrics: Further metrics by name.
    """
    found = (kind for kind in _EVALUATORS if isinstance(signal, kind.signal_type))
    return next(found, PointEvaluator)(metrics)
