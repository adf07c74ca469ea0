"""Lightning's trainer with the callbacks of a run around it."""

import logging
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from coordnet.config.check import Config
from coordnet.runs import checkpoint, metrics_file
from coordnet.training.build_field import is_trained
from coordnet.training.callbacks.adaptive_precision import AdaptivePrecision
from coordnet.training.callbacks.checkpoint import CheckpointCallback
from coordnet.training.callbacks.evaluation import EvaluationCallback
from coordnet.training.callbacks.graceful_shutdown import GracefulShutdown
from coordnet.training.callbacks.ntk import NTKCallback
from coordnet.training.callbacks.progress import ProgressBar
from coordnet.training.checkpoint_io import VerifiedCheckpointIO
from coordnet.training.module import FieldModule
from coordnet.training.plugins import build_callbacks, logger_factories, make_logger

# Keys of config["trainer"] that are coordnet's own; Lightning's Trainer gets all others by their names.
OWN_KEYS = ("batch_size", "precision", "pictures", "log_every_n_steps", "accelerator", "devices")


def train(
    config: Config,
    model: FieldModule,
    directory: Path,
    resumed_from: Path | None,
    facts: Mapping[str, Any],
    rank: int = 0,
    allow: Sequence[str] = (),
) -> bool:
    """Train to the last step, writing metrics, media and checkpoints.

    Args:
        config: The config of the run.
        model: The module built from the config.
        directory: Directory of the run.
        resumed_from: The checkpoint to go on from; None starts anew.
        facts: The provenance of the run, for TensorBoard.
        rank: Rank of this process among the trainer.devices that share each batch; only rank 0 writes.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Returns:
        True if the last prediction is the same everywhere while its target is not.

    Raises:
        Diverged: The loss, the field or a parameter is not finite.
        Interrupted: A signal ended training, after a checkpoint was saved.
    """
    steps = steps_of(config)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    threading.excepthook = _ignore_os_errors
    options, first = config["trainer"], rank == 0
    trained = is_trained(config)
    evaluation = EvaluationCallback(
        config["eval_every"], options["log_every_n_steps"], directory, options["pictures"], flatten(config)
    )
    shutdown = GracefulShutdown()
    chosen = build_callbacks(config["callbacks"], allow) if trained else []
    callbacks: list[L.Callback] = [
        shutdown,
        evaluation,
        *([AdaptivePrecision()] if options["precision"] == "adaptive" else []),
        *chosen,
        CheckpointCallback(directory, config["eval_every"], shutdown),
        *([ProgressBar(config["label"] or config["name"])] if first else []),
    ]
    signal = model.batches.signal
    contents = {"config": config, "data": signal.fingerprint(), "spec": signal.spec().state_dict()}
    devices = options["devices"] if trained else 1
    texts = {"config": config, "provenance": facts}
    trainer = L.Trainer(
        accelerator=options["accelerator"],
        devices=devices,
        max_steps=steps,
        max_epochs=-1,
        logger=_make_loggers(config, directory, resumed_from, texts, allow) if first else False,
        callbacks=callbacks,
        plugins=[VerifiedCheckpointIO(contents), LightningEnvironment()],
        default_root_dir=directory,
        # Lightning makes a ModelCheckpoint of its own unless this is off, and refuses a chosen one where this is off.
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in chosen),
        enable_progress_bar=False,
        **{"strategy": "ddp" if devices > 1 else "auto", "enable_model_summary": False}
        | {name: value for name, value in options.items() if name not in OWN_KEYS and value is not None},
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    if steps == 0:
        metrics_file.truncate_after(directory / metrics_file.NAME, -1)
        trainer.strategy.connect(model)
        evaluation.evaluate(trainer, model, {"loss": math.nan})
        _save_untrained(model, contents, directory)
        for callback in chosen:
            if isinstance(callback, NTKCallback):
                callback.measure(trainer, model)
        for each in trainer.loggers:
            each.finalize("success")
        return evaluation.constant
    with warnings.catch_warnings():
        # Lightning warns of LeafSpec, which torch 2.13 deprecates, and of a loader without workers.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(model, ckpt_path=resumed_from)
    shutdown.raise_if_received(trainer.global_step)
    return evaluation.constant


def _save_untrained(model: FieldModule, contents: Mapping[str, Any], directory: Path) -> None:
    """Save the field of a run without training steps, such as the planes of an interpolation baseline."""
    folder = directory / "checkpoints"
    folder.mkdir(exist_ok=True)
    for name in (checkpoint.BEST, checkpoint.LAST):
        checkpoint.save({**contents, "global_step": 0, "state_dict": model.state_dict()}, folder / name)


def steps_of(config: Config) -> int:
    """Optimization steps of a run: none for an interpolation baseline."""
    return config["max_steps"] if is_trained(config) else 0


def _ignore_os_errors(arguments: threading.ExceptHookArgs) -> None:
    """Leave a full disk to the next write from this thread: TensorBoard writes in a thread of its own."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)


def _make_loggers(
    config: Config,
    directory: Path,
    resumed_from: Path | None,
    texts: Mapping[str, Mapping[str, Any]],
    allow: Sequence[str],
) -> list[Logger]:
    """The loggers of a run; TensorBoard hides what was logged after the checkpoint that the run resumes from."""
    purge_step = checkpoint.load_checkpoint(resumed_from)["global_step"] + 1 if resumed_from else 0
    makers: list[Callable[..., Any]] = logger_factories(config["logger"], allow)
    loggers = [make_logger(make, directory, purge_step) for make in makers]
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            for name, values in texts.items():
                text = yaml.safe_dump(dict(values), sort_keys=False)
                logger.experiment.add_text(name, "    " + text.replace("\n", "\n    "))
    return loggers


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots; lists as text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str) else str(value)
    return flat
