"""Learning rates as functions of the optimizer's step. Their lengths follow `max_steps` when a run is extended.

A config needs no length: a schedule with a parameter `max_steps` gets the steps of the run.
"""

from typing import Annotated, Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler

from coordnet.options import Range, validate_ranges

Steps = Annotated[int, Range(1, 10**9, "steps")]


@validate_ranges
def cosine(
    optimizer: Optimizer, max_steps: Steps, min_lr: Annotated[float, Range(0, 1000)] = 0.0
) -> LRScheduler:
    """Half a cosine from the optimizer's learning rate to `min_lr` (Loshchilov and Hutter 2017).

        lr(step) = min_lr + (lr - min_lr) (1 + cos(pi step / max_steps)) / 2

    Args:
        optimizer: The optimizer whose learning rates are set, each group's from its own.
        max_steps: Steps of the whole training.
        min_lr: The learning rate after the last step.
    """
    return _Cosine(optimizer, max_steps, min_lr)


@validate_ranges
def exponential(
    optimizer: Optimizer,
    max_steps: Steps,
    final_factor: Annotated[float, Range(0, 1, above=True)] = 0.1,
) -> LRScheduler:
    """Exponential decay, which Mildenhall et al. (2020) use for NeRF.

        lr(step) = lr final_factor^(step / max_steps)

    Args:
        optimizer: The optimizer whose learning rates are set, each group's from its own.
        max_steps: Steps of the whole training.
        final_factor: The last learning rate as a share of the first learning rate.
    """
    return _Exponential(optimizer, max_steps, final_factor)


def constant(optimizer: Optimizer) -> LRScheduler:
    """The optimizer's learning rate at every step."""
    return ConstantLR(optimizer, factor=1.0)


class _Cosine(CosineAnnealingLR):
    """Torch's schedule, which continues on the cosine of the new length after a change of `max_steps`.

    Torch computes each learning rate from the rate of the step before. While the length stays, this class uses the same
    recursion, so the rates have torch's bits.
    """

    def __init__(self, optimizer: Optimizer, max_steps: int, min_lr: float) -> None:
        self.is_extended = False
        super().__init__(optimizer, T_max=max_steps, eta_min=min_lr)

    def get_lr(self) -> list[float | Tensor]:
        return self._get_closed_form_lr() if self.is_extended else super().get_lr()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        max_steps = self.T_max
        super().load_state_dict(state_dict)
        if self.T_max != max_steps:
            self.T_max = max_steps
            self.is_extended = True
            _set_rates(self, self._get_closed_form_lr())


class _Exponential(LRScheduler):
    def __init__(self, optimizer: Optimizer, max_steps: int, final_factor: float) -> None:
        self.max_steps = max_steps
        self.final_factor = final_factor
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        factor = self.final_factor ** (self.last_epoch / self.max_steps)
        return [base * factor for base in self.base_lrs]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        max_steps = self.max_steps
        super().load_state_dict(state_dict)
        if self.max_steps != max_steps:
            self.max_steps = max_steps
            _set_rates(self, self.get_lr())


def _set_rates(schedule: LRScheduler, rates: list[float | Tensor]) -> None:
    """Give the optimizer the learning rates of the next step."""
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    schedule._last_lr = rates
