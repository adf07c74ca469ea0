"""What a config must be before anything is imported or built for it: no torch here, so that mistakes show at once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from coordnet.config import shipped
from coordnet.config.build import check_target, did_you_mean, matches
from coordnet.errors import UserError, shown
from coordnet.ranges import RANGES, STEPS, Range

Config = Mapping[str, Any]

GROUPS = ("signal", "encoding", "network", "forward_map", "optimizer", "schedule")
# Groups of several options: the config holds a mapping from names to nodes.
DICT_GROUPS = ("loss", "metric", "callbacks", "logger")
KEYS = (
    *GROUPS,
    *DICT_GROUPS,
    "evaluator",
    "trainer",
    *("name", "label", "seed", "max_steps", "eval_every", "threads", "max_memory", "baseline"),
)
# Of a field of values there is none.
OPTIONAL = ("radiance",)
# Keys that a sweep reads and the config of a run lacks.
SWEEP_KEYS = ("jobs", "job_timeout", "match")
# Of the run's own keys; those of the groups are in ranges.py.
OWN_RANGES = {
    "seed": Range(0, 2**32 - 1, whole=True),
    "max_steps": replace(STEPS, low=0),
    "eval_every": STEPS,
    "threads": Range(1, 4096, whole=True, null=True),
    "trainer.batch_size": Range(1, 2**31, "observations", whole=True, null=True),
    "trainer.log_every_n_steps": STEPS,
    "trainer.devices": Range(1, 1024, whole=True),
}
# Options of shipped targets that no shipped config shows, and that are no numbers.
NOT_SHOWN = {
    "coordnet.encodings.fourier.random_fourier": ("zero_one_coords",),
    "coordnet.encodings.coarse_to_fine.CoarseToFine": ("encoding",),
    "coordnet.fields.radiance_field.RadianceField": ("color_encoding", "direction"),
    "torch.optim.Adam": (
        "amsgrad",
        "capturable",
        "decoupled_weight_decay",
        "differentiable",
        "foreach",
        "maximize",
    ),
    "torch.optim.SGD": ("differentiable", "foreach", "fused", "maximize", "nesterov"),
}
TRAINER_KEYS = ("batch_size", "precision", "accelerator", "devices", "log_every_n_steps", "pictures")
# Arguments of Lightning's Trainer that pass through under their own names; null leaves the default of Lightning.
HONORED_TRAINER_KEYS = (
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "accumulate_grad_batches",
    "num_nodes",
    "strategy",
    "profiler",
    "deterministic",
    "benchmark",
    "detect_anomaly",
    "enable_model_summary",
    "sync_batchnorm",
)
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
PRECISIONS = ("auto", "float32", "bfloat16", "adaptive")
ACCELERATORS = ("cpu", "cuda", "mps", "auto")
PICTURES = ("log_spaced", "end")
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


def check_flags(config: Config, choices: Mapping[str, Any]) -> None:
    """Refuse what is neither true nor false where the shipped option of a group is.

    Args:
        config: Resolved.
        choices: The chosen option of each group.
    """
    for group, option in choices.items():
        file = shipped.config_dir() / group / f"{option}.yaml"
        if group in config and file.is_file():
            compare(config[group], yaml.safe_load(file.read_text()), group)


def compare(value: object, default: object, key: str) -> None:
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        for name in default:
            if name in value:
                compare(value[name], default[name], f"{key}.{name}")
    elif isinstance(default, bool) and not isinstance(value, bool):
        raise UserError(f"{key}={shown(value)} must be true or false")


def check_config(config: Config) -> None:
    """Keys and types of what no constructor checks, and the names and ranges of all that shipped targets take.

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
    for key in trainer:
        if key in REFUSED_TRAINER_KEYS:
            raise UserError(refused_trainer_key(key))
    known = (*KEYS, *OPTIONAL, *(f"trainer.{key}" for key in (*TRAINER_KEYS, *HONORED_TRAINER_KEYS)))
    for key in (*config, *(f"trainer.{key}" for key in trainer)):
        if key not in known:
            raise UserError(f"{key} is no key of this config{did_you_mean(key, known)}")
    for key in GROUPS:
        if not isinstance(config[key], Mapping) and not (key == "schedule" and config[key] is None):
            raise UserError(f"{key}={shown(config[key])} must be a node with a _target_")
    for key in ("radiance", "evaluator"):
        if not isinstance(config.get(key), Mapping | None):
            raise UserError(f"{key}={shown(config[key])} must be null or a node with a _target_")
    for key in DICT_GROUPS:
        _check_dict_group(config[key], key)
    for key, numbers in OWN_RANGES.items():
        group, _, name = key.rpartition(".")
        numbers.check(key, config[group][name] if group else config[name])
    limit = config["max_memory"]
    if limit is not None and not (matches(limit, float) and limit > 0):
        raise UserError(
            f"max_memory={shown(limit)} must be a number of GiB above 0, or null for what is available"
        )
    for key, kinds in (("name", str | int | float), ("label", str | int | float | None)):
        if not matches(config[key], kinds) or config[key] == "" or not str(config[key] or "-").isprintable():
            raise UserError(f"{key}={shown(config[key])} must be text in one line")
    for key, allowed in (("precision", PRECISIONS), ("accelerator", ACCELERATORS), ("pictures", PICTURES)):
        if trainer[key] not in allowed:
            raise UserError(f"trainer.{key}={shown(trainer[key])} must be one of {', '.join(allowed)}")
    for key in ("radiance", "evaluator", *DICT_GROUPS):
        check_options(config.get(key), key)
    for group in GROUPS:
        # By default a cosine is as long as the run, and one without steps has none.
        if group != "schedule" or config["max_steps"]:
            check_options(config[group], group)


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


def check_options(value: object, key: str) -> None:
    """Hold the nodes in a value to the options of their targets, where those are shipped.

    Args:
        value: A node, or what may hold some.
        key: Of the value.
    """
    if isinstance(value, list):
        for number, entry in enumerate(value):
            check_options(entry, f"{key}.{number}")
    elif isinstance(value, Mapping):
        target = value.get("_target_")
        if isinstance(target, str) and target in shipped.options():
            check_node(value, target, key)
        for name, entry in value.items():
            check_options(entry, f"{key}.{name}")


def check_node(node: Config, target: str, key: str) -> None:
    ranges = RANGES.get(target, {})
    known = {*ranges, *shipped.options()[target], *NOT_SHOWN.get(target, ())}
    for name, value in node.items():
        if name in ranges:
            ranges[name].check(f"{key}.{name}", value)
        elif name != "_target_" and name not in known:
            raise UserError(f"{key}.{name} is unknown{did_you_mean(name, known)}")
