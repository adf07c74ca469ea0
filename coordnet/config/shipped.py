"""The configs that come with the package."""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path


def config_dir() -> Path:
    """Where the shipped configs are: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


@cache
def targets() -> frozenset[str]:
    """All `_target_` names in the shipped configs: what a config may name without being allowed explicitly."""
    texts = (file.read_text() for file in config_dir().rglob("*.yaml"))
    return frozenset(name for text in texts for name in re.findall(r"_target_:\s*([\w.]+)", text))


@cache
def options() -> Mapping[str, frozenset[str]]:
    """Of each target that a group's configs name, the options that they give it."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in config_dir().glob("*/*.yaml"):
        keys = dict(re.findall(r"^(\w+):[ \t]*([^\s#]*)", file.read_text(), re.MULTILINE))
        if "_target_" in keys:
            found[keys["_target_"]].update(keys.keys() - {"_target_", "defaults"})
    return {target: frozenset(names) for target, names in found.items()}
