"""From a plain config to the objects of a run. Knows the config's layout; knows nothing of Hydra."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from coordnet.config.build import build, factory
from coordnet.config.check import Config
from coordnet.errors import OptionError, UserError
from coordnet.evaluation.base import Evaluator
from coordnet.evaluation.default import evaluator_for
from coordnet.fields.interpolation import Interpolation
from coordnet.forward_maps.base import ForwardMap
from coordnet.signals.base import Signal
from coordnet.signals.images.image import Image
from coordnet.training.batches import BatchSampler
from coordnet.training.build_field import build_field, build_forward_map, is_trained
from coordnet.training.callbacks.ntk import NTKCallback
from coordnet.training.module import FieldModule
from coordnet.training.plugins import build_callbacks, build_losses, build_metrics, logger_factories


def assemble(config: Config, allow: Sequence[str] = ()) -> FieldModule:
    """Build signal, field, forward map and the module around them, all drawn from `config["seed"]`.

    Args:
        config: Checked by `check_config`.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Raises:
        UserError: Some value is not allowed; the message names its key.
    """
    check_accelerator(config["trainer"]["accelerator"])
    L.seed_everything(config["seed"], verbose=False)
    signal: Signal = build(config["signal"], "signal", allow)
    spec = signal.spec()
    field = build_field(config, spec, allow) if is_trained(config) else _interpolate(config, signal)
    forward_map = build_forward_map(config, field, spec, allow)
    trainer = config["trainer"]
    batches = BatchSampler(signal, trainer["batch_size"], config["seed"])
    check_shares(batches, trainer["devices"])
    check_fit(forward_map, signal)
    optimizer, encoding_lr = make_optimizer(config["optimizer"], allow)
    schedule = _make_schedule(config, allow)
    evaluator = _make_evaluator(config, signal, allow)
    losses = build_losses(config["loss"], allow)
    model = FieldModule(field, forward_map, batches, optimizer, schedule, encoding_lr, losses, evaluator)
    for callback in build_callbacks(config["callbacks"], allow):
        if isinstance(callback, NTKCallback):
            callback.check_fit(model)
    logger_factories(config["logger"], allow)
    if is_trained(config) and config["max_steps"]:
        check_optimizer(model)
    return model


def _make_evaluator(config: Config, signal: Signal, allow: Sequence[str]) -> Evaluator:
    """The evaluator that the config chooses, else the evaluator for the kind of signal."""
    metrics = build_metrics(config["metric"], allow)
    if not config["evaluator"]:
        return evaluator_for(signal, metrics)
    evaluator = build(config["evaluator"], "evaluator", allow, metrics=metrics)
    if not isinstance(evaluator, Evaluator):
        raise UserError(f"evaluator._target_={config['evaluator']['_target_']} makes no Evaluator")
    return evaluator


def check_optimizer(model: FieldModule) -> None:
    """Make optimizer and schedule once, and advance the schedule: some only fail there."""
    try:
        configured = model.configure_optimizers()
        if isinstance(configured, dict):
            with warnings.catch_warnings():
                # Torch warns that no step of the optimizer came before.
                warnings.simplefilter("ignore")
                configured["lr_scheduler"]["scheduler"].step()
    except OptionError as error:
        raise error.within("schedule") from None
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise UserError(f"optimizer or schedule: {error}") from None


def _make_schedule(config: Config, allow: Sequence[str]) -> Callable[[Optimizer], LRScheduler] | None:
    """The factory of the schedule, which gets the steps of the run if the schedule has a parameter `max_steps`."""
    node = config["schedule"]
    if not node:
        return None
    if "max_steps" in node:
        raise UserError("schedule.max_steps is not for a config to set; remove it")
    schedule = factory(node, "schedule", allow)
    if "max_steps" not in inspect.signature(schedule).parameters:
        return schedule
    return partial(schedule, max_steps=config["max_steps"])


def make_optimizer(
    node: Mapping[str, Any], allow: Sequence[str]
) -> tuple[Callable[..., Optimizer], float | None]:
    """The factory of the optimizer, and the learning rate of encodings."""
    rest = {name: value for name, value in node.items() if name != "encoding_lr"}
    return factory(rest, "optimizer", allow), node.get("encoding_lr")


def _interpolate(config: Config, signal: Signal) -> Interpolation:
    mode = config["baseline"]
    if not isinstance(signal, Image):
        raise UserError(f"baseline={mode} interpolates images only; use baseline=null with this signal")
    return Interpolation(*signal.training_samples(), mode)


def check_shares(batches: BatchSampler, devices: int) -> None:
    size = batches.signal.num_observations if batches.size is None else batches.size
    if size % devices:
        raise UserError(f"trainer.devices={devices} must divide the {size} observations of a batch")


def check_fit(forward_map: ForwardMap, signal: Signal) -> None:
    given = signal.get_batch(torch.zeros(1, dtype=torch.long))
    missing = [name for name in forward_map.required_keys if name not in given]
    if missing:
        way = (
            "use forward_map=occupancy_grid with radiance=small, or an experiment such as lego_instant"
            if "origins" in given
            else "choose another forward_map"
        )
        raise UserError(
            f"forward_map={type(forward_map).__name__} needs {', '.join(missing)}, but the signal "
            f"observes {', '.join(given)}; {way}"
        )


def check_accelerator(accelerator: str) -> None:
    absent = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if absent.get(accelerator):
        raise UserError(f"trainer.accelerator={accelerator} is not available here; use cpu or auto")
