import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.rng import keyed_generator
from coordnet.signals.base import Signal
from coordnet.training.batches import BatchSampler


class Counting(Signal):
    """Observes its own index."""

    domain = Domain((1,))
    channels = 1
    value_range = None

    def __init__(self, num_observations: int) -> None:
        self.num_observations = num_observations

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"value": index}


def drawn(seed: int, step: int, total: int = 10**6) -> list[int]:
    return BatchSampler(Counting(total), 64, seed)(step)["value"].tolist()


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    first = drawn(3, 5)
    torch.manual_seed(99)
    batches = BatchSampler(Counting(10**6), 64, 3)
    for step in (0, 7, 4):
        batches(step)
    assert batches(5)["value"].tolist() == first


def test_batches_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn(0, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_or_step_draws_another_batch() -> None:
    keys = [(seed, step) for seed in range(8) for step in range(8)]
    assert len({tuple(drawn(*key)) for key in keys}) == len(keys)


def test_neighboring_steps_share_no_more_than_chance() -> None:
    # 64 of 1000 twice: 4 common values expected; more than 20 has probability below 1e-8.
    for step in range(10):
        assert len(set(drawn(0, step, total=1000)) & set(drawn(0, step + 1, total=1000))) < 20


def test_draws_cover_all_observations_evenly() -> None:
    total, size, steps = 50, 500, 40
    batches = BatchSampler(Counting(total), size, 0)
    counts = torch.zeros(total)
    for step in range(steps):
        counts += torch.bincount(batches(step)["value"], minlength=total)
    expected = size * steps / total
    chi_square = ((counts - expected) ** 2 / expected).sum().item()
    # Chi-square of 49 degrees of freedom: mean 49, standard deviation 9.9; both bounds are about 4 away.
    assert 15 < chi_square < 95


def test_size_none_takes_all_in_order_at_every_step() -> None:
    batches = BatchSampler(Counting(9), None, 0)
    for step in (0, 1, 100):
        assert batches(step)["value"].tolist() == list(range(9))


@pytest.mark.parametrize("size", [0, -1])
def test_empty_batches_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=r"^batch_size="):
        BatchSampler(Counting(9), size, 0)


def test_generator_takes_large_seeds() -> None:
    draws = {
        torch.randint(2**60, (1,), generator=keyed_generator(seed, 0)).item()
        for seed in (0, 2**32 - 1, 2**40)
    }
    assert len(draws) == 3


@pytest.mark.parametrize("size", [None, 64])
def test_shares_make_up_the_batch(size: int | None) -> None:
    batches = BatchSampler(Counting(96), size, 3)
    shares = [batches(5, rank, 4)["value"] for rank in range(4)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(), batches(5)["value"])
