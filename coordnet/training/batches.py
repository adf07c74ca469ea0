"""Batches as a pure function of (seed, step): no worker, no loader state, and an exact resume."""

import torch
from torch import Tensor

from coordnet.errors import OptionError
from coordnet.rng import keyed_generator
from coordnet.signals.base import Signal


class BatchSampler:
    """Observations of a signal, drawn uniformly with replacement.

        batches = BatchSampler(signal, size=1024, seed=0)
        batches(step=7)["coords"]  # (1024, d), the same at every call

    Args:
        signal: The data.
        size: Observations per batch, at least 1; None takes all observations, in order, at every step.
        seed: Seed of the draws.

    Raises:
        OptionError: The size is below 1.
    """

    def __init__(self, signal: Signal, size: int | None, seed: int) -> None:
        if size is not None and size < 1:
            raise OptionError("batch_size", size, "must be at least 1, or null for all observations")
        self.signal = signal
        self.size = size
        self.seed = seed

    def __call__(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step, or the share of one of `world` processes in that batch."""
        total = self.signal.num_observations
        if self.size is None:
            index = torch.arange(total)
        else:
            index = torch.randint(total, (self.size,), generator=keyed_generator(self.seed, step))
        return self.signal.get_batch(index[rank::world])
