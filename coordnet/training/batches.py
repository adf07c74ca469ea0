"""BatchSampler as a pure function of (seed, step): no worker, no loader state, and an exact resume."""

import torch
from torch import Tensor

from coordnet.errors import UserError
from coordnet.rng import keyed_generator
from coordnet.signals.base import Signal


class BatchSampler:
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

    def __call__(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step, or the share in it of one of `world` processes."""
        total = self.signal.num_observations
        if self.size is None:
            index = torch.arange(total)
        else:
            index = torch.randint(total, (self.size,), generator=keyed_generator(self.seed, step))
        return self.signal.get_batch(index[rank::world])
