"""What a config must be before anything is imported or built for it: no torch here, so that mistakes show at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from coordnet.build import check_target, did_you_mean, matches
from coordnet.errors import UserError, shown
from coordnet.shipped import config_dir

Config = Mapping[str, Any]

GROUPS = ("signal", "encoding", "network", "forward_map", "optimizer", "schedule")
KEYS = (
    *GROUPS,
    "trainer",
    *("name", "label", "seed", "max_steps", "eval_every", "threads", "max_memory", "baseline", "ntk"),
)
# A run of before there were radiance fields has none.
OPTIONAL = ("radiance",)
# Whole numbers, with the lowest and highest allowed.
WHOLE = {
    "seed": (0, 2**32 - 1),
    "max_steps": (0, 10**9),
    "eval_every": (1, 10**9),
    "threads": (1, 4096),
    "trainer.batch_size": (1, 2**31),
    "trainer.log_every": (1, 10**9),
    "trainer.devices": (1, 1024),
}
MAY_BE_NULL = ("threads", "trainer.batch_size")
NTK_KEYS = ("points", "steps")
MOST_NTK_POINTS = 4096
TRAINER_KEYS = ("batch_size", "precision", "accelerator", "devices", "log_every", "pictures")
ACCELERATORS = ("cpu", "cuda", "mps", "auto")
PICTURES = ("log", "end")
# What Hydra itself and its launchers name.
HYDRA_TARGETS = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
)
# What a logging config may name: Python's would import and call whatever stands there.
LOGGING = ("logging.StreamHandler", "logging.FileHandler", "ext://sys.stdout", "ext://sys.stderr")


def check_targets(node: object, allow: Sequence[str], key: str = "") -> None:
    """Refuse, anywhere in a config and Hydra's own part of it, what could call anything but what is allowed.

    Args:
        node: A value of the config, interpolations unresolved.
        allow: Packages that targets may lie in besides those of the shipped configs.
        key: Of the node.

    Raises:
        UserError: The message names key and target.
    """
    if isinstance(node, list):
        for number, entry in enumerate(node):
            check_targets(entry, allow, f"{key}.{number}")
    elif isinstance(node, Mapping):
        for name, entry in node.items():
            inside = f"{key}.{name}" if key else str(name)
            if name == "_target_" and entry not in HYDRA_TARGETS:
                check_target(entry, key, allow)
            if name == "()" or (name == "class" and entry not in LOGGING):
                raise UserError(f"{inside}={entry} is not allowed in a logging config")
            check_targets(entry, allow, inside)
    elif isinstance(node, str) and node.startswith("ext://") and node not in LOGGING:
        raise UserError(f"{key}={node} is not allowed in a logging config")


def check_numbers(config: Config, choices: Mapping[str, Any]) -> None:
    """Refuse a word where the shipped option of a group has a number or a truth value.

    Args:
        config: Resolved.
        choices: The chosen option of each group.
    """
    for group, option in choices.items():
        file = config_dir() / group / f"{option}.yaml"
        if group in config and file.is_file():
            compare(config[group], yaml.safe_load(file.read_text()), group)


def compare(value: object, default: object, key: str) -> None:
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        for name in default:
            if name in value:
                compare(value[name], default[name], f"{key}.{name}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise UserError(f"{key}={shown(value)} must be true or false")
    elif isinstance(default, int | float) and not (value is None or matches(value, float)):
        raise UserError(f"{key}={shown(value)} must be a finite number")


def check_config(config: Config) -> None:
    """Keys, types and ranges of what no constructor checks.

    Raises:
        UserError: The message names the key.
    """
    missing = [key for key in KEYS if key not in config]
    trainer = config.get("trainer")
    if not isinstance(trainer, Mapping):
        raise UserError(f"trainer={shown(trainer)} must hold {', '.join(TRAINER_KEYS)}")
    missing += [f"trainer.{key}" for key in TRAINER_KEYS if key not in trainer]
    if missing:
        raise UserError(f"the config lacks {', '.join(missing)}")
    known = (*KEYS, *OPTIONAL, *(f"trainer.{key}" for key in TRAINER_KEYS))
    for key in (*config, *(f"trainer.{key}" for key in trainer)):
        if key not in known:
            raise UserError(f"{key} is no key of this config{did_you_mean(key, known)}")
    for key in GROUPS:
        if not isinstance(config[key], Mapping) and not (key == "schedule" and config[key] is None):
            raise UserError(f"{key}={shown(config[key])} must be a node with a _target_")
    if not isinstance(config.get("radiance"), Mapping | None):
        raise UserError(f"radiance={shown(config['radiance'])} must be null or a node with a _target_")
    for key, (low, high) in WHOLE.items():
        group, _, name = key.rpartition(".")
        value = config[group][name] if group else config[name]
        if value is None and key in MAY_BE_NULL:
            continue
        if not matches(value, int) or not low <= value <= high:
            raise UserError(
                f"{key}={shown(value)} must be a whole number of at least {low} and at most {high}"
            )
    limit = config["max_memory"]
    if limit is not None and not (matches(limit, float) and limit > 0):
        raise UserError(
            f"max_memory={shown(limit)} must be a number of GiB above 0, or null for what is available"
        )
    for key, kinds in (("name", str | int | float), ("label", str | int | float | None)):
        if not matches(config[key], kinds) or config[key] == "" or not str(config[key] or "-").isprintable():
            raise UserError(f"{key}={shown(config[key])} must be text in one line")
    for key, allowed in (("accelerator", ACCELERATORS), ("pictures", PICTURES)):
        if trainer[key] not in allowed:
            raise UserError(f"trainer.{key}={shown(trainer[key])} must be one of {', '.join(allowed)}")
    check_ntk(config["ntk"])


def check_ntk(node: Any) -> None:
    if not isinstance(node, Mapping) or set(node) != set(NTK_KEYS):
        raise UserError(f"ntk={shown(node)} must have the keys {' and '.join(NTK_KEYS)}, and no others")
    points, steps = node["points"], node["steps"]
    if not matches(points, int) or not 0 <= points <= MOST_NTK_POINTS:
        raise UserError(
            f"ntk.points={shown(points)} must be a whole number from 0 (off) to {MOST_NTK_POINTS}"
        )
    if not matches(steps, list[int]) or min(steps, default=0) < 0:
        raise UserError(f"ntk.steps={shown(steps)} must be a list of whole numbers of at least 0")
