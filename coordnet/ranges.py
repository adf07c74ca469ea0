"""Which numbers the options of shipped targets may be. No torch here, so that a slip shows before it is loaded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from coordnet.errors import UserError, shown


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Attributes:
        low: The lowest.
        high: The highest.
        unit: Of both.
        whole: Whole numbers only.
        null: None is allowed too.
        above: All numbers are above `low`.
        below: All numbers are below `high`.
        entries: Numbers in a list; 0 for any number of them, and None for one without a list.
    """

    low: float
    high: float
    unit: str = ""
    whole: bool = False
    null: bool = False
    above: bool = False
    below: bool = False
    entries: int | None = None

    def holds(self, value: Any) -> bool:
        if value is None:
            return self.null
        if self.entries is None:
            return self.holds_one(value)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        return len(value) == (self.entries or len(value)) and all(map(self.holds_one, value))

    def holds_one(self, value: Any) -> bool:
        kind: Any = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return bool(over and under)

    def check(self, key: str, value: object) -> None:
        """Refuse a value of the option `key` that is none of these numbers.

        Raises:
            UserError: The message names key, value and range.
        """
        if not self.holds(value):
            raise UserError(f"{key}={shown(value)} must be {self}")

    def __str__(self) -> str:
        what = "whole number" if self.whole else "number"
        if self.entries is not None:
            what = f"list of {f'{self.entries} ' if self.entries else ''}{what}s"
        low = f"above {spelled(self.low)} and up" if self.above else f"from {spelled(self.low)}"
        high = f"below {spelled(self.high)}" if self.below else spelled(self.high)
        unit = f" {self.unit}" if self.unit else ""
        return f"a {what} {low} to {high}{unit}{', or null' if self.null else ''}"


def spelled(bound: float) -> str:
    """A number as a person writes it: large and small powers of 2 as such."""
    exponent = math.frexp(bound)[1] - 1
    if abs(exponent) > 16 and abs(bound) == 2**exponent:
        return f"{'-' if bound < 0 else ''}2^{exponent}"
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def or_null(numbers: Range) -> Range:
    return replace(numbers, null=True)


SHARE = Range(0, 1)


# Rates have no scale; these are what float32 holds.
RATE = Range(0, 1e38)
STEPS = Range(1, 10**9, whole=True)


# Of each target with such options. Bounds that depend on other values are the constructor's to check.
RANGES: Mapping[str, Mapping[str, Range]] = {
    "torch.optim.Adam": {
        "lr": RATE,
        "encoding_lr": or_null(RATE),
        "betas": Range(0, 1, below=True, entries=2),
        "eps": SHARE,
        "weight_decay": RATE,
    },
    "torch.optim.SGD": {
        "lr": RATE,
        "encoding_lr": or_null(RATE),
        "momentum": SHARE,
        "dampening": SHARE,
        "weight_decay": RATE,
    },
}
