"""Checks of a plain config: settings by type and range, and nodes by the signatures of their targets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from coordnet.config.build import check_options, check_target, did_you_mean, factory
from coordnet.config.settings import (
    LossSettings,
    OptimizerSettings,
    RunSettings,
    SweepSettings,
    TrainerSettings,
)
from coordnet.errors import UserError, shown

Config = Mapping[str, Any]

# Groups of one option.
GROUPS = ("signal", "encoding", "network", "radiance", "forward_map", "evaluator", "optimizer", "schedule")
# Groups of several options: the config holds a mapping from names to nodes.
DICT_GROUPS = ("loss", "metric", "callbacks", "logger")
SWEEP_KEYS = tuple(field.name for field in fields(SweepSettings))
# Options of a node that a run reads itself; the target of the node takes all others.
_READ_BY_RUN: Mapping[str, Any] = {"optimizer": OptimizerSettings, "loss": LossSettings}
_STEPS_ONLY = "a run counts steps, not epochs: use max_steps"
_OWN_SCORES = "a run is scored by its evaluator: use eval_every"
# Arguments of Lightning's Trainer that a run cannot honor, with what to use instead.
REFUSED_TRAINER_KEYS = {
    "max_steps": "use max_steps",
    "min_steps": "a run takes max_steps steps: use max_steps",
    "max_epochs": _STEPS_ONLY,
    "min_epochs": _STEPS_ONLY,
    "max_time": "end a run with Ctrl-C, or a job with job_timeout, and continue it with coordnet resume",
    "limit_train_batches": _STEPS_ONLY,
    "overfit_batches": "use max_steps, and trainer.batch_size=null for all observations in each batch",
    "fast_dev_run": "use max_steps=1",
    "barebones": "use logger=[] and trainer.pictures=end",
    "val_check_interval": _OWN_SCORES,
    "check_val_every_n_epoch": _OWN_SCORES,
    "num_sanity_val_steps": _OWN_SCORES,
    "limit_val_batches": _OWN_SCORES,
    "limit_test_batches": _OWN_SCORES,
    "limit_predict_batches": "a run predicts nothing besides its evaluation: use coordnet render",
    "inference_mode": "every evaluation runs without gradients",
    "logger": "use logger=[tensorboard,csv]",
    "callbacks": "use callbacks=[...]",
    "plugins": "use trainer.precision for the precision of the hidden layers",
    "enable_checkpointing": "a run saves its checkpoints itself, every eval_every steps",
    "enable_progress_bar": "a run shows a progress bar on terminals only",
    "default_root_dir": "use hydra.run.dir",
    "use_distributed_sampler": "trainer.devices shares each batch among processes",
    "reload_dataloaders_every_n_epochs": "batches come from the step alone, without a loader",
    "enable_autolog_hparams": "the config of a run is logged always",
    "model_registry": "a run saves its checkpoints in its own directory",
}
# Targets in the part of Hydra itself and of its launchers.
HYDRA_TARGETS = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
)
# Names that a logging config may hold: Python's logging imports and calls all names.
LOGGING = ("logging.StreamHandler", "logging.FileHandler", "ext://sys.stdout", "ext://sys.stderr")


def check_config(config: Config, allow: Sequence[str] = ()) -> None:
    """Hold a config to the settings of a run, and each of its nodes to the signature of the node's target.

    Args:
        config: The plain config of a run.
        allow: Packages that targets may be in besides the targets of the shipped configs.

    Raises:
        UserError: The message names the key, the value and what is allowed.
    """
    check_settings(config)
    for group in GROUPS:
        node = config.get(group)
        if node is not None:
            _check_node(node, group, group, allow)
    for group in DICT_GROUPS:
        for name, node in config[group].items():
            _check_node(node, group, f"{group}.{name}", allow)


def check_settings(config: Config) -> None:
    """Hold a config to the settings of a run. No target is imported.

    Args:
        config: The plain config of a run.

    Raises:
        UserError: The message names the key, the value and what is allowed.
    """
    _check_fields(RunSettings, config, "")
    trainer = config["trainer"]
    for key in trainer:
        if key in REFUSED_TRAINER_KEYS:
            raise UserError(refused_trainer_key(key))
    _check_fields(TrainerSettings, trainer, "trainer")
    for key in ("name", "label"):
        if config[key] == "" or not str(config[key] or "-").isprintable():
            raise UserError(f"{key}={shown(config[key])} must be text in one line")
    for key in DICT_GROUPS:
        _check_dict_group(config[key], key)


def check_sweep(settings: Config) -> None:
    """Check the keys of a config that only sweeps read.

    Args:
        settings: The values of `SWEEP_KEYS`.

    Raises:
        UserError: The message names the key, the value and what is allowed.
    """
    check_options(SweepSettings, settings, "")


def _check_fields(settings: Any, values: Config, key: str) -> None:
    """Hold values to the fields of a dataclass."""
    prefix = f"{key}." if key else ""
    needed = [field.name for field in fields(settings) if field.default is MISSING]
    missing = [f"{prefix}{name}" for name in needed if name not in values]
    if missing:
        raise UserError(f"the config lacks {', '.join(missing)}")
    known = [field.name for field in fields(settings)]
    for name in values:
        if name not in known:
            near = did_you_mean(f"{prefix}{name}", [prefix + each for each in known])
            raise UserError(f"{prefix}{name} is no key of this config{near}")
    check_options(settings, values, key)


def _check_node(node: Config, group: str, key: str, allow: Sequence[str]) -> None:
    """Hold a node to the signature of its target."""
    own = _READ_BY_RUN.get(group)
    names = {field.name for field in fields(own)} if own else set()
    if own:
        check_options(own, {name: value for name, value in node.items() if name in names}, key)
    factory({name: value for name, value in node.items() if name not in names}, key, allow)


def check_targets(node: object, allow: Sequence[str], key: str = "") -> None:
    """Refuse all names in a config, the part of Hydra included, that could call a target that is not allowed.

    Args:
        node: A value of the config, interpolations unresolved.
        allow: Packages that targets may be in besides the targets of the shipped configs.
        key: The name of the node.

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


def refused_trainer_key(key: str) -> str:
    """The message for an argument of Lightning's Trainer that a run cannot honor."""
    return f"trainer.{key} cannot be set: {REFUSED_TRAINER_KEYS[key]}"


def _check_dict_group(nodes: object, key: str) -> None:
    """Refuse a group of several options that is no mapping from names to nodes."""
    if not isinstance(nodes, Mapping):
        raise UserError(
            f"{key}={shown(nodes)} must be a mapping from names to nodes; choose with {key}=[...]"
        )
    for name, node in nodes.items():
        if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
            raise UserError(f"{key}: the name {shown(name)} must consist of letters, digits and _")
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UserError(f"{key}.{name}={shown(node)} must be a node with a _target_")
    if key == "loss" and not nodes:
        raise UserError("loss={} must hold at least one term, such as loss=mse")
