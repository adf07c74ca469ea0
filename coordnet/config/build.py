"""From a config node to an object: import, one getattr, one call, and one clear line if that cannot be."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from coordnet.config import shipped
from coordnet.errors import OptionError, UserError, shown
from coordnet.options import ranges_of

Node = Mapping[str, Any]


def factory(node: Node, key: str, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """The callable that `node["_target_"]` names, with the node's other entries bound to it.

    Args:
        node: A `_target_`, and keyword arguments. Entries that are nodes themselves become factories too.
        key: The node's name in the config, for messages.
        allow: Packages such as "mypkg." that targets may lie in besides those the shipped configs name.

    Raises:
        UserError: The target is not allowed or not there, or an option is unknown or of the wrong type.
    """
    if not isinstance(node, Mapping):
        raise UserError(f"{key}={shown(node)} must be a node with a _target_")
    target = check_target(node.get("_target_"), key, allow)
    module, _, name = target.rpartition(".")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}._target_={target} cannot be imported: {error}") from None
    if not callable(function):
        raise UserError(f"{key}._target_={target} cannot be called")
    options = {
        name: with_factories(value, f"{key}.{name}", allow)
        for name, value in node.items()
        if name != "_target_"
    }
    try:
        check_options(function, options, key)
    except OptionError as error:
        # The error has its full key. A UserError passes unchanged through the constructors around this node.
        raise UserError(str(error)) from None
    return partial(function, **options)


def check_target(target: object, key: str, allow: Sequence[str]) -> str:
    """The name if it is one that the shipped configs hold, or lies in an allowed package."""
    if not isinstance(target, str):
        raise UserError(f"{key}._target_={shown(target)} must be a dotted name")
    prefixes = tuple(prefix.rstrip(".") + "." for prefix in allow)
    if target not in shipped.targets() and not target.startswith(prefixes):
        raise UserError(
            f"{key}._target_={target} is none of the shipped ones; "
            f"if you trust it, add --allow {target.split('.')[0]}."
        )
    return target


def with_factories(value: Any, key: str, allow: Sequence[str]) -> Any:
    """A config value in which every node, at any depth, is replaced by its factory."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return partial(construct, factory(value, key, allow), str(value["_target_"]), key)
        return {name: with_factories(entry, f"{key}.{name}", allow) for name, entry in value.items()}
    if isinstance(value, list):
        return [with_factories(entry, f"{key}.{i}", allow) for i, entry in enumerate(value)]
    return value


def build(node: Node, key: str, allow: Sequence[str] = (), **given: Any) -> Any:
    """Call the factory of a node with further keyword arguments; a ValueError becomes a UserError."""
    for name in given:
        if name in node:
            raise UserError(f"{key}.{name} is not for a config to set; remove it")
    return construct(factory(node, key, allow), str(node["_target_"]), key, **given)


def construct(make: Callable[..., Any], target: str, key: str, /, **given: Any) -> Any:
    """Call a factory; what does not fit, and what the constructor refuses, is one line with the full key."""
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise UserError(f"{key}._target_={target} does not fit here: {error}") from None
    try:
        return make(**given)
    except OptionError as error:
        # A UserError with the full key passes through the constructors around this node.
        raise UserError(str(error.within(key))) from None
    except UserError as error:
        # A constructor names its option as encoding.scale, wherever the node stands.
        group, _, rest = str(error).partition(".")
        outer, _, own = key.rpartition(".")
        inside = group == own or (outer and group in ("encoding", "network"))
        inside = inside and not str(error).startswith(key + ".")
        raise UserError(f"{key}.{rest}" if inside else str(error)) from None
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None


def check_options(function: Callable[..., Any], options: Node, key: str) -> None:
    """Hold options to a signature: names, types, and the ranges among the types.

    Args:
        function: The function or class that takes the options.
        options: Values by name.
        key: The name of the node in the config, for messages; "" for the top of a config.

    Raises:
        UserError: An option is unknown or of the wrong type.
        OptionError: A number is outside its range.
    """
    parameters = inspect.signature(function).parameters
    accepts_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    own = function.__init__ if inspect.isclass(function) else function
    try:
        hints, ranges = get_type_hints(own), ranges_of(own)
    except NameError:  # The hints of another package may name what only its type checker imports.
        hints, ranges = {}, {}
    for name, value in options.items():
        inside = f"{key}.{name}" if key else name
        if name not in parameters and not accepts_all:
            raise UserError(f"{inside} is unknown{did_you_mean(name, parameters)}")
        if name in ranges:
            if not ranges[name].allows(value):
                raise OptionError(inside, value, f"must be {ranges[name]}")
        elif not matches(value, hints.get(name, Any)):
            raise OptionError(inside, value, f"must be {describe_type(hints[name])}")


def did_you_mean(word: str, known: Any) -> str:
    """A suggestion to end a sentence with, or the full list where nothing is near."""
    near = get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(map(str, known)))}"


def matches(value: object, hint: Any) -> bool:
    """True if a plain config value fits a type hint; a hint that is not about plain values fits every value."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(matches(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin in (Sequence, list, tuple):
        return isinstance(value, list | tuple) and all(matches(v, arguments[0]) for v in value)
    if origin in (Mapping, dict):
        return isinstance(value, Mapping) and all(matches(v, arguments[1]) for v in value.values())
    if origin is Callable:
        return callable(value)
    if hint is float:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        )
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool, NoneType):
        return isinstance(value, hint)
    # typing.Any is a class since Python 3.11.
    return hint is Any or (origin is None and not isinstance(hint, type))


def describe_type(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Sequence, list, tuple):
        return f"a list whose entries are {describe_type(arguments[0])}"
    if origin in (Mapping, dict):
        if arguments[1] is Any:
            return "a mapping"
        return f"a mapping whose entries are {describe_type(arguments[1])}"
    if origin is Callable:
        return "a node with a _target_"
    names = {
        Any: "anything",
        int: "a whole number",
        float: "a finite number",
        str: "text",
        bool: "true or false",
    }
    return names.get(hint, "null" if hint is NoneType else str(hint))
