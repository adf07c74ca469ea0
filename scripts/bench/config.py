from coordnet.config.check import Config
from coordnet.config.compose import compose_config


def composed(*overrides: str) -> Config:
    """The config that `coordnet train` makes of these overrides."""
    return compose_config(*overrides)
