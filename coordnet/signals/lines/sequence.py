"""Values at the positions of a sequence: the task on which the ladder from an index to sines is climbed."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.ranges import MAX_BEYOND, check_ranges
from coordnet.signals.base import Signal

Values = NDArray[np.floating]
Curve = Callable[[Values], Values]

WAVES = 4
STEPS = 8


class Sequence(Signal):
    """Values at the positions 0, ..., N - 1 of a line, all of them trained on; scored between them and past the end.

    Values are shifted and scaled so that those at the N positions have mean 0 and mean square 1. All three metrics
    are mean squared errors divided by that 1, not by the energy of the points they are taken at, which past the end
    may be small: 0 is perfect, and 1 at the positions is what the best constant scores.

    - "train/nmse": at the positions.
    - "between/nmse": at 8 points between each two neighbors, which lie 1/16, 3/16, ..., 15/16 of the way, so that
      no position is among them.
    - "beyond/nmse": at the positions N, N + 1, ... past the end.

    Args:
        num_samples: N, in [2, 2^16].
        curve: The values (n,) at any real positions (n,), not constant on the N positions.
        beyond: Positions past the end as a share of N, in [0.01, 4]; rounded up.
    """

    channels = 1
    value_range = None

    def __init__(self, num_samples: int, curve: Curve, beyond: float = 0.25) -> None:
        check_ranges(sequence, num_samples=num_samples, beyond=beyond)
        self.domain = Domain((num_samples,))
        self.num_observations = num_samples
        self.num_scored = num_samples + math.ceil(beyond * num_samples)
        trained = curve(np.arange(num_samples, dtype=np.float64))
        self.curve, self.mean, self.deviation = curve, trained.mean(), trained.std()
        if self.deviation == 0:
            raise UserError(
                "signal: all values are the same, so there is no energy to measure an error against"
            )
        self.values = self.reference(torch.arange(num_samples))

    def reference(self, position: Tensor) -> Tensor:
        """The true values (n, 1) at real positions (n,), whole at the samples."""
        values = (self.curve(position.double().numpy()) - self.mean) / self.deviation
        return torch.from_numpy(values).float()[:, None]

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"coords": self.domain.index_to_coords(index[:, None]), "value": self.values[index]}

    def training_grid(self) -> Tensor:
        return self.values


def smooth(num_samples: int, seed: int) -> Curve:
    """sum_i sin(2 pi (k_i u + phi_i)), u = (p + 1/2) / N, four waves: k in [0.5, 3] cycles, phi in [0, 1) drawn."""
    rng = np.random.default_rng(seed)
    cycles, shift = rng.uniform(0.5, 3, WAVES), rng.random(WAVES)
    return lambda p: np.sin(2 * math.pi * (cycles * (p[:, None] + 0.5) / num_samples + shift)).sum(axis=1)


def stepped(num_samples: int, seed: int) -> Curve:
    """The height of step floor(8 q / N), q the nearest position, so that edges lie half-way between positions."""
    heights = np.random.default_rng(seed).standard_normal(STEPS * (1 + MAX_BEYOND))

    def curve(p: Values) -> Values:
        step = np.floor(p + 0.5) * STEPS // num_samples
        return heights[step.clip(0, len(heights) - 1).astype(int)]

    return curve


def random(num_samples: int, seed: int) -> Curve:
    """An independent N(0, 1) at each whole position, linear in between."""
    values = np.random.default_rng(seed).standard_normal(num_samples * (1 + MAX_BEYOND))
    return lambda p: np.interp(p, np.arange(len(values)), values)


CURVES: dict[str, Callable[[int, int], Curve]] = {"smooth": smooth, "stepped": stepped, "random": random}


def sequence(
    num_samples: int = 256,
    values: Literal["smooth", "stepped", "random"] = "smooth",
    seed: int = 0,
    beyond: float = 0.25,
) -> Sequence:
    """A sequence whose values are smooth, stepped or random, and go on in the same way past its end.

    The shape of a smooth or stepped one is drawn in shares of the domain, so it does not depend on N: four sines of
    0.5 to 3 cycles, which fewer than 7 samples cannot tell apart, or 8 steps of normal heights, of which fewer than 8
    samples see only some. Random values are independent.

    Args:
        num_samples: N, in [2, 2^16].
        values: "smooth", "stepped" or "random".
        seed: Of the draw, at least 0.
        beyond: Positions scored past the end as a share of N, in [0.01, 4]; rounded up.

    Raises:
        UserError: Some option is outside these ranges.
    """
    check_ranges(sequence, num_samples=num_samples, seed=seed)
    if values not in CURVES:
        raise UserError(f"signal.values={values!r} must be one of {', '.join(CURVES)}")
    return Sequence(num_samples, CURVES[values](num_samples, seed), beyond)
