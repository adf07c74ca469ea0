"""Means over replicates, and paired differences with confidence intervals."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.special import stdtrit

Key = TypeVar("Key", bound=Hashable)
CONFIDENCE = 0.95


class Mean(NamedTuple):
    """Mean of replicates.

    Attributes:
        n: Number of replicates.
        mean: Mean; NaN without replicates.
        std: Sample standard deviation, over n - 1; NaN for fewer than two replicates.
    """

    n: int
    mean: float
    std: float


class Difference(NamedTuple):
    """Mean difference between the paired jobs of two variants.

    Attributes:
        pairs: Number of pairs.
        mean: Mean of the differences; NaN without pairs.
        half_width: Half width of the two-sided Student-t interval around the mean. NaN, which means no interval, for
            fewer than two pairs, for pairs that all differ by the same amount, and for values that are not finite.
    """

    pairs: int
    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width

    @property
    def excludes_zero(self) -> bool:
        """True if the interval exists and does not contain zero."""
        return abs(self.mean) > self.half_width


def mean_and_std(values: Sequence[float]) -> Mean:
    """Return the mean and the sample standard deviation of values."""
    array = np.array(values, np.float64)
    with np.errstate(all="ignore"):
        mean = float(array.mean()) if values else math.nan
        std = float(array.std(ddof=1)) if len(values) > 1 else math.nan
    return Mean(len(values), mean, std)


def paired_difference(
    values: Mapping[Key, float], others: Mapping[Key, float], confidence: float = CONFIDENCE
) -> Difference:
    """Average `values - others` over the keys that both have.

    With n differences of mean m and sample standard deviation s the interval is m -+ t s / sqrt(n), where t is the
    (1 + confidence) / 2 quantile of Student's distribution with n - 1 degrees of freedom.
    """
    differences = [value - others[key] for key, value in values.items() if key in others]
    n, mean, std = mean_and_std(differences)
    if len(set(differences)) < 2:
        return Difference(n, mean, math.nan)
    return Difference(n, mean, float(stdtrit(n - 1, (1 + confidence) / 2)) * std / math.sqrt(n))


def at_seconds(history: Sequence[Mapping[str, float]], seconds: float) -> dict[str, float]:
    """Interpolate the metrics of a run linearly between its evaluations.

    Args:
        history: Rows of metrics.csv, at least one, with rising "seconds".
        seconds: Seconds of training. Before the first row and after the last row the metrics are constant.
    """
    times = [row["seconds"] for row in history]
    return {key: float(np.interp(seconds, times, [row[key] for row in history])) for key in history[-1]}
