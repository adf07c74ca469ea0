import math
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from coordnet import viz
from coordnet.diagnostics.bands import Bands, band_errors, band_history, band_powers, sector_errors
from coordnet.errors import Diverged, UserError
from coordnet.evaluation.base import EvaluationResult
from coordnet.evaluation.media import Media, Picture
from coordnet.runs import metrics_file
from coordnet.training.clock import TrainingClock
from coordnet.training.module import FieldModule
from coordnet.training.run_logger import RunLogger

# Small pictures are enlarged within this (height, width) in pixels.
ENLARGED = (256, 1536)
# The spectrum beside a picture is at least and at most this high, in pixels.
PANEL_HEIGHTS = (256, 400)
# A prediction whose standard deviation is below this share of the target's is constant.
CONSTANT = 1e-3


def picture_steps() -> Iterator[int]:
    """0, 10, 20, 50, 100, 200, 500, ...: evenly spaced in log(step), as learning is."""
    yield 0
    for power in count(1):
        yield from (digit * 10**power for digit in (1, 2, 5))


def is_picture_step(step: int) -> bool:
    return next(s for s in picture_steps() if s >= step) == step


class EvaluationCallback(L.Callback):
    """Scores the field every `every` steps, at log-spaced steps and at the end.

    Each score is a row of metrics.csv and of every logger, at the optimizer's step. Every metric is also in
    `trainer.callback_metrics`, where EarlyStopping and ModelCheckpoint read their monitor, and both are called after
    every score.

        L.Trainer(callbacks=[EvaluationCallback(every=100), EarlyStopping("val/psnr", mode="max")], ...)

    Args:
        every: Steps between scores.
        log_every: Steps between points of train/loss in the loggers.
        directory: Directory of a run, which gets metrics.csv and images/; None writes to the loggers alone.
        pictures: "log_spaced" draws at log-spaced steps and at the end, "end" draws at the end only.
        hyperparameters: The flat config, which is logged once.

    Attributes:
        clock: Counts the seconds of training.
        latest: The last row.
        score: The last score, higher is better; checkpoints go by the score.
        constant: True if the last prediction was the same everywhere while its target was not.
    """

    def __init__(
        self,
        every: int,
        log_every: int = 20,
        directory: Path | None = None,
        pictures: str = "log_spaced",
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.every = every
        self.log_every = log_every
        self.directory = directory
        self.draws_during_training = pictures == "log_spaced"
        self.hyperparameters = hyperparameters
        self.clock = TrainingClock()
        self.latest: dict[str, float] = {}
        self.score = -math.inf
        self.constant = False

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.clock.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.clock.seconds = state_dict["seconds"]

    def logger_of(self, trainer: L.Trainer) -> RunLogger:
        """The record of a trainer's run: empty on all processes but the first."""
        return RunLogger(trainer.loggers, self.directory)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero:
            self.logger_of(trainer).truncate_after(trainer.global_step if trainer.global_step else -1)
        if trainer.global_step == 0:
            self.evaluate(trainer, pl_module, {"loss": math.nan})

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.resume()

    def next_due_step(self, step: int) -> int:
        """The next score, the next log-spaced step or the next point of the loss."""
        periods = (step - step % period + period for period in (self.every, self.log_every))
        return min(*periods, next(s for s in picture_steps() if s > step))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        step = trainer.global_step
        last = step == trainer.max_steps
        if step % self.every == 0 or is_picture_step(step) or last:
            self.clock.pause()
            self.evaluate(trainer, pl_module, finite_losses(outputs, trainer))
        elif step % self.log_every == 0:
            losses = finite_losses(outputs, trainer)
            if trainer.is_global_zero:
                self.logger_of(trainer).log(_loss_columns(losses), step)

    def evaluate(self, trainer: L.Trainer, module: L.LightningModule, losses: Mapping[str, float]) -> None:
        """Score the field, write the row and the media, and let EarlyStopping and ModelCheckpoint read the row.

        Args:
            trainer: The trainer.
            module: A FieldModule.
            losses: The loss of the last step as "loss", and its terms as "loss/<name>".

        Raises:
            Diverged: The field is not finite.
        """
        if not isinstance(module, FieldModule):
            raise UserError(f"EvaluationCallback scores a FieldModule, not a {type(module).__name__}")
        step = trainer.global_step
        result = module.evaluate()
        self.score = result.score
        if not self.score > -math.inf:
            raise Diverged(f"the field is not finite at step {step}")
        bands = None
        if result.grid is not None:
            prediction, target, nyquist = result.grid
            bands = band_errors(prediction, target, nyquist, max(module.batches.signal.domain.nyquist))
            self.constant = bool(prediction.std() < CONSTANT * target.std())
        losses = {f"loss/{name}": math.nan for name in module.losses} | dict(losses)
        self.latest = {
            "step": step,
            "seconds": self.clock.seconds,
            **_loss_columns(losses),
            **result.metrics,
            **(bands.metrics() if bands else {}),
        }
        if trainer.is_global_zero:
            self._record(trainer, result, bands)
        if trainer.state.fn == "fit" and step > 0:
            module.log_dict({n: v for n, v in self.latest.items() if n != "step"}, logger=False)
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, EarlyStopping | ModelCheckpoint):
                    callback.on_validation_end(trainer, module)

    def _record(self, trainer: L.Trainer, result: EvaluationResult, bands: Bands | None) -> None:
        logger, step = self.logger_of(trainer), trainer.global_step
        if step == 0 and self.hyperparameters is not None:
            main = {
                n: v for n, v in self.latest.items() if math.isfinite(v) and not metrics_file.is_detail(n)
            }
            main.pop("step")
            logger.log_hyperparameters(self.hyperparameters, main)
        logger.write_row(self.latest)
        last = step == trainer.max_steps
        if last or (self.draws_during_training and is_picture_step(step)):
            whole = last or (step > 0 and step % self.every == 0)
            logger.show(self._media(result, bands, whole), step)
        # TensorBoard computes its checksums in Python, which would slow the steps that follow.
        logger.flush()

    def _media(self, result: EvaluationResult, bands: Bands | None, whole: bool) -> dict[str, Media]:
        """The evaluator's media, the first picture with the spectrum beside it; if `whole`, the band errors too."""
        media: dict[str, Media] = result.make_media()
        if result.grid is None or bands is None:
            return media
        from coordnet.diagnostics.spectrum_figure import draw_band_powers, draw_history, draw_sectors

        prediction, target, nyquist = result.grid
        name, first = next((name, each) for name, each in media.items() if isinstance(each, Picture))
        del media[name]
        picture = viz.upscale(first.pixels, *ENLARGED)
        height = min(max(picture.shape[0], PANEL_HEIGHTS[0]), PANEL_HEIGHTS[1])
        panel = draw_band_powers(bands, band_powers(prediction, nyquist, bands.edges), height)
        media[f"{name} | spectrum"] = Picture(viz.hconcat([picture, panel]))
        if not whole:
            return media
        if self.directory is not None:
            steps, _, errors = band_history(metrics_file.read(self.directory / metrics_file.NAME))
            if len(steps) > 1:
                media["error by frequency and step"] = Picture(draw_history(steps, bands, errors))
        if target.ndim == 3:
            edges, by_sector = sector_errors(prediction, target, nyquist, bands.nyquist)
            media["error by frequency and direction"] = Picture(draw_sectors(edges, bands.nyquist, by_sector))
        return media


def evaluation_of(trainer: L.Trainer) -> EvaluationCallback:
    """The EvaluationCallback of a trainer.

    Raises:
        UserError: The trainer has none.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EvaluationCallback):
            return callback
    raise UserError("the trainer has no EvaluationCallback; add one to its callbacks")


def _loss_columns(losses: Mapping[str, float]) -> dict[str, float]:
    """The loss under the name "train/loss", and its terms under their own names."""
    return {"train/loss" if name == "loss" else name: value for name, value in losses.items()}


def finite_losses(outputs: Mapping[str, Any], trainer: L.Trainer) -> dict[str, float]:
    """The loss of a step and its terms: the mean over all processes that share the batch.

    Raises:
        Diverged: The loss is not finite.
    """
    losses = {
        name: float(trainer.strategy.reduce(value.detach(), reduce_op="mean"))
        for name, value in outputs.items()
    }
    if not math.isfinite(losses["loss"]):
        raise Diverged(
            f"train/loss is {losses['loss']} at step {trainer.global_step} with {learning_rate(trainer)}"
        )
    return losses


def learning_rate(trainer: L.Trainer) -> str:
    """The learning rate of the first parameter group, in words."""
    return f"learning rate {trainer.optimizers[0].param_groups[0]['lr']:.3g}"
