from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Any

import lightning as L
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from coordnet.encodings.base import Encoding
from coordnet.evaluation.base import EvaluationResult, Evaluator
from coordnet.evaluation.default import evaluator_for
from coordnet.forward_maps.base import ForwardMap
from coordnet.losses.mse import Loss
from coordnet.training.batches import BatchSampler


class FieldModule(L.LightningModule):
    """A field, seen through a forward map, fitted to the observations of a signal.

    What changes with time is told of it: `on_step(step, max_steps)` is called, before every step, of each submodule
    that has it.

    Args:
        field: Maps coordinates to values.
        forward_map: Maps the field and a batch to named predictions.
        batches: Observations by step.
        optimizer: From parameters to an optimizer, such as `partial(torch.optim.Adam, lr=1e-3)`.
        encoding_lr: Learning rate of what encodings train; None takes the optimizer's. Grids learn about 20 times
            faster than networks.
        losses: Terms by name with their weights, in place of those of the forward map; the loss is the weighted sum.
        evaluator: Scores the field; None takes the evaluator for the kind of signal.
        schedule: From the optimizer to a learning-rate schedule that is advanced every step; None keeps it constant.
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
    ) -> None:
        super().__init__()
        self.field = field
        self.forward_map = forward_map
        self.batches = batches
        self.optimizer = optimizer
        self.schedule = schedule
        self.encoding_lr = encoding_lr
        self.losses = losses or forward_map.losses
        self.evaluator = evaluator or evaluator_for(batches.signal)
        self.evaluator.check_signal(batches.signal)
        self.scheduled_modules: list[Any] = [
            module for module in (*field.modules(), *forward_map.modules()) if hasattr(module, "on_step")
        ]

    def train_dataloader(self) -> "InfiniteDummyLoader":
        return InfiniteDummyLoader()

    def on_fit_start(self) -> None:
        # Before the score at step 0.
        self.update_schedules()

    def update_schedules(self) -> None:
        for module in self.scheduled_modules:
            module.on_step(self.global_step, self.trainer.max_steps)

    def training_step(self, *_: object) -> Tensor:
        self.update_schedules()
        batch = self.batches(self.global_step, self.global_rank, self.trainer.world_size)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        prediction = self.forward_map(self.field, batch)
        terms = [weight * loss(prediction, batch) for weight, loss in self.losses.values()]
        return sum(terms[1:], start=terms[0])

    def predict(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the forward map makes of the field for observations, by its rules for evaluation."""
        training = self.training
        self.eval()
        try:
            placed = {name: tensor.to(self.device) for name, tensor in batch.items()}
            prediction = self.forward_map(self.field, placed)
        finally:
            self.train(training)
        return {name: tensor.cpu() for name, tensor in prediction.items()}

    def evaluate(self) -> EvaluationResult:
        """Score the field on the signal."""

        def field(*where: Tensor) -> Tensor:
            return self.field(*(tensor.to(self.device) for tensor in where)).cpu()

        return self.evaluator.evaluate(self.batches.signal, field, self.predict)

    def parameter_groups(self) -> Any:
        """All parameters, those of encodings with their own learning rate if they have one."""
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


class InfiniteDummyLoader:
    """Lightning's loop wants a loader; batches come from the step alone, so this one holds nothing."""

    def __iter__(self) -> Iterator[int]:
        return repeat(0)
