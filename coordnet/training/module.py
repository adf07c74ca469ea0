import math
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Any, NoReturn, Protocol, runtime_checkable

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.evaluation.base import EvaluationResult, Evaluator
from coordnet.evaluation.default import evaluator_for
from coordnet.forward_maps.base import ForwardMap
from coordnet.losses.base import Loss
from coordnet.losses.mse import mse
from coordnet.training.batches import BatchSampler

# Optimization steps in one step of Lightning, at most: Lightning's own work for a step is shared by that many.
STEPS_PER_BLOCK = 32
# A block of slow steps ends after this many seconds, so that progress is shown and a signal is noticed.
SECONDS_PER_BLOCK = 0.25


@runtime_checkable
class ScheduledCallback(Protocol):
    """A Lightning callback that needs its batch hooks at some steps only."""

    def next_due_step(self, step: int) -> int:
        """The first step after `step` at which `on_train_batch_end` has to be called."""


class FieldModule(L.LightningModule):
    """A field that is fitted, through a forward map, to the observations of a signal.

    One call of `training_step` takes a block of optimization steps. A block ends at every step at which a callback is
    due, so callbacks are called at the optimizer's steps, and nothing that is scheduled is skipped. Before every step,
    `on_step(step, max_steps)` is called on each submodule that defines it.

        module = FieldModule(field, PointEvaluation(), BatchSampler(signal, 1024, seed=0), partial(Adam, lr=1e-3))
        L.Trainer(max_steps=600, max_epochs=-1, callbacks=[EvaluationCallback(every=100)]).fit(module)

    `L.Trainer(gradient_clip_val=..., accumulate_grad_batches=...)` keep their meaning: the module clips and accumulates
    inside the block. A step that accumulates n batches draws the batches n * step to n * step + n - 1.

    Args:
        field: Maps coordinates to values.
        forward_map: Maps the field and a batch to named predictions.
        batches: Observations by step.
        optimizer: Maps parameters to an optimizer, such as `partial(torch.optim.Adam, lr=1e-3)`.
        schedule: Maps the optimizer to a learning-rate schedule that advances every step; None keeps the rate constant.
        encoding_lr: Learning rate of the encodings' parameters; None takes the optimizer's. Grids learn about 20 times
            faster than networks.
        losses: Weights and loss terms by name; the loss is the weighted sum. None takes the mean squared error alone.
        evaluator: Scores the field; None takes the evaluator for the kind of signal.
        steps_per_block: Optimization steps in one step of Lightning, at most.
    """

    def __init__(
        self,
        field: nn.Module,
        forward_map: ForwardMap,
        batches: BatchSampler,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[[Optimizer], LRScheduler] | None = None,
        encoding_lr: float | None = None,
        losses: Mapping[str, tuple[float, Loss]] | None = None,
        evaluator: Evaluator | None = None,
        steps_per_block: int = STEPS_PER_BLOCK,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.field = field
        self.forward_map = forward_map
        self.batches = batches
        self.optimizer = optimizer
        self.schedule = schedule
        self.encoding_lr = encoding_lr
        self.losses = dict(losses or {"mse": (1.0, mse)})
        self.evaluator = evaluator or evaluator_for(batches.signal)
        self.evaluator.check_signal(batches.signal)
        self.steps_per_block = steps_per_block
        self.gradient_clip_val: float | None = None
        self.gradient_clip_algorithm: str | None = None
        self.accumulate_grad_batches = 1
        self._taken_from_trainer: tuple[Any, int] | None = None
        # A signal handler sets this flag; the block then ends after the current step.
        self.stop_requested = False
        self.scheduled_modules: list[Any] = [
            module for module in (*field.modules(), *forward_map.modules()) if hasattr(module, "on_step")
        ]

    def train_dataloader(self) -> "InfiniteDummyLoader":
        return InfiniteDummyLoader()

    def configure_callbacks(self) -> list[L.Callback]:
        """Take over what Lightning does around automatic optimization and its own validation loop.

        Lightning calls this hook before it refuses clipping and accumulation together with manual optimization, and
        before callbacks read when validation happens: scores come from an EvaluationCallback, not from a loop.
        """
        trainer = self.trainer
        if trainer.gradient_clip_val or trainer.accumulate_grad_batches != 1:
            self.gradient_clip_val = float(trainer.gradient_clip_val or 0) or None
            self.gradient_clip_algorithm = trainer.gradient_clip_algorithm
            self.accumulate_grad_batches = trainer.accumulate_grad_batches
            self._taken_from_trainer = trainer.gradient_clip_val, trainer.accumulate_grad_batches
            trainer.gradient_clip_val, trainer.accumulate_grad_batches = None, 1
        trainer.check_val_every_n_epoch = None
        return []

    def teardown(self, stage: str) -> None:
        """Give the trainer its own values back, so that another module can take them over."""
        if self._taken_from_trainer is not None:
            self.trainer.gradient_clip_val, self.trainer.accumulate_grad_batches = self._taken_from_trainer
            self._taken_from_trainer = None

    def on_fit_start(self) -> None:
        # The score at step 0 needs the schedules of step 0.
        self.update_schedules(self.global_step)

    def update_schedules(self, step: int) -> None:
        """Tell every scheduled submodule the step that comes next."""
        for module in self.scheduled_modules:
            module.on_step(step, self.trainer.max_steps)

    def training_step(self, *_: object) -> dict[str, Tensor]:
        """Take a block of optimization steps; returns the loss of the last step and its terms as "loss/<name>"."""
        first, started = self.global_step, time.perf_counter()
        count = self._steps_in_block(first)
        outputs: dict[str, Tensor] = {}
        for step in range(first, first + count):
            outputs = self._optimization_step(step)
            if self.stop_requested or time.perf_counter() - started > SECONDS_PER_BLOCK:
                break
        return outputs

    def _optimization_step(self, step: int) -> dict[str, Tensor]:
        optimizer: Any = self.optimizers()
        self.update_schedules(step)
        optimizer.zero_grad()
        count = self.accumulate_grad_batches
        sums: dict[str, Tensor] = {}
        for part in range(count):
            batch = self.batches(step * count + part, self.global_rank, self.trainer.world_size)
            batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
            terms = self.loss_terms(batch)
            loss = terms["loss"] / count if count > 1 else terms["loss"]
            self.manual_backward(loss)
            sums = {
                name: term.detach() + sums[name] if sums else term.detach() for name, term in terms.items()
            }
        if self.gradient_clip_val is not None:
            self.clip_gradients(optimizer, self.gradient_clip_val, self.gradient_clip_algorithm)
        optimizer.step()
        for config in self.trainer.lr_scheduler_configs:
            scheduler: Any = config.scheduler
            scheduler.step()
        return {name: value / count for name, value in sums.items()} if count > 1 else sums

    def loss_terms(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The loss of a batch as "loss", and every term before its weight as "loss/<name>"."""
        prediction = self.forward_map(self.field, batch)
        terms = {name: loss(prediction, batch, self.field) for name, (_, loss) in self.losses.items()}
        weighted = [weight * terms[name] for name, (weight, _) in self.losses.items()]
        return {
            "loss": sum(weighted[1:], start=weighted[0]),
            **{f"loss/{name}": term for name, term in terms.items()},
        }

    def _steps_in_block(self, step: int) -> int:
        """The number of steps before some callback has to be called."""
        if self.trainer.world_size > 1:
            # Processes agree on a signal at the end of a block, and have to agree soon.
            return 1
        due = min((next_due_step(callback, step) for callback in self._all_callbacks()), default=math.inf)
        last = self.trainer.max_steps if self.trainer.max_steps > 0 else math.inf
        return max(1, int(min(self.steps_per_block, due - step, last - step)))

    def _all_callbacks(self) -> list[L.Callback]:
        trainer: Any = self.trainer
        return list(trainer.callbacks)

    @torch.no_grad()
    def predict(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The prediction of the forward map for a batch, by its rules for evaluation, without gradients."""
        training = self.training
        self.eval()
        try:
            placed = {name: tensor.to(self.device) for name, tensor in batch.items()}
            prediction = self.forward_map(self.field, placed)
        finally:
            self.train(training)
        return {name: tensor.cpu() for name, tensor in prediction.items()}

    @torch.no_grad()
    def evaluate(self) -> EvaluationResult:
        """Score the field on the signal, without gradients."""

        def field(*where: Tensor) -> Tensor:
            return self.field(*(tensor.to(self.device) for tensor in where)).cpu()

        training = self.training
        self.eval()
        try:
            return self.evaluator.evaluate(self.batches.signal, field, self.predict)
        finally:
            self.train(training)

    @classmethod
    def load_from_checkpoint(cls, *_: Any, **__: Any) -> NoReturn:
        """Refused: a module holds its data, which no checkpoint holds."""
        raise UserError(
            "FieldModule.load_from_checkpoint is not supported; call coordnet.load(run_directory)"
        )

    def parameter_groups(self) -> Any:
        """All parameters; those of encodings are a group with their own learning rate where they have one."""
        if self.encoding_lr is None:
            return self.parameters()
        encodings = {
            parameter: None
            for module in self.modules()
            if isinstance(module, Encoding)
            for parameter in module.parameters()
        }
        others = [parameter for parameter in self.parameters() if parameter not in encodings]
        groups: list[dict[str, Any]] = [
            {"params": others},
            {"params": list(encodings), "lr": self.encoding_lr},
        ]
        return [group for group in groups if group["params"]]

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        optimizer = self.optimizer(self.parameter_groups())
        if self.schedule is None:
            return optimizer
        schedule = {"scheduler": self.schedule(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def next_due_step(callback: L.Callback, step: int) -> float:
    """The first step after `step` at which a callback has to be called; infinite for one without batch hooks.

    A callback that implements `next_due_step` is asked. ModelCheckpoint has a period. Every other callback with a batch
    hook is called at every step.
    """
    if isinstance(callback, ScheduledCallback):
        return callback.next_due_step(step)
    if type(callback) is ModelCheckpoint and callback._train_time_interval is None:
        period = callback._every_n_train_steps
        return step - step % period + period if period > 0 else math.inf
    hooks = ("on_train_batch_start", "on_train_batch_end")
    overridden = any(getattr(type(callback), hook) is not getattr(L.Callback, hook) for hook in hooks)
    return step + 1 if overridden else math.inf


class InfiniteDummyLoader:
    """A loader without data, which Lightning's loop asks for: batches come from the step alone."""

    def __iter__(self) -> Iterator[int]:
        return repeat(0)
