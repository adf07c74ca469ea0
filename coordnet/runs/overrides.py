from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordnet.config.build import did_you_mean
from coordnet.config.check import Config
from coordnet.errors import UserError
from coordnet.runs.config_file import parse_yaml


def override(config: Config, overrides: Sequence[str], keys: Sequence[str], paths: Sequence[str]) -> Config:
    """A copy of a run's config with new values.

    Args:
        config: The config of the run.
        overrides: Texts such as "max_steps=2000".
        keys: Dotted keys that may have a new value, which is read as YAML.
        paths: Dotted keys that may have a new path, which is made absolute.

    Raises:
        UserError: An override is malformed, or its key is neither in `keys` nor in `paths`.
    """
    result: dict[str, Any] = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()
    }
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{text!r} must be key=value")
        if key not in (*keys, *paths):
            raise UserError(f"{key} may not change when a run is resumed{did_you_mean(key, (*keys, *paths))}")
        group, _, name = key.rpartition(".")
        node = result.get(group) if group else result
        if not isinstance(node, dict) or name not in node:
            raise UserError(f"{key} is no key of this run")
        node[name] = _absolute(key, value) if key in paths else _parsed(key, value)
    return result


def _absolute(key: str, value: str) -> str:
    try:
        return str(Path(value).expanduser().absolute())
    except RuntimeError:
        raise UserError(f"{key}={value!r}: there is no such home directory") from None


def _parsed(key: str, value: str) -> Any:
    try:
        return parse_yaml(value)
    except ValueError as error:
        raise UserError(f"{key}={value} cannot be read: {error}") from None
