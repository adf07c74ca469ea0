import math
import re
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from coordnet.errors import Diverged
from coordnet.reconstruction import Reconstruction
from coordnet.runs import metrics_file


def picture_steps() -> Iterator[int]:
    """0, 10, 20, 50, 100, 200, 500, ...: evenly spaced to the eye, as learning is in log(step)."""
    yield 0
    for power in count(1):
        yield from (digit * 10**power for digit in (1, 2, 5))


def is_picture_step(step: int) -> bool:
    return next(s for s in picture_steps() if s >= step) == step


class Evaluation(L.Callback):
    """Scores the field every `every` steps, at log-spaced steps and at the end; writes metrics and pictures.

    Its clock, the column `seconds`, counts training only: it stands still while anything is evaluated or saved.

    Args:
        directory: The run's; gets metrics.csv and images/.
        every: Steps between scores.
        log_every: Steps between points of train/loss in TensorBoard.
        hyperparameters: The flat config, for TensorBoard's HParams tab.

    Attributes:
        latest: The last row written.
        score: The last score, higher is better; checkpoints go by it.
    """

    def __init__(self, directory: Path, every: int, log_every: int, hyperparameters: dict[str, Any]) -> None:
        self.directory = directory
        self.every = every
        self.log_every = log_every
        self.hyperparameters = hyperparameters
        self.seconds = 0.0
        self.resumed_at: float | None = None
        self.latest: dict[str, float] = {}
        self.score = -math.inf

    @property
    def file(self) -> Path:
        return self.directory / metrics_file.NAME

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        metrics_file.cut_back(self.file, trainer.global_step if trainer.global_step else -1)
        if trainer.global_step == 0:
            self.evaluate(trainer, pl_module, loss=math.nan)

    def on_train_batch_start(self, *_: Any) -> None:
        if self.resumed_at is None:
            self.resumed_at = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        step = trainer.global_step
        last = step == trainer.max_steps
        if self.is_due(step) or last:
            self.stop_clock()
            self.evaluate(trainer, pl_module, check_finite(outputs["loss"], trainer))
        elif step % self.log_every == 0:
            self.record(trainer, {"train/loss": check_finite(outputs["loss"], trainer)})

    def is_due(self, step: int) -> bool:
        return step % self.every == 0 or is_picture_step(step)

    def stop_clock(self) -> None:
        if self.resumed_at is not None:
            self.seconds += time.perf_counter() - self.resumed_at
            self.resumed_at = None

    @torch.no_grad()
    def evaluate(self, trainer: L.Trainer, model: L.LightningModule, loss: float) -> None:
        assert isinstance(model, Reconstruction)
        step = trainer.global_step
        metrics, draw, self.score = model.evaluate()
        if not self.score > -math.inf:
            raise Diverged(f"the field is not finite at step {step}")
        self.latest = {"step": step, "seconds": self.seconds, "train/loss": loss, **metrics}
        metrics_file.append(self.file, self.latest)
        finite = {k: v for k, v in self.latest.items() if k != "step" and math.isfinite(v)}
        if step == 0:
            # Logs the values too, and makes TensorBoard list the hyperparameters against these tags' newest values.
            for logger in trainer.loggers:
                assert isinstance(logger, TensorBoardLogger)
                logger.log_hyperparams(self.hyperparameters, finite, step=0)
        else:
            self.record(trainer, finite)
        if is_picture_step(step) or step == trainer.max_steps:
            self.show(trainer, draw())

    def record(self, trainer: L.Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    def show(self, trainer: L.Trainer, pictures: dict[str, Any]) -> None:
        step = trainer.global_step
        folder = self.directory / "images"
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            slug = re.sub(r"\W+", "-", name)
            imageio.imwrite(folder / f"{slug}-{step:07d}.png", picture)
            for logger in trainer.loggers:
                assert isinstance(logger, TensorBoardLogger)
                logger.experiment.add_image(name, picture, step, dataformats="HWC")


def check_finite(loss: torch.Tensor, trainer: L.Trainer) -> float:
    value = float(loss)
    if not math.isfinite(value):
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        raise Diverged(f"train/loss is {value} at step {trainer.global_step} with learning rate {rate:.3g}")
    return value
