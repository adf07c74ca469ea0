"""`coordnet train`: the edge where Hydra ends and plain configs begin."""

import os
import re
import secrets
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from coordnet.config.build import did_you_mean
from coordnet.config.check import DICT_GROUPS, Config, check_config, check_flags, check_targets
from coordnet.config.shipped import config_dir
from coordnet.console import say
from coordnet.errors import STORAGE, Diverged, UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import ensure_unlocked
from coordnet.sweeps.sweep import SETTINGS, check_settings

PATH_KEYS = ("signal.path", "signal.folder", "hydra.run.dir", "hydra.sweep.dir")
ASKS_ONLY = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--shell-completion", "-sc")

failures: list[Exception] = []
compose = ConfigLoaderImpl.load_configuration


def main(argv: list[str]) -> None:
    allow, rest = taken_out(argv)
    sys.argv = ["coordnet train", *arguments(rest)]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ["COORDNET_RUN_ID"] = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    register_plugins(allow)
    guard(allow)
    Validate.allow = allow
    run = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="train")(Task(allow))
    try:
        run()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from None
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        nulls = [override for override in rest if override.endswith("=null") and "." not in override]
        raise UserError(
            f"{' '.join(nulls)}: a group cannot be null; name one of its options (coordnet train --help lists "
            "them), or leave it out"
        ) from None
    if failures:
        raise failures[0]


def taken_out(argv: list[str]) -> tuple[list[str], list[str]]:
    """The values of --allow, and the other arguments."""
    rest, allow, others = iter(argv), [], []
    for argument in rest:
        if argument == "--allow" or argument.startswith("--allow="):
            allow.append(argument.partition("=")[2] or next(rest, ""))
        else:
            others.append(argument)
    if "" in allow:
        raise UserError("--allow needs a prefix, such as --allow mypkg.")
    return allow, others


def arguments(argv: list[str]) -> list[str]:
    """Put options before overrides, quote paths, and sweep where an ablation is asked for."""
    rest, options, overrides = iter(argv), [], []
    for argument in rest:
        if argument in ("--config-dir", "-cd", "--config-name", "-cn", "--cfg", "-c", "--package", "-p"):
            value = next(rest, None)
            if value is None:
                raise UserError(f"{argument} needs a value")
            options += [argument, value]
        elif argument.startswith("--experimental-rerun"):
            raise UserError(f"{argument} is not supported: it would run what a pickle file holds")
        elif argument.startswith("-"):
            options.append(argument)
        else:
            overrides.append(quoted(argument))
    asks = any(option.split("=")[0] in ASKS_ONLY for option in options)
    if any(o.startswith("ablation=") and "," in o for o in overrides):
        raise UserError("ablation= takes one ablation at a time")
    sweeps = "-m" in options or "--multirun" in options
    if any(o.startswith("ablation=") for o in overrides) and not asks and not sweeps:
        options.append("-m")
    return options + overrides


def quoted(override: str) -> str:
    """Quote the value of a path key if Hydra's grammar would trip over it."""
    key, _, value = override.partition("=")
    if key not in PATH_KEYS or re.fullmatch(r"[\w./+\-:%@?|]*|(['\"]).*\1", value, re.ASCII):
        return override
    # A backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"{key}='{escaped}'"


def register_plugins(allow: Sequence[str]) -> None:
    """Let Hydra 1.3 use a sweeper and a launcher that live inside this package."""
    plugins = Plugins.instance()
    from coordnet.sweeps.launcher import ProcessLauncher
    from coordnet.sweeps.sweeper import VariantsSweeper

    VariantsSweeper.checked = staticmethod(checked)
    VariantsSweeper.tried = staticmethod(partial(try_out, allow=allow))
    VariantsSweeper.allow = ProcessLauncher.allow = allow
    known = Plugins.is_in_toplevel_plugins_module
    own = ("coordnet.sweeps.sweeper.", "coordnet.sweeps.launcher.")
    Plugins.is_in_toplevel_plugins_module = staticmethod(  # type: ignore[assignment]
        lambda name: known(name) or name.startswith(own)
    )
    for plugin in (VariantsSweeper, ProcessLauncher):
        plugins.register(plugin)


def guard(allow: Sequence[str]) -> None:
    """Check all targets of every config that Hydra composes, its own part included, before Hydra calls any of them."""

    def load(*arguments: Any, **options: Any) -> DictConfig:
        try:
            config = compose(*arguments, **options)
        except (KeyError, TypeError) as error:
            raise UserError(f"the overrides do not make a config: {error}") from None
        give_back(config)
        check_targets(OmegaConf.to_container(config, resolve=False), allow)
        return config

    ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def give_back(config: DictConfig) -> None:
    """Where another option of a group is chosen than the experiment's, take the experiment's values out of that group.

    Those that the option has itself are its own again; what the command line sets stays. A background and the like are
    the experiment's, whatever the signal.
    """
    choices = config.hydra.runtime.choices
    file = config_dir() / "experiment" / f"{choices.get('experiment')}.yaml"
    if not file.is_file():
        return
    experiment = OmegaConf.load(file)
    options = {
        name.removeprefix("override /"): option
        for default in experiment.defaults
        for name, option in default.items()
    }
    typed = {override.partition("=")[0].lstrip("+") for override in config.hydra.overrides.task}
    for group in options.keys() & experiment.keys() - {"signal"}:
        chosen = config_dir() / group / f"{choices.get(group)}.yaml"
        if choices.get(group) == options[group] or not chosen.is_file():
            continue
        own = OmegaConf.load(chosen)
        left = [key for key in experiment[group] if f"{group}.{key}" not in typed]
        with open_dict(config):
            for key in left:
                config[group].pop(key, None)
            config[group].update({key: own[key] for key in left if key in own})


def plain(config: DictConfig) -> dict[str, Any]:
    """A run's config as plain values, without what only Hydra and sweeps read; relative paths made absolute."""
    kept = [str(key) for key in config if key not in ("hydra", *SETTINGS)]
    container = OmegaConf.to_container(OmegaConf.masked_copy(config, kept))
    resolved = OmegaConf.to_container(OmegaConf.create(container), resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    for key in ("path", "folder"):
        place = resolved["signal"].get(key)
        if isinstance(place, str):
            try:
                resolved["signal"][key] = str(Path(place).expanduser().absolute())
            except RuntimeError:
                raise UserError(f"signal.{key}={place!r}: there is no such home directory") from None
    return {str(key): value for key, value in resolved.items()}


def checked(config: DictConfig) -> dict[str, Any]:
    """The plain config, after all was checked that can be without torch."""
    check_settings(*(config[key] for key in SETTINGS))
    result = plain(config)
    check_config(result)
    check_flags(result, config.hydra.runtime.choices)
    return result


def try_out(config: Config, allow: Sequence[str] = ()) -> None:
    """Build all that a config names, so that a mistake shows before anything is made."""
    from coordnet.training.memory import check_memory
    from coordnet.training.run import prepare

    check_memory(prepare(config, allow)[1], config["max_memory"])


@dataclass(frozen=True)
class Task:
    """What Hydra calls with the composed config; it is pickled to the processes of other launchers.

    Args:
        allow: Packages that targets may lie in besides those of the shipped configs.
    """

    allow: Sequence[str]

    def __call__(self, config: DictConfig) -> None:
        from coordnet.training.run import start

        directory = Path(HydraConfig.get().runtime.output_dir)
        title = config.label or config.name
        try:
            metrics = start(plain(config), directory, self.allow)
        except (UserError, Diverged, OSError) as error:
            # Kept for `main`, because Hydra prints more than one line of what leaves a task.
            failures.append(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                print(f"{title}: {error}", file=sys.stderr)
            return
        shown = "  ".join(
            f"{name} {value:.4g}" for name, value in metrics.items() if metrics_file.is_main(name)
        )
        say(f"{title}: {shown}\n  {directory}")


class Validate(Callback):
    """Checks a single run before Hydra makes its directory; a sweep is checked by its sweeper."""

    allow: Sequence[str] = ()

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        HydraConfig.instance().set_config(config)
        try:
            try_out(checked(config), self.allow)
            directory = Path(config.hydra.run.dir)
            ensure_unlocked(directory)
            if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
                raise UserError(f"hydra.run.dir={directory} is not a new or empty directory")
        except (UserError, OmegaConfBaseException) as error:
            # Hydra turns any other exception of a callback into a warning.
            print(f"coordnet: {error if isinstance(error, UserError) else explain(error)}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            print(f"coordnet: hydra.run.dir: {error}", file=sys.stderr)
            sys.exit(STORAGE)
        except Exception:
            traceback.print_exc()
            sys.exit(1)


def explain(error: Exception) -> str:
    """Hydra's words in one line, with the nearest thing that exists."""
    text = str(error)
    if isinstance(error, MissingMandatoryValue):
        key = text.split(":")[-1].split("\n")[0].strip()
        return f"{key} has no value; give {key}=..."
    group = re.search(r"Could not (?:find|load) '([^']*)/([^'/]*)'", text)
    if group:
        options = [file.stem for file in (config_dir() / group[1]).glob("*.yaml")]
        return f"{group[1]}={group[2]} does not exist{did_you_mean(group[2], options)}"
    unknown = re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^'=]*)", text)
    if unknown:
        return unknown_key(unknown[1])
    swept = re.search(r"Ambiguous value for argument '([^'=]*)=([^']*)'", text)
    if swept and swept[1] in DICT_GROUPS:
        return f"{swept[1]}: write '{swept[1]}=[{swept[2]}]' for all of them, or add -m to sweep over them"
    if swept:
        return f"{swept[1]}={swept[2]}: add -m to sweep over several values"
    return " ".join(re.split(r"\s+See http", text)[0].split())


def unknown_key(key: str) -> str:
    keys = known_keys()
    if keys.get(key):
        group = key.split(".")[0]
        return f"{key} is a key of {', '.join(f'{group}={option}' for option in keys[key])} only"
    return f"{key} is no key of this config{did_you_mean(key, keys)}"


def known_keys() -> dict[str, list[str]]:
    """All keys of the shipped configs, each with the options of its group that have it (none for top-level keys)."""
    folder = config_dir()
    keys: dict[str, list[str]] = {str(key): [] for key in OmegaConf.load(folder / "train.yaml")}
    for file in sorted(folder.glob("*/*.yaml")):
        group = file.parent.name
        keys.setdefault(group, [])
        if group not in ("experiment", "ablation"):
            for key in set(OmegaConf.load(file)) - {"defaults"}:
                keys.setdefault(f"{group}.{key!s}", []).append(file.stem)
    return {key: options for key, options in keys.items() if key not in ("defaults", "hydra")}
