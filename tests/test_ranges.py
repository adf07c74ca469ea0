"""Every number that a shipped target takes has a range in the signature, and the range is kept to."""

import inspect
import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import pytest
import yaml
from support import make_config

from coordnet.config import shipped
from coordnet.config.build import check_options, matches
from coordnet.config.check import DICT_GROUPS, GROUPS, check_config, check_settings
from coordnet.config.settings import RunSettings, SweepSettings, TrainerSettings
from coordnet.errors import OptionError, UserError, shown
from coordnet.options import Range, check_number, ranges_of, validate_ranges

# Arguments that a run gives to the constructor besides the options of the config.
GIVEN = {
    *("args", "batch", "channels", "domain", "ellipses", "encoding", "field", "in_dim", "kwargs", "metrics"),
    *(
        "max_steps",
        "network",
        "optimizer",
        "out_dim",
        "params",
        "prediction",
        "purge_step",
        "save_dir",
        "target",
    ),
    "value_range",
}
NODES = [
    (file.parent.name, node)
    for group in (*GROUPS, *DICT_GROUPS)
    for file in sorted((shipped.config_dir() / group).rglob("*.yaml"))
    for content in [yaml.safe_load(file.read_text())]
    for node in (content.values() if group in DICT_GROUPS else [content])
]
TARGETS = sorted({node["_target_"] for _, node in NODES})


def constructor(target: str) -> Any:
    """The function whose signature holds the options of a target."""
    module, _, name = target.rpartition(".")
    function = getattr(import_module(module), name)
    return function.__init__ if inspect.isclass(function) else function


def group_of(target: str) -> str:
    return next(group for group, node in NODES if node["_target_"] == target)


def one_of(check: Any, value: float) -> Any:
    return [value] * (check.range.entries or 1) if check.listed else value


def beyond(check: Any) -> Iterator[Any]:
    """The nearest numbers below and above a range."""
    low, high = check.range.low, check.range.high
    lower, higher = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
    if check.whole:
        lower, higher = low - 1, high + 1
    yield one_of(check, low if check.range.above else lower)
    yield one_of(check, high if check.range.below else higher)


def ends(check: Any) -> Iterator[Any]:
    """The lowest and the highest number of a range."""
    low, high = check.range.low, check.range.high
    yield one_of(check, math.nextafter(low, math.inf) if check.range.above else low)
    yield one_of(check, math.nextafter(high, -math.inf) if check.range.below else high)


# Signatures are complete


@pytest.mark.parametrize("target", TARGETS)
def test_every_number_that_a_shipped_target_takes_has_a_range(target: str) -> None:
    function = constructor(target)
    parameters = inspect.signature(function).parameters
    hints, ranges = get_type_hints(function), ranges_of(function)
    for name in parameters.keys() - GIVEN - {"self"}:
        is_number = any(matches(value, hints[name]) for value in (2, [2, 2]))
        is_number = is_number and hints[name] is not Any
        assert is_number == (name in ranges), name
        default = parameters[name].default
        if name in ranges and default is not inspect.Parameter.empty:
            assert ranges[name].allows(default), name


@pytest.mark.parametrize("settings", [RunSettings, TrainerSettings, SweepSettings])
def test_every_number_of_the_settings_has_a_range(settings: type) -> None:
    hints = get_type_hints(settings.__init__)
    for name, hint in hints.items():
        is_number = name not in ("name", "label") and any(matches(value, hint) for value in (2, [2, 2]))
        assert is_number == (name in ranges_of(settings.__init__)), name


@pytest.mark.parametrize(
    "number", range(len(NODES)), ids=[f"{group}={node['_target_']}" for group, node in NODES]
)
def test_every_number_of_a_shipped_config_is_in_its_range(number: int) -> None:
    node = NODES[number][1]
    ranges = ranges_of(constructor(node["_target_"]))
    for name, value in node.items():
        if name in ranges and not str(value).startswith("${"):
            assert ranges[name].allows(value), name


# Ranges are kept to


@pytest.mark.reliability("T21")
@pytest.mark.parametrize("target", [target for target in TARGETS if ranges_of(constructor(target))])
def test_the_ends_of_every_range_are_allowed_and_numbers_beyond_are_refused(target: str) -> None:
    group, config = group_of(target), make_config()
    key = f"{group}.x" if group in DICT_GROUPS else group

    def given(name: str, value: Any) -> dict[str, Any]:
        node = {"_target_": target, name: value}
        return {**config, group: {"x": node} if group in DICT_GROUPS else node}

    for name, check in ranges_of(constructor(target)).items():
        if name in GIVEN:
            continue
        for value in ends(check):
            check_config(given(name, value))
        for value in beyond(check):
            with pytest.raises(UserError) as error:
                check_config(given(name, value))
            assert str(error.value) == f"{key}.{name}={shown(value)} must be {check}"
        if not check.null:
            with pytest.raises(UserError, match=f"{key}.{name}=None must be"):
                check_config(given(name, None))


@pytest.mark.reliability("T21")
@pytest.mark.parametrize("name", sorted(ranges_of(RunSettings.__init__)))
def test_settings_are_in_their_ranges(name: str) -> None:
    config, check = make_config(), ranges_of(RunSettings.__init__)[name]
    for value in ends(check):
        check_settings({**config, name: value})
    for value in beyond(check):
        with pytest.raises(OptionError) as error:
            check_settings({**config, name: value})
        assert str(error.value) == f"{name}={shown(value)} must be {check}"


def test_a_call_is_held_to_the_ranges_of_its_signature() -> None:
    @validate_ranges
    def resize(size: Annotated[int, Range(1, 8, "pixels")] = 4, scale: float = 1.0) -> int:
        return size

    assert resize() == 4 and resize(size=8) == 8
    for wrong in (0, 9, 2.5, True, None, "4"):
        with pytest.raises(OptionError, match="must be a whole number from 1 to 8 pixels"):
            resize(wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="size=9 must be"):
        check_options(resize, {"size": 9}, "")


# Ranges in words


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (Annotated[float, Range(0, 10)], "a number from 0 to 10"),
        (Annotated[int, Range(2, 2**16, "pixels")], "a whole number from 2 to 65536 pixels"),
        (Annotated[float | None, Range(0, 24, above=True)], "a number above 0 to 24, or null"),
        (Annotated[Sequence[float], Range(0, 1, entries=2)], "a list of 2 numbers from 0 to 1"),
        (Annotated[Sequence[int] | None, Range(0, 1)], "a list of whole numbers from 0 to 1, or null"),
        (Annotated[int, Range(0, 2**63 - 1)], "a whole number from 0 to 9223372036854775807"),
        (Annotated[float, Range(-(2**24), 2**-24, "cycles")], "a number from -2^24 to 2^-24 cycles"),
        (Annotated[float, Range(0.01, 2**20)], "a number from 0.01 to 2^20"),
    ],
)
def test_a_range_says_its_bounds(hint: Any, text: str) -> None:
    with pytest.raises(OptionError) as error:
        check_number("x", "none", hint)
    assert error.value.allowed == f"must be {text}"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "1", "", {}, {1}, [[1]], 1j])
def test_values_that_are_no_numbers_are_in_no_range(value: object) -> None:
    with pytest.raises(OptionError):
        check_number("x", value, Annotated[float, Range(-1e38, 1e38)])
