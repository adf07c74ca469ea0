from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.errors import UserError
from coordnet.evaluation.media import Media
from coordnet.signals.base import Signal

Predict = Callable[[dict[str, Tensor]], dict[str, Tensor]]
# From a prediction and its target, of equal shape, to a score.
Metric = Callable[[Tensor, Tensor], float]


class GridComparison(NamedTuple):
    """A prediction beside its target, on a regular grid over the whole domain or a part of the domain.

    Attributes:
        prediction: (*reversed axes, channels), clipped where the values are.
        target: The same shape.
        nyquist: The Nyquist frequency of this grid, in cycles across the domain.
    """

    prediction: np.ndarray
    target: np.ndarray
    nyquist: float


class EvaluationResult(NamedTuple):
    """The outcome of one evaluation.

    Attributes:
        metrics: Values under their logged names, such as "test/psnr".
        make_media: Makes the media by name; an evaluation that nobody looks at makes none.
        score: The number that selects the best checkpoint, higher is better. The score never depends on test samples.
        grid: The samples that band errors are computed on; None where the signal has no regular grid.
    """

    metrics: dict[str, float]
    make_media: Callable[[], dict[str, Media]]
    score: float
    grid: GridComparison | None = None


class Evaluator(ABC):
    """Scores and draws a field on a signal; subclasses exist for each kind of signal.

    Args:
        metrics: Further metrics by name. An evaluator adds "<split>/<name>" for each split that it predicts.

    Attributes:
        signal_type: The class of the signals that the evaluator can score.
    """

    signal_type: ClassVar[type[Any]] = Signal

    def __init__(self, metrics: Mapping[str, Metric] | None = None) -> None:
        self.metrics = dict(metrics or {})

    @abstractmethod
    def evaluate(self, signal: Any, field: FieldFunction, predict: Predict) -> EvaluationResult:
        """Score a field.

        Args:
            signal: The data.
            field: Maps coordinates (*, d) to values (*, C), without gradients.
            predict: Maps a batch as of `signal.get_batch` to the prediction of the forward map, without gradients.
        """

    def check_signal(self, signal: Signal) -> None:
        """Refuse a signal of another kind.

        Raises:
            UserError: The signal is no `signal_type`.
        """
        if not isinstance(signal, self.signal_type):
            raise UserError(
                f"evaluator={type(self).__name__} must have a signal of the kind {self.signal_type.__name__}, not "
                f"{type(signal).__name__}; evaluator=null chooses by the kind of signal"
            )

    def extra_metrics(self, split: str, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """The further metrics of a split under their logged names."""
        return {f"{split}/{name}": float(metric(prediction, target)) for name, metric in self.metrics.items()}
