import math
from typing import Any

import lightning as L

from coordnet.fields.field import BaseField
from coordnet.training.callbacks.evaluation import Evaluation
from coordnet.training.runtime import ADAPTIVE_PSNR_DB


class Precision(L.Callback):
    """Goes over from bfloat16 to float32 at the first score so close that rounding is about to show.

    A field keeps its precision in its state, so that whoever loads a checkpoint goes on in it. The callback must
    stand behind the Evaluation and before the Saving.

    Args:
        evaluation: Where the newest score is read.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        latest = self.evaluation.latest
        if latest.get("step") == trainer.global_step and closeness(latest) >= ADAPTIVE_PSNR_DB:
            for field in pl_module.modules():
                if isinstance(field, BaseField):
                    field.precision = "float32"


def closeness(metrics: dict[str, float]) -> float:
    """Of the training samples, in dB."""
    if "train/psnr" in metrics:
        return metrics["train/psnr"]
    return -10 * math.log10(max(metrics.get("train/nmse", math.inf), 1e-30))
