import torch

from coordnet.coords import FieldFunction, chunks
from coordnet.errors import UserError
from coordnet.evaluation.base import EvaluationResult, Evaluator, Predict
from coordnet.metrics.nmse import nmse
from coordnet.metrics.psnr import psnr
from coordnet.signals.base import Signal

_OBSERVATIONS_PER_CHUNK = 4096
_MAX_OBSERVATIONS = 2**18


class PointEvaluator(Evaluator):
    """Scores any signal on its observations alone, through the forward map.

    "train/psnr" is the metric and the score of values in [0, 1]. Other values have "train/nmse", and the score is the
    negative "train/nmse". If there are more than 2^18 observations, the metrics are computed on 2^18 observations that
    are evenly spaced in the index. There is no picture.
    """

    def evaluate(self, signal: Signal, field: FieldFunction, predict: Predict) -> EvaluationResult:
        total = signal.num_observations
        count = min(total, _MAX_OBSERVATIONS)
        index = torch.arange(count) * total // count
        predictions, targets = [], []
        for part in chunks(count, _OBSERVATIONS_PER_CHUNK):
            batch = signal.get_batch(index[part])
            predictions.append(predict(batch)["value"])
            targets.append(batch["value"])
        prediction, target = torch.cat(predictions), torch.cat(targets)
        if signal.value_range == (0.0, 1.0):
            score = psnr(prediction, target)
            metrics = {"train/psnr": score}
        elif target.any():
            error = nmse(prediction, target)
            metrics, score = {"train/nmse": error}, -error
        else:
            raise UserError("signal: all values are 0, so there is no energy to measure an error against")
        metrics |= self.extra_metrics("train", prediction, target)
        return EvaluationResult(metrics, dict, score)
