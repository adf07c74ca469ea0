"""Values at the positions of a sequence: the task that compares encodings from the index to sines."""

import math
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import OptionError, UserError
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.options import Seed

Values = NDArray[np.floating]
Curve = Callable[[Values], Values]

_WAVES = 4
_STEPS = 8
# Number of positions past the end, as a share of the positions of the sequence, at most.
_MAX_EXTRAPOLATION = 4

_NumSamples = Annotated[int, Range(2, 2**16)]
_Extrapolation = Annotated[float, Range(0.01, _MAX_EXTRAPOLATION, "of the training range")]


class PositionSequence(Signal):
    """Values at the positions 0, ..., N - 1 of a line. All positions are trained on.

    Values are shifted and scaled so that the N values have mean 0 and mean square 1. The curve behind the values is
    known between the positions and past their end, where fields are evaluated too.

    Args:
        num_samples: N.
        curve: Maps real positions (n,) to values (n,), which differ on the N positions.
        extrapolation: Number of positions past the end as a share of N; rounded up.

    Raises:
        UserError: All N values are the same, or an option is outside its range.
    """

    channels = 1
    value_range = None

    @validate_ranges
    def __init__(self, num_samples: _NumSamples, curve: Curve, extrapolation: _Extrapolation = 0.25) -> None:
        self.domain = Domain((num_samples,))
        self.num_observations = num_samples
        self.num_scored = num_samples + math.ceil(extrapolation * num_samples)
        trained = curve(np.arange(num_samples, dtype=np.float64))
        self.curve, self.mean, self.deviation = curve, trained.mean(), trained.std()
        if self.deviation == 0:
            raise UserError("all values are the same, so there is no energy to measure an error against")
        self.values = self.reference(torch.arange(num_samples))

    def reference(self, position: Tensor) -> Tensor:
        """The true values (n, 1) at real positions (n,); samples lie at whole positions."""
        values = (self.curve(position.double().numpy()) - self.mean) / self.deviation
        return torch.from_numpy(values).float()[:, None]

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"coords": self.domain.index_to_coords(index[:, None]), "value": self.values[index]}

    def training_grid(self) -> Tensor:
        """The values (n, 1) at the positions."""
        return self.values


@validate_ranges
def sequence(
    num_samples: _NumSamples = 256,
    values: Literal["smooth", "stepped", "random"] = "smooth",
    seed: Seed = 0,
    extrapolation: _Extrapolation = 0.25,
) -> PositionSequence:
    """A sequence whose values are smooth, stepped or random, and continue in the same way past the end.

    The shape of smooth and stepped values is drawn in shares of the domain, so the shape does not depend on N. Smooth
    values are four sines of 0.5 to 3 cycles, which fewer than 7 samples cannot distinguish. Stepped values are 8 steps
    of normal heights; fewer than 8 samples miss some of the steps. Random values are independent.

    Args:
        num_samples: N.
        values: Kind of the values: "smooth", "stepped" or "random".
        seed: Seed of the values.
        extrapolation: Number of evaluated positions past the end as a share of N; rounded up.

    Raises:
        OptionError: An option is outside its range.
    """
    if values not in CURVES:
        raise OptionError("values", values, f"must be one of {', '.join(CURVES)}")
    return PositionSequence(num_samples, CURVES[values](num_samples, seed), extrapolation)


def smooth(num_samples: int, seed: int) -> Curve:
    """sum_i sin(2 pi (k_i u + phi_i)), u = (p + 1/2) / N, four waves: k in [0.5, 3] cycles, phi in [0, 1) drawn."""
    rng = np.random.default_rng(seed)
    cycles, shift = rng.uniform(0.5, 3, _WAVES), rng.random(_WAVES)
    return lambda p: np.sin(2 * math.pi * (cycles * (p[:, None] + 0.5) / num_samples + shift)).sum(axis=1)


def stepped(num_samples: int, seed: int) -> Curve:
    """The height of step floor(8 q / N), q the nearest position, so that edges lie half-way between positions."""
    heights = np.random.default_rng(seed).standard_normal(_STEPS * (1 + _MAX_EXTRAPOLATION))

    def curve(p: Values) -> Values:
        step = np.floor(p + 0.5) * _STEPS // num_samples
        return heights[step.clip(0, len(heights) - 1).astype(int)]

    return curve


def random_values(num_samples: int, seed: int) -> Curve:
    """An independent N(0, 1) at each whole position, linear in between."""
    values = np.random.default_rng(seed).standard_normal(num_samples * (1 + _MAX_EXTRAPOLATION))
    return lambda p: np.interp(p, np.arange(len(values)), values)


CURVES: dict[str, Callable[[int, int], Curve]] = {
    "smooth": smooth,
    "stepped": stepped,
    "random": random_values,
}
