"""From a plain config to the objects of a run. Knows the config's layout; knows nothing of Hydra."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch

from coordnet.build import build, did_you_mean, factory, matches
from coordnet.data import Batches
from coordnet.errors import UserError
from coordnet.fields import Field
from coordnet.forward_maps.base import ForwardMap
from coordnet.forward_maps.sample import Sample
from coordnet.reconstruction import Reconstruction
from coordnet.runtime import choose_precision
from coordnet.signals.base import Signal
from coordnet.signals.image import Image

Config = Mapping[str, Any]

KEYS = (
    *("signal", "encoding", "network", "forward_map", "optimizer", "schedule", "trainer"),
    *("name", "label", "seed", "max_steps", "eval_every", "threads", "baseline", "ntk"),
)
MAX_SEED = 2**32 - 1
NTK_KEYS = ("points", "steps")
MOST_NTK_POINTS = 4096
TRAINER_KEYS = ("batch_size", "precision", "accelerator", "log_every", "pictures")
ACCELERATORS = ("cpu", "cuda", "mps", "auto")
PICTURES = ("log", "end")


def assemble(config: Config, allow: Sequence[str] = ()) -> Reconstruction:
    """Build signal, field, forward map and the module around them, all drawn from `config["seed"]`.

    Args:
        config: Checked by `check_config`.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Raises:
        UserError: Some value is not allowed; the message names its key.
    """
    L.seed_everything(config["seed"], verbose=False)
    signal: Signal = build(config["signal"], "signal", allow)
    field = (
        interpolation(config["baseline"], signal) if config["baseline"] else make_field(config, signal, allow)
    )
    forward_map: ForwardMap = build(config["forward_map"], "forward_map", allow)
    trainer = config["trainer"]
    batches = Batches(signal, trainer["batch_size"], config["seed"])
    check_fit(forward_map, signal)
    check_ntk_fit(config, forward_map, signal)
    optimizer = factory(config["optimizer"], "optimizer", allow)
    schedule = factory(config["schedule"], "schedule", allow) if config["schedule"] else None
    model = Reconstruction(field, forward_map, batches, optimizer, schedule)
    if is_trained(config):
        try:
            model.configure_optimizers()
        except (ValueError, TypeError, IndexError) as error:
            raise UserError(f"optimizer or schedule: {error}") from None
    return model


def is_trained(config: Config) -> bool:
    """False for an interpolation baseline, which has nothing to train."""
    return not config["baseline"]


def make_field(config: Config, signal: Signal, allow: Sequence[str]) -> Field:
    trainer = config["trainer"]
    encoding = build(config["encoding"], "encoding", allow, domain=signal.domain)
    network = build(config["network"], "network", allow, in_dim=encoding.out_dim, out_dim=signal.channels)
    precision = choose_precision(trainer["precision"], network.bfloat16_safe, trainer["accelerator"])
    return Field(encoding, network, signal.value_range, precision)


def interpolation(mode: Any, signal: Signal) -> Any:
    if not isinstance(signal, Image):
        raise UserError(f"baseline={mode} interpolates images only; use baseline=null with this signal")
    return signal.interpolation(mode)


def check_fit(forward_map: ForwardMap, signal: Signal) -> None:
    given = signal.observe(torch.zeros(1, dtype=torch.long))
    missing = [name for name in forward_map.needs if name not in given]
    if missing:
        raise UserError(
            f"forward_map={type(forward_map).__name__} needs {', '.join(missing)}, but the signal "
            f"observes {', '.join(given)}; choose another forward_map"
        )


def check_ntk(node: Any) -> None:
    if not isinstance(node, Mapping) or set(node) != set(NTK_KEYS):
        raise UserError(f"ntk={node!r} must have the keys {' and '.join(NTK_KEYS)}, and no others")
    points, steps = node["points"], node["steps"]
    if not matches(points, int) or not 0 <= points <= MOST_NTK_POINTS:
        raise UserError(f"ntk.points={points!r} must be a whole number from 0 (off) to {MOST_NTK_POINTS}")
    if not matches(steps, list[int]) or min(steps, default=0) < 0:
        raise UserError(f"ntk.steps={steps!r} must be a list of whole numbers of at least 0")


def check_ntk_fit(config: Config, forward_map: ForwardMap, signal: Signal) -> None:
    points = config["ntk"]["points"]
    if points and not isinstance(forward_map, Sample):
        raise UserError(
            f"ntk.points={points} needs a field that is observed directly (forward_map=sample); use ntk.points=0"
        )
    if points > signal.num_observations:
        raise UserError(
            f"ntk.points={points} must be at most the {signal.num_observations} observations of this signal"
        )


def check_config(config: Config) -> None:
    """Keys, types and ranges of what no constructor checks.

    Raises:
        UserError: The message names the key.
    """
    missing = [key for key in KEYS if key not in config]
    missing += [f"trainer.{key}" for key in TRAINER_KEYS if key not in (config.get("trainer") or {})]
    if missing:
        raise UserError(f"the config lacks {', '.join(missing)}")
    trainer = config["trainer"]
    known = (*KEYS, *(f"trainer.{key}" for key in TRAINER_KEYS))
    for key in (*config, *(f"trainer.{key}" for key in trainer)):
        if key not in known:
            raise UserError(f"{key} is no key of this config{did_you_mean(key, known)}")
    whole = {key: (config[key], low) for key, low in (("seed", 0), ("max_steps", 0), ("eval_every", 1))}
    whole["trainer.log_every"] = (trainer["log_every"], 1)
    if config["threads"] is not None:
        whole["threads"] = (config["threads"], 1)
    if trainer["batch_size"] is not None:
        whole["trainer.batch_size"] = (trainer["batch_size"], 1)
    for key, (value, low) in whole.items():
        if not matches(value, int) or value < low:
            raise UserError(f"{key}={value!r} must be a whole number of at least {low}")
    if config["seed"] > MAX_SEED:
        raise UserError(f"seed={config['seed']} must be at most {MAX_SEED}")
    for key, kinds in (("name", str | int | float), ("label", str | int | float | None)):
        if not matches(config[key], kinds) or config[key] == "":
            raise UserError(f"{key}={config[key]!r} must be text")
    for key, allowed in (("accelerator", ACCELERATORS), ("pictures", PICTURES)):
        if trainer[key] not in allowed:
            raise UserError(f"trainer.{key}={trainer[key]!r} must be one of {', '.join(allowed)}")
    check_ntk(config["ntk"])
    absent = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if absent.get(trainer["accelerator"]):
        raise UserError(
            f"trainer.accelerator={trainer['accelerator']} is not available here; use cpu or auto"
        )
