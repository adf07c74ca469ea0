"""Composition: overrides of the command line and yaml files become the plain config of a run."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from coordnet.config.build import did_you_mean
from coordnet.config.check import (
    DICT_GROUPS,
    REFUSED_TRAINER_KEYS,
    SWEEP_KEYS,
    check_targets,
    refused_trainer_key,
)
from coordnet.config.hydra_adapter import hydra_session
from coordnet.config.shipped import config_dir
from coordnet.errors import UserError

_PATH_KEYS = ("signal.path", "signal.folder", "hydra.run.dir", "hydra.sweep.dir")


def compose_config(
    *overrides: str, own_configs: str | None = None, allow: Sequence[str] = ()
) -> dict[str, Any]:
    """The plain config that `coordnet train` runs with some overrides.

    Args:
        overrides: Overrides in Hydra's grammar, such as "encoding.scale=3".
        own_configs: A directory with further options of the groups.
        allow: Packages that targets may be in besides the targets of the shipped configs.

    Raises:
        UserError: The overrides do not make a config.
    """
    return to_run_config(compose_hydra_config(overrides, own_configs, allow=allow))


def compose_hydra_config(
    overrides: Sequence[str],
    own_configs: str | None = None,
    name: str = "train",
    allow: Sequence[str] = (),
) -> DictConfig:
    """The config of Hydra, its own part included, for some overrides.

    Args:
        overrides: Overrides in Hydra's grammar.
        own_configs: A directory with further options of the groups.
        name: The name of the primary config.
        allow: Packages that targets may be in besides the targets of the shipped configs.

    Raises:
        UserError: The overrides do not make a config, or the config names a target that is not allowed.
    """
    os.environ.setdefault("COORDNET_RUN_ID", "run")
    places = []
    if own_configs is not None:
        if not Path(own_configs).is_dir():
            raise UserError(f"--config-dir {own_configs} does not exist")
        place = str(Path(own_configs).absolute()).replace("\\", "\\\\").replace("'", "\\'")
        places = [f"hydra.searchpath=['file://{place}']"]
    quoted = [*places, *map(quote_override, overrides)]
    with (
        translated_errors(overrides),
        hydra_session(allow, lambda config: prepare_composed(config, allow)),
        initialize_config_dir(str(config_dir()), version_base="1.3"),
    ):
        config = compose(name, quoted, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config


def prepare_composed(config: DictConfig, allow: Sequence[str]) -> None:
    """Drop stale values of an experiment from a composed config, and check all targets in the config.

    Raises:
        UserError: A target is not allowed; the message names its key.
    """
    drop_stale_experiment_values(config, config.hydra)
    check_targets(OmegaConf.to_container(config, resolve=False), allow)


def drop_stale_experiment_values(config: DictConfig, hydra: Any) -> None:
    """Drop the values that an experiment gives to options of a group where another option is chosen.

    The values of the chosen option replace them. Values of the command line stay. The values of the signal stay too:
    an experiment's background holds for every signal.

    Args:
        config: The composed config, changed in place.
        hydra: Hydra's own part of the config, which holds choices and overrides.
    """
    choices = hydra.runtime.choices
    file = config_dir() / "experiment" / f"{choices.get('experiment')}.yaml"
    if not file.is_file():
        return
    experiment = OmegaConf.load(file)
    options = {
        name.removeprefix("override /"): option
        for default in experiment.defaults
        for name, option in default.items()
    }
    typed = {override.partition("=")[0].lstrip("+") for override in hydra.overrides.task}
    for group in experiment.keys() & set(DICT_GROUPS):
        _drop_unchosen(config, group, typed)
    for group in options.keys() & experiment.keys() - {"signal", *DICT_GROUPS}:
        chosen = config_dir() / group / f"{choices.get(group)}.yaml"
        if choices.get(group) == options[group] or not chosen.is_file():
            continue
        own = OmegaConf.load(chosen)
        stale = [key for key in experiment[group] if f"{group}.{key}" not in typed]
        with open_dict(config):
            for key in stale:
                config[group].pop(key, None)
            config[group].update({key: own[key] for key in stale if key in own})


def _drop_unchosen(config: DictConfig, group: Any, typed: set[str]) -> None:
    """Drop the values for nodes of a group that are not chosen; these values have no target."""
    with open_dict(config):
        for name in list(config[group]):
            is_typed = any(key.startswith(f"{group}.{name}") for key in typed)
            if not is_typed and "_target_" not in config[group][name]:
                del config[group][name]


def to_run_config(config: DictConfig) -> dict[str, Any]:
    """The config of a run as plain values: without the keys of Hydra and of sweeps, and with absolute paths."""
    kept = [str(key) for key in config if key not in ("hydra", *SWEEP_KEYS)]
    with translated_errors():
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


def quote_override(override: str) -> str:
    """Quote the value of a path key that the grammar of Hydra would not read as text."""
    key, _, value = override.partition("=")
    if key not in _PATH_KEYS or re.fullmatch(r"[\w./+\-:%@?|]*|(['\"]).*\1", value, re.ASCII | re.DOTALL):
        return override
    # A backslash is itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"{key}='{escaped}'"


@contextmanager
def translated_errors(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Make one line of each error of Hydra and OmegaConf.

    Args:
        overrides: The overrides that are composed.

    Raises:
        UserError: The message names the key, and the nearest key or option that exists.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error)) from None
    except UserError:
        raise
    except ValueError as error:
        text = " ".join(str(error).split())
        if "Config group override" not in text:
            raise UserError(f"the overrides do not make a config: {text}") from None
        nulls = [override for override in overrides if override.endswith("=null") and "." not in override]
        raise UserError(
            f"{' '.join(nulls)}: a group cannot be null; name one of its options (coordnet train --help lists "
            "them), or leave it out"
        ) from None


def _explain(error: Exception) -> str:
    """An error of Hydra in one line, with the nearest key or option that exists."""
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
        return _unknown_key(unknown[1])
    swept = re.search(r"Ambiguous value for argument '([^'=]*)=([^']*)'", text)
    if swept and swept[1] in DICT_GROUPS:
        return f"{swept[1]}: write '{swept[1]}=[{swept[2]}]' for all of them, or add -m to sweep over them"
    if swept:
        return f"{swept[1]}={swept[2]}: add -m to sweep over several values"
    return " ".join(re.split(r"\s+See http", text)[0].split())


def _unknown_key(key: str) -> str:
    keys = _known_keys()
    group, _, name = key.partition(".")
    if group == "trainer" and name in REFUSED_TRAINER_KEYS:
        return refused_trainer_key(name)
    if keys.get(key):
        form = "{}=[{}]" if group in DICT_GROUPS else "{}={}"
        return f"{key} is a key of {', '.join(form.format(group, option) for option in keys[key])} only"
    return f"{key} is no key of this config{did_you_mean(key, keys)}"


def _known_keys() -> dict[str, list[str]]:
    """All keys of the shipped configs, each with the options of its group that have the key (none at the top)."""
    folder = config_dir()
    keys: dict[str, list[str]] = {str(key): [] for key in OmegaConf.load(folder / "train.yaml")}
    for file in sorted(folder.glob("*/*.yaml")):
        group = file.parent.name
        keys.setdefault(group, [])
        if group in ("experiment", "ablation"):
            continue
        content = OmegaConf.load(file)
        for key in set(content) - {"defaults"}:
            keys.setdefault(f"{group}.{key!s}", []).append(file.stem)
            for inner in content[key] if group in DICT_GROUPS else ():
                keys.setdefault(f"{group}.{key!s}.{inner!s}", []).append(file.stem)
    return {key: options for key, options in keys.items() if key not in ("defaults", "hydra")}
