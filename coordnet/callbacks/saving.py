import math
from pathlib import Path
from typing import Any

import lightning as L

from coordnet.callbacks.evaluation import Evaluation


class Saving(L.Callback):
    """Saves last.ckpt every `every` steps and at the end, and best.ckpt when the evaluation's score rises.

    It must stand behind the Evaluation, so that a checkpoint never lacks the row of its own step.
    """

    def __init__(self, directory: Path, every: int, evaluation: Evaluation) -> None:
        self.folder = directory / "checkpoints"
        self.every = every
        self.evaluation = evaluation
        self.best = -math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.folder.mkdir(exist_ok=True)
        if trainer.global_step == 0:
            self.save(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self.save(trainer)

    def save(self, trainer: L.Trainer) -> None:
        self.evaluation.stop_clock()
        is_best = self.evaluation.score > self.best
        self.best = max(self.best, self.evaluation.score)
        if is_best:
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")
