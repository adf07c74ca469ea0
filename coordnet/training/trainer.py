"""Lightning's trainer with the callbacks of a run around it."""

import logging
import math
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.loggers import TensorBoardLogger

from coordnet.config.check import Config
from coordnet.runs import checkpoint, metrics_file
from coordnet.training.build_field import is_trained
from coordnet.training.callbacks.adaptive_precision import Precision
from coordnet.training.callbacks.checkpoint import Saving
from coordnet.training.callbacks.evaluation import Evaluation
from coordnet.training.callbacks.graceful_shutdown import GracefulShutdown
from coordnet.training.callbacks.ntk import Kernel
from coordnet.training.callbacks.progress import ProgressBar
from coordnet.training.checkpoint_io import VerifiedCheckpointIO
from coordnet.training.loggers import tensorboard
from coordnet.training.module import FieldModule


def train(
    config: Config,
    model: FieldModule,
    directory: Path,
    resumed_from: Path | None,
    facts: Mapping[str, Any],
    rank: int = 0,
) -> bool:
    """Train to the last step, writing metrics, pictures and checkpoints.

    Args:
        config: Of the run.
        model: Built from it.
        directory: The run's.
        resumed_from: A checkpoint to go on from.
        facts: What the results depend on besides the config, for TensorBoard.
        rank: Of this process among the trainer.devices that share each batch; only the first one writes.

    Returns:
        Whether the last prediction is the same everywhere, and its target is not.

    Raises:
        Diverged: The numbers are not finite any more.
        Interrupted: By a signal, after a checkpoint was saved.
    """
    steps = steps_of(config)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    title = config["label"] or config["name"]
    options, first = config["trainer"], rank == 0
    threading.excepthook = quiet_about_disks
    logger = make_logger(directory, resumed_from, {"config": config, "provenance": facts}) if first else None
    evaluation = Evaluation(
        directory, config["eval_every"], options["log_every"], options["pictures"], flatten(config)
    )
    interruption = GracefulShutdown()
    points, chosen = config["ntk"]["points"], config["ntk"]["steps"]
    measures = points and first and is_trained(config)
    kernels = [Kernel(directory, evaluation, points, chosen)] if measures else []
    precisions = [Precision(evaluation)] if options["precision"] == "adaptive" else []
    bars = [ProgressBar(title, evaluation)] if first else []
    saving = Saving(directory, config["eval_every"], evaluation, interruption)
    signal = model.batches.signal
    contents = {"config": config, "data": signal.fingerprint(), "spec": signal.spec().state_dict()}
    devices = options["devices"] if is_trained(config) else 1
    trainer = L.Trainer(
        accelerator=options["accelerator"],
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        max_steps=steps,
        max_epochs=-1,
        logger=logger or False,
        callbacks=[interruption, evaluation, *precisions, *kernels, saving, *bars],
        plugins=[VerifiedCheckpointIO(contents), LightningEnvironment()],
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    if steps == 0:
        metrics_file.truncate_after(directory / metrics_file.NAME, -1)
        trainer.strategy.connect(model)
        evaluation.evaluate(trainer, model, loss=math.nan)
        _save_untrained(model, contents, directory)
        for kernel in kernels:
            kernel.measure(trainer, model)
        for each in trainer.loggers:
            each.finalize("success")
        return evaluation.constant
    with warnings.catch_warnings():
        # Of Lightning's own: LeafSpec is deprecated in torch 2.13, and our loader needs no workers.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(model, ckpt_path=resumed_from)
    interruption.raise_if_received(trainer.global_step)
    return evaluation.constant


def _save_untrained(model: FieldModule, contents: Mapping[str, Any], directory: Path) -> None:
    """Save the field of a run without training steps, such as the planes of an interpolation baseline."""
    folder = directory / "checkpoints"
    folder.mkdir(exist_ok=True)
    for name in (checkpoint.BEST, checkpoint.LAST):
        checkpoint.save({**contents, "global_step": 0, "state_dict": model.state_dict()}, folder / name)


def steps_of(config: Config) -> int:
    return config["max_steps"] if is_trained(config) else 0


def quiet_about_disks(arguments: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own; the next write from this one raises what went wrong there."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)


def make_logger(
    directory: Path, resumed_from: Path | None, texts: Mapping[str, Mapping[str, Any]]
) -> TensorBoardLogger:
    """TensorBoard for a run; what was logged after the checkpoint it resumes from is purged, to be logged again."""
    purge_step = checkpoint.load(resumed_from)["global_step"] + 1 if resumed_from else 0
    logger = tensorboard(directory, purge_step)
    for name, values in texts.items():
        text = yaml.safe_dump(dict(values), sort_keys=False)
        logger.experiment.add_text(name, "    " + text.replace("\n", "\n    "))
    return logger


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys with dots; lists as text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str) else str(value)
    return flat
