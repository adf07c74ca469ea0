"""Learning rates follow max_steps; their bits are torch's while max_steps stays."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import make_config
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from coordnet.config.compose import compose_config
from coordnet.errors import OptionError, UserError
from coordnet.training.assemble import assemble
from coordnet.training.schedules import constant, cosine, exponential

Make = Callable[[torch.optim.Optimizer], LRScheduler]


def optimizer() -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.1, 3e-3)]
    return torch.optim.SGD(groups)


def advance(schedule: LRScheduler, steps: int) -> list[list[float]]:
    """The learning rates of the next steps."""
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in schedule.optimizer.param_groups])
        schedule.optimizer.step()
        schedule.step()
    return found


def continued(schedule: LRScheduler, make: Make) -> LRScheduler:
    """The schedule as a resumed process has it: the optimizer's state is loaded first."""
    other = make(optimizer())
    other.optimizer.load_state_dict(schedule.optimizer.state_dict())
    other.load_state_dict(schedule.state_dict())
    return other


@pytest.mark.parametrize("min_lr", [0.0, 1e-4])
def test_a_cosine_has_the_bits_of_torch(min_lr: float) -> None:
    ours = advance(cosine(optimizer(), 50, min_lr), 51)
    assert ours == advance(CosineAnnealingLR(optimizer(), 50, min_lr), 51)
    assert ours[50] == pytest.approx([min_lr, min_lr], abs=1e-9)


@pytest.mark.parametrize("make", [cosine, exponential])
def test_an_interrupted_schedule_has_the_bits_of_an_uninterrupted_one(
    make: Callable[..., LRScheduler],
) -> None:
    def given(each: torch.optim.Optimizer) -> LRScheduler:
        return make(each, max_steps=40)

    first = given(optimizer())
    rates = advance(first, 13) + advance(continued(first, given), 28)
    assert rates == advance(given(optimizer()), 41)


@pytest.mark.parametrize("make", [cosine, exponential])
@pytest.mark.parametrize("stop, longer", [(40, 80), (13, 80), (13, 20)])
def test_a_schedule_of_another_length_continues_on_the_curve_of_that_length(
    make: Callable[..., LRScheduler], stop: int, longer: int
) -> None:
    first = make(optimizer(), max_steps=40)
    advance(first, stop)
    extended = continued(first, lambda each: make(each, max_steps=longer))
    assert extended.get_last_lr() == [group["lr"] for group in extended.optimizer.param_groups]
    rates = advance(extended, 5)
    # A second interruption changes nothing.
    rates += advance(continued(extended, lambda each: make(each, max_steps=longer)), longer - stop - 4)
    expected = torch.tensor(advance(make(optimizer(), max_steps=longer), longer + 1))[stop:]
    torch.testing.assert_close(torch.tensor(rates), expected, atol=1e-8, rtol=1e-5)


def test_formulas() -> None:
    rates = advance(cosine(optimizer(), 10, 0.01), 4)
    assert rates[3][0] == pytest.approx(0.01 + 0.09 * (1 + math.cos(0.3 * math.pi)) / 2)
    assert advance(exponential(optimizer(), 10, 0.5), 11)[10] == pytest.approx([0.05, 1.5e-3])
    assert advance(constant(optimizer()), 20) == [[0.1, 3e-3]] * 20


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match=r"^max_steps=0 must be a whole number from 1 to"):
        cosine(optimizer(), 0)
    with pytest.raises(OptionError, match=r"^final_factor=0 must be a number above 0"):
        exponential(optimizer(), 5, 0)


def test_the_builder_gives_the_steps_of_the_run() -> None:
    def schedule(*overrides: str) -> Any:
        model = assemble(make_config("signal.resize=[8,8]", "network.width=4", "max_steps=70", *overrides))
        return model.schedule(optimizer())  # type: ignore[misc]

    assert schedule("schedule=cosine").T_max == 70
    assert schedule("schedule=exponential", "schedule.final_factor=0.2").max_steps == 70
    with pytest.raises(UserError, match=r"^schedule\.min_lr=-1\.0 must be a number from 0"):
        schedule("schedule.min_lr=-1.0")
    with pytest.raises(UserError, match=r"^schedule\.max_steps is not for a config to set"):
        schedule("+schedule.max_steps=5")


def test_a_schedule_of_torch_has_the_length_of_its_config() -> None:
    node = ["schedule._target_=torch.optim.lr_scheduler.StepLR", "~schedule.min_lr", "+schedule.step_size=3"]
    config = compose_config("signal.resize=[8,8]", "network.width=4", *node, allow=["torch."])
    model = assemble(config, ["torch."])
    assert model.schedule(optimizer()).step_size == 3  # type: ignore[misc,union-attr]
