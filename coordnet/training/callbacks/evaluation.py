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

from coordnet import viz
from coordnet.diagnostics.bands import Bands, band_errors, band_powers, history, sector_errors
from coordnet.errors import Diverged
from coordnet.evaluation.base import EvaluationResult
from coordnet.evaluation.media import Picture
from coordnet.runs import metrics_file
from coordnet.runs.directory import write_bytes
from coordnet.training.module import FieldModule

# In pixels: small pictures are enlarged within (height, width), and the spectrum beside one keeps a readable height.
ENLARGED = (256, 1536)
PANEL_HEIGHTS = (256, 400)
# A prediction whose standard deviation is below this share of the target's is the same everywhere.
CONSTANT = 1e-3


def picture_steps() -> Iterator[int]:
    """0, 10, 20, 50, 100, 200, 500, ...: evenly spaced to the eye, as learning is in log(step)."""
    yield 0
    for power in count(1):
        yield from (digit * 10**power for digit in (1, 2, 5))


def is_picture_step(step: int) -> bool:
    return next(s for s in picture_steps() if s >= step) == step


class Evaluation(L.Callback):
    """EvaluationResult the field every `every` steps, at log-spaced steps and at the end; writes metrics and pictures.

    Its clock, the column `seconds`, counts training only: it stands still while anything is evaluated or saved.

    Args:
        directory: The run's; gets metrics.csv and images/.
        every: Steps between scores.
        log_every: Steps between points of train/loss in TensorBoard.
        pictures: "log" draws at log-spaced steps and at the end, "end" at the end only.
        hyperparameters: The flat config, for TensorBoard's HParams tab.

    Attributes:
        latest: The last row written.
        score: The last score, higher is better; checkpoints go by it.
        constant: Whether the last prediction was the same everywhere, and its target was not.
    """

    def __init__(
        self, directory: Path, every: int, log_every: int, pictures: str, hyperparameters: dict[str, Any]
    ) -> None:
        self.directory = directory
        self.every = every
        self.log_every = log_every
        self.draws_on_the_way = pictures == "log"
        self.hyperparameters = hyperparameters
        self.seconds = 0.0
        self.resumed_at: float | None = None
        self.latest: dict[str, float] = {}
        self.score = -math.inf
        self.constant = False

    @property
    def file(self) -> Path:
        return self.directory / metrics_file.NAME

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            metrics_file.truncate_after(self.file, trainer.global_step if trainer.global_step else -1)
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
            self.evaluate(trainer, pl_module, finite_loss(outputs, trainer))
        elif step % self.log_every == 0:
            self.record(trainer, {"train/loss": finite_loss(outputs, trainer)})

    def is_due(self, step: int) -> bool:
        return step % self.every == 0 or is_picture_step(step)

    def stop_clock(self) -> None:
        if self.resumed_at is not None:
            self.seconds += time.perf_counter() - self.resumed_at
            self.resumed_at = None

    @torch.no_grad()
    def evaluate(self, trainer: L.Trainer, model: L.LightningModule, loss: float) -> None:
        assert isinstance(model, FieldModule)
        step = trainer.global_step
        evaluation = model.evaluate()
        self.score = evaluation.score
        if not self.score > -math.inf:
            raise Diverged(f"the field is not finite at step {step}")
        bands = None
        if evaluation.grid is not None:
            prediction, target, nyquist = evaluation.grid
            bands = band_errors(prediction, target, nyquist, model.batches.signal.domain.nyquist)
            self.constant = bool(prediction.std() < CONSTANT * target.std())
        self.latest = {"step": step, "seconds": self.seconds, "train/loss": loss, **evaluation.metrics}
        self.latest |= bands.metrics() if bands else {}
        if not trainer.is_global_zero:
            return
        metrics_file.append(self.file, self.latest)
        finite = {k: v for k, v in self.latest.items() if k != "step" and math.isfinite(v)}
        if step == 0:
            # Logs the values too, and makes TensorBoard list the hyperparameters against these tags' newest values.
            main = {name: value for name, value in finite.items() if not metrics_file.is_detail(name)}
            finite = {name: value for name, value in finite.items() if name not in main}
            for logger in trainer.loggers:
                assert isinstance(logger, TensorBoardLogger)
                logger.log_hyperparams(self.hyperparameters, main, step=0)
        self.record(trainer, finite)
        last = step == trainer.max_steps
        if last or (self.draws_on_the_way and is_picture_step(step)):
            whole = last or (step > 0 and step % self.every == 0)
            self.show(trainer, self.pictures(evaluation, bands, whole))
        # TensorBoard's checksums, in Python, would slow the steps that follow; and who looks sees it at once.
        for logger in trainer.loggers:
            assert isinstance(logger, TensorBoardLogger)
            logger.experiment.flush()

    def record(self, trainer: L.Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step)

    def pictures(
        self, evaluation: EvaluationResult, bands: Bands | None, whole: bool
    ) -> dict[str, viz.Picture]:
        """The signal's own, the first with the spectrum beside it; if `whole`, those of the errors by frequency too."""
        pictures = {
            name: media.pixels
            for name, media in evaluation.make_media().items()
            if isinstance(media, Picture)
        }
        if evaluation.grid is None or bands is None:
            return pictures
        from coordnet.diagnostics.spectrum_figure import draw_band_powers, draw_history, draw_sectors

        prediction, target, nyquist = evaluation.grid
        name = next(iter(pictures))
        picture = viz.upscale(pictures.pop(name), *ENLARGED)
        height = min(max(picture.shape[0], PANEL_HEIGHTS[0]), PANEL_HEIGHTS[1])
        panel = draw_band_powers(bands, band_powers(prediction, nyquist, bands.edges), height)
        pictures[f"{name} | spectrum"] = viz.hconcat([picture, panel])
        if not whole:
            return pictures
        steps, _, errors = history(metrics_file.read(self.file))
        if len(steps) > 1:
            pictures["error by frequency and step"] = draw_history(steps, bands, errors)
        if target.ndim == 3:
            edges, by_sector = sector_errors(prediction, target, nyquist, bands.nyquist)
            pictures["error by frequency and direction"] = draw_sectors(edges, bands.nyquist, by_sector)
        return pictures

    def show(self, trainer: L.Trainer, pictures: dict[str, Any]) -> None:
        step = trainer.global_step
        folder = self.directory / "images"
        folder.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            slug = re.sub(r"\W+", "-", name)
            write_bytes(
                folder / f"{slug}-{step:07d}.png", imageio.imwrite("<bytes>", picture, extension=".png")
            )
            for logger in trainer.loggers:
                assert isinstance(logger, TensorBoardLogger)
                logger.experiment.add_image(name, picture, step, dataformats="HWC")


def finite_loss(outputs: Any, trainer: L.Trainer) -> float:
    """The loss of the step, the mean over all processes that share its batch."""
    value = float(trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean"))
    if not math.isfinite(value):
        raise Diverged(f"train/loss is {value} at step {trainer.global_step} with {learning_rate(trainer)}")
    return value


def learning_rate(trainer: L.Trainer) -> str:
    return f"learning rate {trainer.optimizers[0].param_groups[0]['lr']:.3g}"
