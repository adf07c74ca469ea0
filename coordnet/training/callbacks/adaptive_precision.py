import math
from typing import Any

import lightning as L

from coordnet.fields.base import BaseField
from coordnet.training.callbacks.evaluation import evaluation_of
from coordnet.training.runtime import ADAPTIVE_PSNR_DB


class AdaptivePrecision(L.Callback):
    """Switches from bfloat16 to float32 at the first score above which rounding would show.

    A field keeps its precision in its state, so a run that resumes keeps the precision. The run's EvaluationCallback
    has to come before this callback, and the CheckpointCallback after.
    """

    def next_due_step(self, step: int) -> float:
        """Never: a score is due at the EvaluationCallback's steps."""
        return math.inf

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        latest = evaluation_of(trainer).latest
        if latest.get("step") == trainer.global_step and training_psnr(latest) >= ADAPTIVE_PSNR_DB:
            for field in pl_module.modules():
                if isinstance(field, BaseField):
                    field.precision = "float32"


def training_psnr(metrics: dict[str, float]) -> float:
    """The PSNR on the training samples in dB, or the same for a normalized error."""
    if "train/psnr" in metrics:
        return metrics["train/psnr"]
    return -10 * math.log10(max(metrics.get("train/nmse", math.inf), 1e-30))
