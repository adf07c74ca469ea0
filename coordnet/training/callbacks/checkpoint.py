import math
from pathlib import Path
from typing import Any

import lightning as L
import torch

from coordnet.errors import Diverged
from coordnet.runs import checkpoint
from coordnet.training.callbacks.evaluation import evaluation_of, learning_rate
from coordnet.training.callbacks.graceful_shutdown import GracefulShutdown


class CheckpointCallback(L.Callback):
    """Saves last.ckpt every `every` steps, at the end and on a signal; best.ckpt when the score has risen.

    Only the scores at multiples of `every` and at the end count for best.ckpt. This callback has to come after the
    EvaluationCallback, so that the row of a checkpoint's step is in metrics.csv before the checkpoint.

    Args:
        directory: Directory of the run; its folder "checkpoints" is made.
        every: Steps between checkpoints.
        shutdown: Receives the signals.
    """

    def __init__(self, directory: Path, every: int, shutdown: GracefulShutdown) -> None:
        self.folder = directory / "checkpoints"
        self.every = every
        self.shutdown = shutdown
        self.best = -math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def next_due_step(self, step: int) -> int:
        return step - step % self.every + self.every

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.folder.mkdir(exist_ok=True)
        if trainer.global_step == 0:
            self.save(trainer, scored=True)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        scored = step % self.every == 0 or step == trainer.max_steps
        interrupted = self.shutdown.any_rank_interrupted(trainer)
        if scored or interrupted or trainer.should_stop:
            self.save(trainer, scored)
        if interrupted:
            trainer.should_stop = True

    def save(self, trainer: L.Trainer, scored: bool) -> None:
        """Write last.ckpt, and best.ckpt if the step was scored and the score has risen.

        Raises:
            Diverged: A parameter is not finite.
        """
        evaluation = evaluation_of(trainer)
        evaluation.clock.pause()
        for name, weight in trainer.lightning_module.named_parameters():
            if not torch.isfinite(weight).all():
                raise Diverged(
                    f"{name} is not finite at step {trainer.global_step} with {learning_rate(trainer)}"
                )
        if scored and evaluation.score > self.best:
            self.best = evaluation.score
            trainer.save_checkpoint(self.folder / checkpoint.BEST)
        trainer.save_checkpoint(self.folder / checkpoint.LAST)
