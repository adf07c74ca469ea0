import math
from pathlib import Path
from typing import Any

import lightning as L
import torch

from coordnet.errors import Diverged
from coordnet.runs import checkpoint
from coordnet.training.callbacks.evaluation import Evaluation, learning_rate
from coordnet.training.callbacks.graceful_shutdown import GracefulShutdown


class Saving(L.Callback):
    """Saves last.ckpt every `every` steps, at the end and when a signal came; best.ckpt when the score has risen.

    Only the scores at every `every`-th step and at the end count for best.ckpt. It must stand behind the Evaluation,
    so that a checkpoint never lacks the row of its own step.
    """

    def __init__(
        self, directory: Path, every: int, evaluation: Evaluation, interruption: GracefulShutdown
    ) -> None:
        self.folder = directory / "checkpoints"
        self.every = every
        self.evaluation = evaluation
        self.interruption = interruption
        self.best = -math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.folder.mkdir(exist_ok=True)
        if trainer.global_step == 0:
            self.save(trainer, scored=True)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        scored = step % self.every == 0 or step == trainer.max_steps
        ends = self.interruption.any_rank_interrupted(trainer)
        if scored or ends:
            self.save(trainer, scored)
        if ends:
            trainer.should_stop = True

    def save(self, trainer: L.Trainer, scored: bool) -> None:
        self.evaluation.stop_clock()
        for name, weight in trainer.lightning_module.named_parameters():
            if not torch.isfinite(weight).all():
                raise Diverged(
                    f"{name} is not finite at step {trainer.global_step} with {learning_rate(trainer)}"
                )
        if scored and self.evaluation.score > self.best:
            self.best = self.evaluation.score
            trainer.save_checkpoint(self.folder / checkpoint.BEST)
        trainer.save_checkpoint(self.folder / checkpoint.LAST)
