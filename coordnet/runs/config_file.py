"""config.yaml: the resolved config of a run, behind the number of its format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coordnet.config.check import Config
from coordnet.errors import UserError, shown
from coordnet.runs.directory import RUN_FORMAT, write_text

CONFIG = "config.yaml"


class _NoAliasLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of aliases can expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias")
        return super().compose_node(parent, index)


class _NoAliasDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def parse_yaml(text: str) -> Any:
    """Parse YAML that may come from anybody.

    Raises:
        ValueError: The text is no YAML, or holds an alias; the message is one line.
    """
    try:
        return yaml.load(text, _NoAliasLoader)
    # The constructors of yaml's own types raise all of these on odd texts.
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from None


def write_config(directory: Path, config: Config) -> None:
    """Write a config into a run's directory, in one step."""
    content = {"format": RUN_FORMAT, **config}
    text = yaml.dump(content, Dumper=_NoAliasDumper, sort_keys=False, allow_unicode=True)
    write_text(directory / CONFIG, text)


def read_config(directory: Path) -> dict[str, Any]:
    """Read the config of a run.

    Raises:
        UserError: The directory is no run, or its config is damaged or of another format.
    """
    path = directory / CONFIG
    if not path.is_file():
        raise UserError(f"{directory} is no run: it has no {CONFIG}")
    try:
        config = parse_yaml(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    if not isinstance(config, Mapping):
        raise UserError(f"{path} is damaged: it is no mapping")
    # Configs of format 1 do not hold their format.
    found = config.get("format", 1)
    if type(found) is not int or found != RUN_FORMAT:
        raise UserError(f"{path} has format {shown(found)}; this version reads format {RUN_FORMAT}")
    return {key: value for key, value in config.items() if key != "format"}
