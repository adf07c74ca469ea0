import sys
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from coordnet.training.callbacks.evaluation import Evaluation


class ProgressBar(L.Callback):
    """One line on a terminal: step, loss, PSNR, steps per second, time left. Nothing elsewhere.

    Args:
        title: What is being trained.
        evaluation: Where the newest score is read.
    """

    def __init__(self, title: str, evaluation: Evaluation) -> None:
        self.title = title
        self.evaluation = evaluation
        self.progress: Progress | None = None

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
        # Reading the loss would wait for a GPU, so it is read with the evaluation's own rhythm only.
        if step % self.evaluation.log_every == 0 or step == trainer.max_steps:
            speed = self.progress.tasks[0].speed or 0.0
            numbers = f"loss {float(outputs['loss']):.2e}  {self.score()}  {speed:.1f} steps/s"
            self.progress.update(self.task, numbers=numbers)
        self.progress.update(self.task, completed=step)

    def score(self) -> str:
        names = ("val/psnr", "train/psnr", "val/nmse", "train/nmse")
        found = [(name, self.evaluation.latest[name]) for name in names if name in self.evaluation.latest]
        return f"{found[0][0]} {found[0][1]:.2f}" if found else ""

    def on_exception(self, *_: Any) -> None:
        self.stop()

    def on_train_end(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
