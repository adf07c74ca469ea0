"""Batches as a pure function of (seed, step, rank): no worker, no loader state, and an exact resume."""

import numpy as np
import torch
from torch import Tensor

from coordnet.errors import UserError
from coordnet.signals.base import Signal


def generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """A generator of its own for each (seed, step, rank)."""
    state = np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


class Batches:
    """Observations of a signal, drawn uniformly with replacement.

    Args:
        signal: What is observed.
        size: Observations per batch; None takes all of them, in order, at every step.
        seed: Of the draws.
    """

    def __init__(self, signal: Signal, size: int | None, seed: int) -> None:
        if size is not None and size < 1:
            raise UserError(f"trainer.batch_size={size} must be at least 1, or null for all observations")
        self.signal = signal
        self.size = size
        self.seed = seed

    def __call__(self, step: int, rank: int = 0) -> dict[str, Tensor]:
        total = self.signal.num_observations
        if self.size is None:
            return self.signal.observe(torch.arange(total))
        index = torch.randint(total, (self.size,), generator=generator(self.seed, step, rank))
        return self.signal.observe(index)
