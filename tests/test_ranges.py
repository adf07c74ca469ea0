"""Every number of a shipped target has a range, which holds before torch is loaded and in the constructor."""

import inspect
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from support import make_config

from coordnet.config import shipped
from coordnet.config.build import matches
from coordnet.config.check import GROUPS, NOT_SHOWN, check_config
from coordnet.errors import UserError, shown
from coordnet.options import ranges_of
from coordnet.ranges import RANGES, Range, spelled

FILES = [
    file for group in (*GROUPS, "radiance") for file in sorted((shipped.config_dir() / group).glob("*.yaml"))
]
# What constructors take besides what a config says.
GIVEN = {
    *("args", "domain", "ellipses", "in_dim", "kwargs", "last_epoch", "metrics", "optimizer", "out_dim"),
    "params",
}
RADIANCE_GIVEN = {"channels", "encoding", "network", "precision", "value_range"}
# What a run makes of an option itself.
TAKEN = {"encoding_lr"}


def in_signature(target: str) -> Mapping[str, Any]:
    """The ranges in the signature of a target, by option."""
    module, _, name = target.rpartition(".")
    function = getattr(import_module(module), name)
    return ranges_of(function.__init__ if inspect.isclass(function) else function)


@cache
def content(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


def group_of(target: str) -> str:
    return next(file.parent.name for file in FILES if content(file)["_target_"] == target)


def one_of(numbers: Range, value: float) -> Any:
    return value if numbers.entries is None else [value] * (numbers.entries or 1)


def beyond(numbers: Range) -> Iterator[Any]:
    """What is just below and just above a range."""
    low, high = (
        (numbers.low - 1, numbers.high + 1)
        if numbers.whole
        else (math.nextafter(numbers.low, -math.inf), math.nextafter(numbers.high, math.inf))
    )
    yield one_of(numbers, numbers.low if numbers.above else low)
    yield one_of(numbers, numbers.high if numbers.below else high)


def ends(numbers: Range) -> Iterator[Any]:
    """The lowest and the highest of a range."""
    yield one_of(numbers, math.nextafter(numbers.low, math.inf) if numbers.above else numbers.low)
    yield one_of(numbers, math.nextafter(numbers.high, -math.inf) if numbers.below else numbers.high)


def entries() -> Iterator[tuple[str, str, str, Range]]:
    """Target, group, option and range."""
    for target, ranges in RANGES.items():
        for name, numbers in ranges.items():
            yield target, group_of(target), name, numbers


# The table is complete


@pytest.mark.parametrize("target", sorted(shipped.options()))
def test_every_number_that_a_shipped_target_takes_has_a_range_of_its_type(target: str) -> None:
    module, _, name = target.rpartition(".")
    function = getattr(import_module(module), name)
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    ranges = RANGES.get(target, {})
    known = {*ranges, *shipped.options()[target], *NOT_SHOWN.get(target, ())}
    given = GIVEN | (RADIANCE_GIVEN if target == "coordnet.fields.radiance_field.RadianceField" else set())
    assert known - TAKEN == parameters.keys() - given
    for option in known - TAKEN:
        is_number = any(matches(value, hints[option]) for value in (2, [2, 2]))
        assert is_number == (option in ranges or option in in_signature(target)), option
    for option in ranges.keys() - TAKEN:
        numbers = ranges[option]
        default = parameters[option].default
        assert default is inspect.Parameter.empty or numbers.holds(default), option
        any_list = None if numbers.entries is None else 0
        wide = replace(numbers, low=0, high=9, above=False, below=False, entries=any_list)
        for value in (2, 2.5, None, [2, 2], [2.5, 2.5], [True, True], True, "2", {}):
            assert wide.holds(value) == matches(value, hints[option]), (option, value)


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}={file.stem}" for file in FILES])
def test_every_number_of_a_shipped_config_is_in_its_range(file: Path) -> None:
    node = content(file)
    for option, value in node.items():
        if any(matches(value, hint) for hint in (float, list[float])):
            target = node["_target_"]
            holds = RANGES[target][option].holds if target in RANGES else in_signature(target)[option].allows
            assert holds(value), option


def test_the_table_names_only_what_is_shipped() -> None:
    assert set(RANGES) | set(NOT_SHOWN) <= set(shipped.options())


# It is kept to


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        check_config(config)
    return str(error.value)


def check_all() -> None:
    config = make_config()
    for target, group, option, numbers in entries():
        for value in ends(numbers):
            check_config({**config, group: {"_target_": target, option: value}})
        for value in beyond(numbers):
            said = refused({**config, group: {"_target_": target, option: value}})
            assert said == f"{group}.{option}={shown(value)} must be {numbers}"
        if not numbers.null:
            assert f"{group}.{option}=None" in refused({**config, group: {"_target_": target, option: None}})


@pytest.mark.reliability("T21")
def test_the_ends_of_every_range_are_allowed_and_what_is_beyond_is_refused_before_torch_is_loaded() -> None:
    code = "import sys, test_ranges; test_ranges.check_all(); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (Range(0, 10), "a number from 0 to 10"),
        (Range(2, 2**16, "pixels", whole=True), "a whole number from 2 to 65536 pixels"),
        (Range(0, 24, null=True, above=True), "a number above 0 and up to 24, or null"),
        (Range(0, 1, below=True, entries=2), "a list of 2 numbers from 0 to below 1"),
        (Range(-(2**24), 2**-24, "cycles", entries=0), "a list of numbers from -2^24 to 2^-24 cycles"),
    ],
)
def test_a_range_says_what_is_allowed(numbers: Range, text: str) -> None:
    assert str(numbers) == text


@pytest.mark.parametrize(
    ("bound", "text"), [(2**63 - 1, "9223372036854775807"), (2**20, "2^20"), (0.01, "0.01"), (0, "0")]
)
def test_bounds_are_spelled_exactly(bound: float, text: str) -> None:
    assert spelled(bound) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", "", {}, {1}, [[1]], 1j])
def test_what_is_no_number_is_in_no_range(value: object) -> None:
    assert not Range(-1e38, 1e38).holds(value)
    assert not Range(-1e38, 1e38, entries=0).holds([1, value])
    assert not Range(-1e38, 1e38, entries=0).holds(value)
