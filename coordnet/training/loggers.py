"""Loggers by name, whose packages are imported when they are asked for, and the media that each logger can show.

A factory takes `save_dir`, the directory of the run; the other arguments come from the config.
"""

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from coordnet.errors import UserError
from coordnet.evaluation.media import Media, Mesh, Picture, Sound, Table


def tensorboard(save_dir: Path, purge_step: int = 0) -> Logger:
    """TensorBoard in <run>/tb.

    Args:
        save_dir: Directory of the run.
        purge_step: First step that is hidden, because a resumed run logs the steps from there again.
    """
    return TensorBoardLogger(
        save_dir, name="", version="", sub_dir="tb", default_hp_metric=False, purge_step=purge_step
    )


def csv(save_dir: Path, purge_step: int = 0) -> Logger:
    """Lightning's CSV files in <run>/csv: scalars only.

    Args:
        save_dir: Directory of the run.
        purge_step: First step of a resumed run, which writes to <run>/csv/from_<step>: Lightning's logger deletes the
            file that it finds.
    """
    return CSVLogger(save_dir, name="csv", version=f"from_{purge_step}" if purge_step else "")


def wandb(
    save_dir: Path, project: str = "coordnet", name: str | None = None, offline: bool = False
) -> Logger:
    """Weights & Biases.

    Args:
        save_dir: Directory of the run, which keeps the files of W&B.
        project: Name of the project.
        name: Name of the run; None lets W&B choose a name.
        offline: True sends nothing; `wandb sync` sends the files later.

    Raises:
        UserError: The package wandb is not installed.
    """
    _require("wandb", "wandb")
    return WandbLogger(save_dir=save_dir, project=project, name=name, offline=offline)


def mlflow(save_dir: Path, experiment: str = "coordnet", tracking_uri: str | None = None) -> Logger:
    """MLflow, in a SQLite file in the run's directory unless a tracking server is named.

    Args:
        save_dir: Directory of the run.
        experiment: Name of the experiment.
        tracking_uri: Address of the tracking store; None takes sqlite:///<run>/mlflow.db.

    Raises:
        UserError: The package mlflow is not installed.
    """
    _require("mlflow", "mlflow")
    uri = tracking_uri or f"sqlite:///{Path(save_dir).absolute() / 'mlflow.db'}"
    artifacts = None if tracking_uri else f"file:{Path(save_dir).absolute() / 'mlartifacts'}"
    return MLFlowLogger(experiment_name=experiment, tracking_uri=uri, artifact_location=artifacts)


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise UserError(f"logger={extra} needs the package {package}: pip install 'coordnet[{extra}]'")


def log_media(logger: Any, name: str, media: Media, step: int) -> None:
    """Give a logger a medium if the logger can show that type; a logger of scalars ignores media.

    Args:
        logger: One of Lightning's loggers.
        name: Name of the medium.
        media: A picture, sound, mesh or table.
        step: The optimizer's step.
    """
    if isinstance(logger, TensorBoardLogger):
        _log_to_tensorboard(logger.experiment, name, media, step)
    elif isinstance(logger, WandbLogger):
        _log_to_wandb(logger, name, media, step)
    elif isinstance(logger, MLFlowLogger):
        _log_to_mlflow(logger, name, media, step)


def _log_to_tensorboard(writer: Any, name: str, media: Media, step: int) -> None:
    match media:
        case Picture(pixels):
            writer.add_image(name, pixels, step, dataformats="HWC")
        case Sound(samples, rate):
            writer.add_audio(name, torch.from_numpy(samples.mean(axis=1)), step, sample_rate=rate)
        case Mesh(vertices, colors, triangles):
            batch = (
                torch.from_numpy(np.ascontiguousarray(each))[None] for each in (vertices, colors, triangles)
            )
            writer.add_mesh(name, *batch, global_step=step)
        case Table(columns, rows):
            lines = [columns, ["---"] * len(columns), *rows]
            writer.add_text(name, "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines), step)


def _log_to_wandb(logger: Any, name: str, media: Media, step: int) -> None:
    import wandb

    match media:
        case Picture(pixels):
            value: Any = wandb.Image(pixels)
        case Sound(samples, rate):
            value = wandb.Audio(samples, sample_rate=rate)
        case Mesh(vertices, colors, _):
            value = wandb.Object3D(np.concatenate([vertices, colors], axis=1))
        case Table(columns, rows):
            value = wandb.Table(columns=list(columns), data=[list(row) for row in rows])
    logger.log_metrics({name: value}, step=step)


def _log_to_mlflow(logger: Any, name: str, media: Media, step: int) -> None:
    slug = "".join(letter if letter.isalnum() else "-" for letter in name)
    match media:
        case Picture(pixels):
            logger.experiment.log_image(logger.run_id, pixels, f"{slug}-{step:07d}.png")
        case Table(columns, rows):
            table = {column: [row[i] for row in rows] for i, column in enumerate(columns)}
            logger.experiment.log_table(logger.run_id, table, f"{slug}-{step:07d}.json")


def log_hyperparameters(logger: Any, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Log the flat config once; TensorBoard lists the config against the newest values of the metrics' tags."""
    if isinstance(logger, TensorBoardLogger):
        _list_in_hparams_tab(logger.experiment, values, metrics)
    else:
        logger.log_hyperparams(dict(values))


def _list_in_hparams_tab(writer: Any, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Write the start and the end of a session.

    The summary of the experiment is left out: TensorBoard would take the columns of all runs from the first one found.
    Nulls are left out too: TensorBoard cannot sort a column of numbers and text.
    """
    from torch.utils.tensorboard.summary import hparams

    shown = {name: value for name, value in values.items() if value not in (None, "None")}
    _, start, end = hparams(shown, dict(metrics))
    for summary in (start, end):
        writer._get_file_writer().add_summary(summary)


def flush(logger: Any) -> None:
    """Write out what a logger holds back."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.flush()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.save()
