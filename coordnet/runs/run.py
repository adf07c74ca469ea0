"""One run: from a config and an empty directory to metrics, pictures and checkpoints in it."""

import logging
import math
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.loggers import TensorBoardLogger

from coordnet.assemble import assemble, check_config, is_trained
from coordnet.callbacks.evaluation import Evaluation
from coordnet.callbacks.interruption import Interruption
from coordnet.callbacks.kernel import Kernel
from coordnet.callbacks.progress import ProgressBar
from coordnet.callbacks.saving import Saving
from coordnet.errors import Diverged, UserError
from coordnet.reconstruction import Reconstruction
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.directory import ENDED, claim, is_run, read_status, write_status, write_text
from coordnet.runs.provenance import provenance
from coordnet.runtime import keep_memory, set_threads

Config = Mapping[str, Any]
CONFIG = "config.yaml"


def prepare(config: Config, allow: Sequence[str] = ()) -> tuple[Config, Reconstruction]:
    """Set the process up and build the run's objects.

    Returns the config with every automatic choice resolved, so that a resumed run makes the same ones.
    """
    check_config(config)
    keep_memory()
    config = {**config, "threads": set_threads(config["threads"]), "trainer": dict(config["trainer"])}
    model = assemble(config, allow)
    config["trainer"]["precision"] = getattr(model.field, "precision", "float32")
    return config, model


def start(config: Config, directory: Path, allow: Sequence[str] = ()) -> dict[str, float]:
    """Train into a directory that holds no run yet; returns the final metrics."""
    config, model = prepare(config, allow)
    with claim(directory):
        if (directory / CONFIG).exists():
            raise UserError(f"{directory} holds a run already; choose another directory, or resume it")
        return begin(config, model, directory)


def resume(directory: Path, allow: Sequence[str] = ()) -> dict[str, float]:
    """Continue a run where its last checkpoint stands; returns the final metrics."""
    config = read_config(directory)
    status = read_status(directory)["status"]
    if status == "finished":
        raise UserError(f"{directory} is finished; there is nothing to resume")
    config, model = prepare(config, allow)
    with claim(directory):
        return go_on(config, model, directory)


def run_job(config: Config, directory: Path, allow: Sequence[str] = ()) -> None:
    """Do what is left of a job: all, what follows its last checkpoint, or nothing if it finished or diverged."""
    with claim(directory):
        if is_run(directory) and read_status(directory)["status"] in ENDED:
            return
        try:
            config, model = prepare(config, allow)
        except Exception as error:
            write_status(directory, "failed", reason=str(error), traceback=traceback.format_exc())
            raise
        if (directory / CONFIG).exists():
            go_on(config, model, directory)
        else:
            begin(config, model, directory)


def begin(config: Config, model: Reconstruction, directory: Path) -> dict[str, float]:
    write_text(directory / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return execute(config, model, directory)


def go_on(config: Config, model: Reconstruction, directory: Path) -> dict[str, float]:
    last = directory / "checkpoints" / "last.ckpt"
    if last.exists():
        load_weights(model, last)
        return execute(config, model, directory, last)
    if any(row["step"] > 0 for row in metrics_file.read(directory / metrics_file.NAME)):
        raise UserError(f"{last} does not exist, so there is nothing to resume from")
    return execute(config, model, directory)


def read_config(directory: Path) -> Config:
    """The resolved config of a run."""
    path = directory / CONFIG
    if not path.is_file():
        raise UserError(f"{directory} is no run: it has no {CONFIG}")
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path} is damaged: it is no mapping")
    return config


def load_model(directory: Path, which: str, allow: Sequence[str] = ()) -> tuple[Config, Reconstruction]:
    """The module of a run with the weights of its `which` ("last" or "best") checkpoint."""
    config, model = prepare(read_config(directory), allow)
    if is_trained(config):
        load_weights(model, directory / "checkpoints" / f"{which}.ckpt")
    return config, model


def load_weights(model: Reconstruction, path: Path) -> None:
    try:
        model.load_state_dict(checkpoint.load(path)["state_dict"])
    except (RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"checkpoint {path} does not fit the run's config: {reason}") from None


def execute(
    config: Config, model: Reconstruction, directory: Path, resumed_from: Path | None = None
) -> dict[str, float]:
    facts = provenance(model, config["trainer"]["precision"])
    trainer = config["trainer"]
    evaluation = Evaluation(
        directory, config["eval_every"], trainer["log_every"], trainer["pictures"], flatten(config)
    )
    logger = make_logger(directory, resumed_from)
    write_status(directory, "running", **facts)
    for name, values in (("config", config), ("provenance", facts)):
        text = yaml.safe_dump(dict(values), sort_keys=False)
        logger.experiment.add_text(name, "    " + text.replace("\n", "\n    "))
    try:
        train(config, model, directory, evaluation, logger, resumed_from)
    except BaseException as error:
        trace = traceback.format_exc() if outcome(error) == "failed" else None
        write_status(directory, outcome(error), reason=str(error), traceback=trace, **facts)
        raise
    write_status(directory, "finished", **facts)
    return metrics_file.read(directory / metrics_file.NAME)[-1]


def make_logger(directory: Path, resumed_from: Path | None) -> TensorBoardLogger:
    """TensorBoard for a run; what was logged after the checkpoint it resumes from is purged, to be logged again."""
    purge_step = checkpoint.load(resumed_from)["global_step"] + 1 if resumed_from else 0
    return TensorBoardLogger(
        directory, name="", version="", sub_dir="tb", default_hp_metric=False, purge_step=purge_step
    )


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys with dots; lists as text."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, int | float | str) else str(value)
    return flat


def outcome(error: BaseException) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    return "failed" if isinstance(error, Exception) else "interrupted"


def train(
    config: Config,
    model: Reconstruction,
    directory: Path,
    evaluation: Evaluation,
    logger: TensorBoardLogger,
    resumed_from: Path | None,
) -> None:
    steps = config["max_steps"] if is_trained(config) else 0
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    title = config["label"] or config["name"]
    interruption = Interruption()
    points, chosen = config["ntk"]["points"], config["ntk"]["steps"]
    kernels = [Kernel(directory, evaluation, points, chosen)] if points and is_trained(config) else []
    saving = Saving(directory, config["eval_every"], evaluation, interruption)
    trainer = L.Trainer(
        accelerator=config["trainer"]["accelerator"],
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        logger=logger,
        callbacks=[interruption, evaluation, *kernels, saving, ProgressBar(title, evaluation)],
        plugins=[checkpoint.VerifiedCheckpointIO()],
        default_root_dir=directory,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    if steps == 0:
        metrics_file.cut_back(directory / metrics_file.NAME, -1)
        trainer.strategy.connect(model)
        evaluation.evaluate(trainer, model, loss=math.nan)
        for kernel in kernels:
            kernel.measure(trainer, model)
        logger.finalize("success")
        return
    with warnings.catch_warnings():
        # Of Lightning's own: LeafSpec is deprecated in torch 2.13, and our loader needs no workers.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(model, ckpt_path=resumed_from)
    interruption.raise_if_received(trainer.global_step)
