"""Ranges stand in signatures: each call of a decorated constructor or function is checked against them."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from support import make_config

from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.fourier import gaussian
from coordnet.errors import OptionError, UserError
from coordnet.networks.mlp import Mlp
from coordnet.options import Range, check_number, ranges_of, validate_ranges

Whole = Annotated[int, Range(2, 8)]
Real = Annotated[float, Range(2, 8)]
NOT_NUMBERS = [math.nan, math.inf, -math.inf, True, "4", "", {}, {4}, [[4]], 4j]


def allows(hint: Any, value: object) -> bool:
    """True if `check_number` accepts the value."""
    try:
        check_number("option", value, hint)
    except OptionError:
        return False
    return True


@pytest.mark.parametrize("hint", [Whole, Real])
def test_both_bounds_are_in_the_range_and_the_next_numbers_are_not(hint: Any) -> None:
    assert allows(hint, 2) and allows(hint, 8)
    assert not allows(hint, 1) and not allows(hint, 9)
    assert not allows(hint, math.nextafter(2, 0)) and not allows(hint, math.nextafter(8, 9))


def test_open_ends_are_outside_the_range() -> None:
    hint = Annotated[float, Range(0, 1, above=True, below=True)]
    assert not allows(hint, 0) and not allows(hint, 1)
    assert allows(hint, math.nextafter(0, 1)) and allows(hint, math.nextafter(1, 0))


def test_int_asks_for_whole_numbers() -> None:
    assert not allows(Whole, 4.0) and not allows(Whole, 4.5)
    assert allows(Real, 4) and allows(Real, 4.5)


@pytest.mark.parametrize("kind", [int, float])
def test_null_is_allowed_where_the_annotation_has_none(kind: Any) -> None:
    assert not allows(Annotated[kind, Range(2, 8)], None)
    assert allows(Annotated[kind | None, Range(2, 8)], None)
    assert allows(Annotated[kind | None, Range(2, 8)], 4) and not allows(
        Annotated[kind | None, Range(2, 8)], 9
    )


def test_every_entry_of_a_list_is_checked() -> None:
    pair = Annotated[Sequence[int], Range(2, 8, entries=2)]
    some = Annotated[Sequence[float] | None, Range(2, 8)]
    assert allows(pair, [2, 8]) and allows(pair, (2, 8))
    assert not any(allows(pair, value) for value in ([2], [2, 3, 4], [2, 9], [2, 4.5], 4, "44", None))
    assert all(allows(some, value) for value in ([], [2.5], [2, 3, 4], None))
    assert not any(allows(some, value) for value in ([1.5], 4, "4", [None]))


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_values_that_are_no_numbers_are_in_no_range(value: object) -> None:
    assert not allows(Annotated[float, Range(-1e38, 1e38)], value)
    assert not allows(Annotated[Sequence[float], Range(-1e38, 1e38)], [4, value])


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (Annotated[float, Range(0, 10)], "a number from 0 to 10"),
        (Annotated[int, Range(2, 2**16, "pixels")], "a whole number from 2 to 65536 pixels"),
        (Annotated[float | None, Range(0, 24, above=True)], "a number above 0 to 24, or null"),
        (
            Annotated[Sequence[float], Range(0, 1, below=True, entries=2)],
            "a list of 2 numbers from 0 to below 1",
        ),
        (Annotated[Sequence[float], Range(-(2**24), 2**-24)], "a list of numbers from -2^24 to 2^-24"),
        (Annotated[int, Range(0.01, 2**63 - 1)], "a whole number from 0.01 to 9223372036854775807"),
    ],
)
def test_a_message_names_option_value_and_range(hint: Any, text: str) -> None:
    with pytest.raises(OptionError) as refused:
        check_number("amount", "much", hint)
    assert str(refused.value) == f"amount='much' must be {text}"


def test_a_hint_without_a_range_allows_everything() -> None:
    assert all(allows(hint, "4") for hint in (int, Annotated[int, "a note"], Any))


@validate_ranges
def area(height: Whole, width: Real = 2, *, name: str = "") -> float:
    """The area of a rectangle."""
    return height * width


class Box:
    @validate_ranges
    def __init__(self, height: Whole, width: Real | None = None) -> None:
        self.height = height


def test_a_function_is_checked_at_each_call_by_position_and_by_name() -> None:
    assert area(3) == 6 and area(3, 2.5, name="x") == 7.5 and area(width=4, height=2) == 8
    for given in ((9,), (3, 9)):
        with pytest.raises(OptionError, match=r"^(height|width)=9 must be a"):
            area(*given)
    with pytest.raises(OptionError, match=r"^width='2' must be a number from 2 to 8$"):
        area(3, width="2")  # type: ignore[arg-type]


def test_a_class_is_checked_at_construction() -> None:
    assert Box(3).height == 3
    with pytest.raises(OptionError, match=r"^height=1 must be a whole number from 2 to 8$"):
        Box(1)


def test_decoration_keeps_name_docstring_and_errors_of_the_call() -> None:
    assert area.__name__ == "area" and area.__doc__ == "The area of a rectangle."
    with pytest.raises(TypeError, match="height"):
        area()  # type: ignore[call-arg]
    assert set(ranges_of(area)) == {"height", "width"}


# Through a config


def refusal(*overrides: str) -> str:
    """The message with which the encoding of a config is refused."""
    with pytest.raises(UserError) as refused:
        build(make_config(*overrides)["encoding"], "encoding", domain=Domain((8, 8)))
    return str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encoding.num_frequencies=0"], "encoding.num_frequencies=0 must be a whole number from 1 to 65536"),
        (["+encoding.num_frequncies=3"], "encoding.num_frequncies is unknown; did you mean num_frequencies?"),
        (
            ["encoding=coarse_to_fine", "encoding.encoding.min_frequency=-1"],
            "encoding.encoding.min_frequency=-1 must be a number from 2^-24 to 2^24 cycles across the domain",
        ),
        (
            ["encoding=coarse_to_fine", "+encoding.encoding.min_freqency=1"],
            "encoding.encoding.min_freqency is unknown; did you mean min_frequency?",
        ),
        (
            ["encoding=composite", "encoding.parts.y.encoding.num_frequencies=0"],
            "encoding.parts.y.encoding.num_frequencies=0 must be a whole number from 1 to 65536, or null",
        ),
        (
            [
                *("encoding=composite", "encoding@encoding.parts.y.encoding=coarse_to_fine"),
                "encoding.parts.y.encoding.encoding.num_frequencies=0",
            ],
            "encoding.parts.y.encoding.encoding.num_frequencies=0 must be a whole number from 1 to 65536, or null",
        ),
    ],
)
def test_a_nested_encoding_is_refused_with_its_full_key(overrides: list[str], message: str) -> None:
    assert refusal(*overrides) == message


def test_a_library_user_reads_the_option_without_a_key() -> None:
    with pytest.raises(OptionError, match=r"^num_frequencies=0 must be a whole number from 1 to 65536$"):
        gaussian(Domain((8, 8)), num_frequencies=0)
    with pytest.raises(OptionError, match=r"^depth=-1 must be a whole number from 0 to 1024 hidden layers$"):
        Mlp(2, 1, depth=-1)
