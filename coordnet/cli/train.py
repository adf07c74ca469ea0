"""`coordnet train`: one run from a composed config, or a sweep by Hydra."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig

from coordnet.config.check import SWEEP_KEYS, check_config, check_sweep
from coordnet.config.compose import (
    compose_hydra_config,
    drop_stale_experiment_values,
    prepare_composed,
    quote_override,
    to_run_config,
    translated_errors,
)
from coordnet.config.hydra_adapter import hydra_session
from coordnet.config.shipped import config_dir
from coordnet.console import say
from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import ensure_unlocked

# Options of Hydra that print something and run nothing.
_PRINTING = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")
_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
# Settings of Hydra that reach the jobs of its launchers only.
_SWEEP_ONLY = {"callbacks": "callbacks=", "job.env_set": "the environment", "job.chdir": "absolute paths"}


def main(argv: list[str]) -> None:
    allow, rest = split_allow_options(argv)
    options, overrides = normalize_argv(rest)
    os.environ["COORDNET_RUN_ID"] = new_run_id()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--config-name", "-cn", default="train")
    found, others = parser.parse_known_args(options)
    if others:
        _run_hydra([*options, *overrides], allow)
    else:
        config = compose_hydra_config(overrides, found.config_dir, found.config_name, allow)
        _run_once(config, allow)


def new_run_id() -> str:
    """The time and a random number: runs that start in the same second have directories of their own."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


def split_allow_options(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of --allow, and the other arguments.

    Raises:
        UserError: An --allow has no value.
    """
    rest, allow, others = iter(argv), [], []
    for argument in rest:
        if argument == "--allow" or argument.startswith("--allow="):
            allow.append(argument.partition("=")[2] or next(rest, ""))
        else:
            others.append(argument)
    if "" in allow:
        raise UserError("--allow needs a prefix, such as --allow mypkg.")
    return allow, others


def normalize_argv(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options and the overrides, with paths quoted, and with -m where an ablation is asked for.

    Raises:
        UserError: An option has no value or is not supported, or there are several ablations.
    """
    rest, options, overrides = iter(argv), [], []
    for argument in rest:
        if argument in _WITH_VALUE:
            value = next(rest, None)
            if value is None:
                raise UserError(f"{argument} needs a value")
            options += [argument, value]
        elif argument.startswith("--experimental-rerun"):
            raise UserError(f"{argument} is not supported: it would run what a pickle file holds")
        elif argument.startswith("-"):
            options.append(argument)
        else:
            overrides.append(quote_override(argument))
    prints = any(option.split("=")[0] in _PRINTING for option in options)
    if any(o.startswith("ablation=") and "," in o for o in overrides):
        raise UserError("ablation= takes one ablation at a time")
    sweeps = "-m" in options or "--multirun" in options
    if any(o.startswith("ablation=") for o in overrides) and not prints and not sweeps:
        options.append("-m")
    return options, overrides


def _run_once(config: DictConfig, allow: Sequence[str]) -> None:
    """Check a composed config, build the objects of the run once, and train."""
    with translated_errors():
        check_sweep({key: config[key] for key in SWEEP_KEYS})
        for key, instead in _SWEEP_ONLY.items():
            group, _, name = f"{key}".rpartition(".")
            if config.hydra[group][name] if group else config.hydra[name]:
                raise UserError(f"hydra.{key} applies to sweeps only; use {instead} for a run")
        run, directory = to_run_config(config), Path(config.hydra.run.dir)
    check_config(run, allow)
    ensure_unlocked(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"hydra.run.dir={directory} is not a new or empty directory")
    from coordnet.training.run import start_checked

    _report(run, start_checked(run, directory, allow), directory)


def _run_hydra(arguments: Sequence[str], allow: Sequence[str]) -> None:
    """Let Hydra sweep, or print what its options ask for."""
    sys.argv = ["coordnet train", *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    run = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="train")(Task(allow))
    with translated_errors(arguments), hydra_session(allow, lambda c: prepare_composed(c, allow), _plugins):
        run()


def _plugins() -> Sequence[type[Plugin]]:
    """The sweeper and the launcher of this package."""
    from coordnet.sweeps.launcher import ProcessLauncher
    from coordnet.sweeps.sweeper import VariantsSweeper

    return VariantsSweeper, ProcessLauncher


@dataclass(frozen=True)
class Task:
    """The function that launchers other than coordnet's own call with the config of a job; they pickle it.

    Args:
        allow: Packages that targets may be in besides the targets of the shipped configs.
    """

    allow: Sequence[str]

    def __call__(self, config: DictConfig) -> None:
        from coordnet.training.run import start

        hydra_config = HydraConfig.get()
        drop_stale_experiment_values(config, hydra_config)
        run, directory = to_run_config(config), Path(hydra_config.runtime.output_dir)
        _report(run, start(run, directory, self.allow), directory)


def _report(config: dict[str, Any], metrics: dict[str, float], directory: Path) -> None:
    """Print the main metrics of a run, and its directory."""
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if metrics_file.is_main(name))
    say(f"{config['label'] or config['name']}: {shown}\n  {directory}")
