import math
import sys
from collections.abc import Mapping
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coordnet.training.callbacks.evaluation import evaluation_of


class ProgressBar(L.Callback):
    """One line on a terminal: step, loss, PSNR, steps per second, time left. Other outputs get no line.

    Args:
        title: Name of the run.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.progress: Progress | None = None

    def next_due_step(self, step: int) -> float:
        """Never: the line moves when a block of steps ends."""
        return math.inf

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        console = Console(file=sys.stderr)
        if not console.is_terminal:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=console, refresh_per_second=4)
        self.progress.start()
        self.task = self.progress.add_task(
            self.title, total=trainer.max_steps, completed=trainer.global_step, numbers=""
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        if self.progress is None:
            return
        step = trainer.global_step
        # Reading the loss waits for a GPU, so the loss is read where it is logged anyway.
        if step % evaluation_of(trainer).log_every == 0 or step == trainer.max_steps:
            speed = self.progress.tasks[0].speed or 0.0
            numbers = f"loss {float(outputs['loss']):.2e}  {_score(evaluation_of(trainer).latest)}  {speed:.1f} steps/s"
            self.progress.update(self.task, numbers=numbers)
        self.progress.update(self.task, completed=step)

    def on_exception(self, *_: Any) -> None:
        self.stop()

    def on_train_end(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def _score(latest: Mapping[str, float]) -> str:
    """The newest score that a line has room for."""
    names = ("val/psnr", "train/psnr", "val/nmse", "train/nmse")
    return next((f"{name} {latest[name]:.2f}" for name in names if name in latest), "")
