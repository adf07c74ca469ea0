"""Loss terms, metrics, callbacks and loggers from their config groups, each a dict of nodes by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger

from coordnet.config.build import build, factory
from coordnet.errors import OptionError, UserError
from coordnet.evaluation.base import Metric
from coordnet.losses.base import Loss

Nodes = Mapping[str, Mapping[str, Any]]


def build_losses(nodes: Nodes, allow: Sequence[str] = ()) -> dict[str, tuple[float, Loss]]:
    """Weights and loss terms by name, from nodes `{name: {_target_, weight, ...}}`.

    A target that is a function of (prediction, batch, field) is the term itself; a class is constructed first.

    Raises:
        UserError: There is no term, or an option is not allowed.
    """
    if not nodes:
        raise UserError("loss=[] leaves nothing to minimize; name at least one term, such as loss=mse")
    losses = {}
    for name, node in nodes.items():
        make = factory({key: value for key, value in node.items() if key != "weight"}, f"loss.{name}", allow)
        losses[name] = (float(node.get("weight", 1.0)), _constructed(make, f"loss.{name}"))
    return losses


def build_metrics(nodes: Nodes, allow: Sequence[str] = ()) -> dict[str, Metric]:
    """Metrics by name, from nodes `{name: {_target_, ...}}`.

    A target that is a function of (prediction, target) is the metric itself; a class is constructed first.

    Raises:
        UserError: An option is not allowed.
    """
    return {
        name: _constructed(factory(node, f"metric.{name}", allow), f"metric.{name}")
        for name, node in nodes.items()
    }


def _constructed(make: Callable[..., Any], key: str) -> Any:
    """The term or metric that a factory stands for: an instance of its class, or its function with options bound."""
    assert isinstance(make, partial)
    if not inspect.isclass(make.func):
        return make if make.keywords else make.func
    try:
        made = make()
    except OptionError as error:
        raise error.within(key) from None
    except TypeError as error:
        raise UserError(f"{key}: {error}") from None
    if not callable(made):
        raise UserError(f"{key} makes a {type(made).__name__}, which cannot be called")
    return made


def build_callbacks(nodes: Nodes, allow: Sequence[str] = ()) -> list[L.Callback]:
    """Lightning callbacks from nodes `{name: {_target_, ...}}`, in the order of the nodes.

    Raises:
        UserError: A node does not make a Lightning callback, or an option is not allowed.
    """
    callbacks = []
    for name, node in nodes.items():
        callback = build(node, f"callbacks.{name}", allow)
        if not isinstance(callback, L.Callback):
            raise UserError(f"callbacks.{name}._target_={node['_target_']} makes no lightning.Callback")
        callbacks.append(callback)
    return callbacks


def logger_factories(nodes: Nodes, allow: Sequence[str] = ()) -> list[Callable[..., Any]]:
    """Factories of loggers from nodes `{name: {_target_, ...}}`; no logger writes a file before its factory is called.

    Raises:
        UserError: An option is not allowed.
    """
    return [factory(node, f"logger.{name}", allow) for name, node in nodes.items()]


def make_logger(make: Callable[..., Any], save_dir: Path, purge_step: int) -> Logger:
    """Call the factory of a logger with the run's directory as `save_dir`, and with `purge_step` where it is accepted.

    Args:
        make: A factory as of `logger_factories`.
        save_dir: Directory of the run.
        purge_step: First step that the logger may hide, because a resumed run logs the steps from there again.

    Raises:
        UserError: The factory makes no logger.
    """
    accepted = inspect.signature(make).parameters
    given: dict[str, Any] = {"save_dir": save_dir, "purge_step": purge_step}
    try:
        logger = make(**{name: value for name, value in given.items() if name in accepted})
    except TypeError as error:
        raise UserError(f"logger: {error}") from None
    if not isinstance(logger, Logger):
        raise UserError(f"logger: {type(logger).__name__} is no logger of Lightning's")
    return logger
