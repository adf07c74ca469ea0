"""Ranges of options: each range stands in the signature of the constructor that takes the option."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from coordnet.errors import OptionError

# float32 weights with their gradients and Adam's two moments then take up to 4 GiB.
MAX_WEIGHTS = 2**28

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, as metadata of an annotated parameter.

    The rest of the annotation says the kind: `int` allows whole numbers only, `None` allows null, and `Sequence` asks
    for a list of such numbers.

        def fourier(num_frequencies: Annotated[int | None, Range(1, 2**16)] = None): ...

    Attributes:
        low: The lowest number.
        high: The highest number.
        unit: The unit of both bounds, such as "cycles across the domain".
        above: True if `low` itself is excluded.
        below: True if `high` itself is excluded.
        entries: The length of a list; 0 allows any length.
    """

    low: float
    high: float
    unit: str = ""
    above: bool = False
    below: bool = False
    entries: int = 0


@dataclass(frozen=True)
class _Check:
    """A range together with the kind of number that the annotation asks for."""

    range: Range
    whole: bool
    null: bool
    listed: bool

    def allows(self, value: Any) -> bool:
        if value is None:
            return self.null
        if not self.listed:
            return self._allows_number(value)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        return len(value) == (self.range.entries or len(value)) and all(map(self._allows_number, value))

    def _allows_number(self, value: Any) -> bool:
        kind: Any = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        low, high = self.range.low, self.range.high
        return bool(
            (value > low if self.range.above else value >= low)
            and (value < high if self.range.below else value <= high)
        )

    def __str__(self) -> str:
        what = "whole number" if self.whole else "number"
        if self.listed:
            count = f"{self.range.entries} " if self.range.entries else ""
            what = f"list of {count}{what}s"
        low = f"above {_format(self.range.low)}" if self.range.above else f"from {_format(self.range.low)}"
        high = f"below {_format(self.range.high)}" if self.range.below else _format(self.range.high)
        unit = f" {self.range.unit}" if self.range.unit else ""
        return f"a {what} {low} to {high}{unit}{', or null' if self.null else ''}"


def _format(bound: float) -> str:
    """A bound as a person writes it: large and small powers of 2 as such."""
    exponent = math.frexp(bound)[1] - 1
    if abs(exponent) > 16 and abs(bound) == 2**exponent:
        return f"{'-' if bound < 0 else ''}2^{exponent}"
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def check_number(option: str, value: object, hint: Any) -> None:
    """Refuse a value that an annotated hint does not allow.

    Args:
        option: The name of the option.
        value: The value of the option.
        hint: An annotation that holds a `Range`, such as `Annotated[int, Range(1, 8)]`.

    Raises:
        OptionError: The value is outside the range, or of another kind.
    """
    check = _check_of(hint)
    if check is not None and not check.allows(value):
        raise OptionError(option, value, f"must be {check}")


def _check_of(hint: Any) -> _Check | None:
    if get_origin(hint) is not Annotated:
        return None
    inner, *metadata = get_args(hint)
    found = next((each for each in metadata if isinstance(each, Range)), None)
    if found is None:
        return None
    kinds = list(get_args(inner)) or [inner]
    null = NoneType in kinds
    listed = (
        inner
        if get_origin(inner) is Sequence
        else next((k for k in kinds if get_origin(k) is Sequence), None)
    )
    number = get_args(listed)[0] if listed is not None else next(k for k in kinds if k is not NoneType)
    return _Check(found, number is int, null, listed is not None)


@cache
def ranges_of(function: Callable[..., object]) -> dict[str, _Check]:
    """The ranges in a signature, by the name of the parameter."""
    hints = get_type_hints(function, include_extras=True)
    return {name: check for name, hint in hints.items() if (check := _check_of(hint))}


def validate_ranges(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function or an `__init__`: each call checks the arguments against the ranges in the signature.

    Raises:
        OptionError: An argument is outside the range of its parameter.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            check = ranges_of(function).get(name)
            if check is not None and not check.allows(value):
                raise OptionError(name, value, f"must be {check}")
        return function(*args, **kwargs)

    return checked
