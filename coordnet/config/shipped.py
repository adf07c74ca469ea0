"""The configs that come with the package."""

import re
from functools import cache
from pathlib import Path


def config_dir() -> Path:
    """The directory of the shipped configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parent / "conf"


@cache
def targets() -> frozenset[str]:
    """All `_target_` names in the shipped configs: a config may name them without --allow."""
    texts = (file.read_text() for file in config_dir().rglob("*.yaml"))
    return frozenset(name for text in texts for name in re.findall(r"_target_:\s*([\w.]+)", text))
