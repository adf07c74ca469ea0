from hydra import compose, initialize_config_dir

from coordnet.cli.train import plain
from coordnet.config.check import Config
from coordnet.config.shipped import config_dir


def composed(*overrides: str) -> Config:
    """What `coordnet train` makes of these overrides."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return plain(compose("train", overrides=list(overrides)))
