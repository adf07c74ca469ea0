"""Loggers: each row once, at the optimizer's step, and media of the types that a logger can show."""

import csv
import sqlite3
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from coordnet.encodings.identity import Identity
from coordnet.errors import UserError
from coordnet.evaluation.media import Mesh, Picture, Sound, Table
from coordnet.fields.field import Field
from coordnet.forward_maps.point import PointEvaluation
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.image import skimage_image
from coordnet.training import loggers
from coordnet.training.batches import BatchSampler
from coordnet.training.callbacks.evaluation import EvaluationCallback
from coordnet.training.module import FieldModule
from coordnet.training.plugins import make_logger
from coordnet.training.run_logger import RunLogger

STEPS, EVERY, LOG_EVERY = 25, 8, 5
SCORED = [0, 8, 10, 16, 20, 24, 25]
LOGGED = [5, 8, 10, 15, 16, 20, 24, 25]


def module(steps_per_block: int) -> FieldModule:
    torch.manual_seed(0)
    signal = skimage_image("astronaut", 2, resize=(16, 16))
    field = Field(Identity(signal.domain), Mlp(2, signal.channels, depth=1, width=8), signal.value_range)
    optimizer = partial(torch.optim.Adam, lr=1e-2)
    batches = BatchSampler(signal, 32, seed=0)
    return FieldModule(field, PointEvaluation(), batches, optimizer, steps_per_block=steps_per_block)


def make_loggers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All loggers whose packages are installed."""
    made: dict[str, Any] = {"tensorboard": loggers.tensorboard(folder), "csv": loggers.csv(folder)}
    if find_spec("wandb"):
        monkeypatch.setenv("WANDB_SILENT", "true")
        made["wandb"] = loggers.wandb(folder, offline=True)
    if find_spec("mlflow"):
        made["mlflow"] = loggers.mlflow(folder)
    return made


def tensorboard_rows(folder: Path, tag: str) -> list[int]:
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


def csv_rows(folder: Path, tag: str) -> list[int]:
    with (folder / "csv" / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row[tag]]


def mlflow_rows(folder: Path, tag: str) -> list[int]:
    with sqlite3.connect(folder / "mlflow.db") as database:
        found = database.execute("select step from metrics where key = ? order by step", (tag,))
        return [step for (step,) in found]


@pytest.mark.parametrize("steps_per_block", [1, 8])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_loggers_with_early_stopping_and_a_monitored_checkpoint(
    steps_per_block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_loggers(tmp_path, monkeypatch)
    sent: list[tuple[int, set[str]]] = []
    if "wandb" in made:
        log = made["wandb"].log_metrics
        made["wandb"].log_metrics = lambda metrics, step=None: (
            sent.append((step, set(metrics))),
            log(metrics, step),
        )
    best = ModelCheckpoint(tmp_path / "best", "{step}", monitor="val/psnr", mode="max")
    # The score at step 8 counts as the best: no later one is larger by 1000 dB, and the third of these ends training.
    stopping = EarlyStopping("val/psnr", mode="max", min_delta=1000, patience=3)
    trainer = L.Trainer(
        max_steps=STEPS,
        max_epochs=-1,
        accelerator="cpu",
        logger=list(made.values()),
        callbacks=[EvaluationCallback(EVERY, LOG_EVERY), stopping, best],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module(steps_per_block))
    assert trainer.global_step == 20
    scored, logged = SCORED[:5], LOGGED[:6]
    assert tensorboard_rows(tmp_path, "val/psnr") == csv_rows(tmp_path, "val/psnr") == scored
    assert tensorboard_rows(tmp_path, "train/loss") == csv_rows(tmp_path, "train/loss") == logged
    assert tensorboard_rows(tmp_path, "loss/mse") == logged
    assert Path(best.best_model_path).is_file()
    if "wandb" in made:
        assert [step for step, names in sent if "val/psnr" in names] == scored
        assert [step for step, names in sent if "train/loss" in names] == logged
    if "mlflow" in made:
        assert mlflow_rows(tmp_path, "val/psnr") == scored
        assert mlflow_rows(tmp_path, "train/loss") == logged


MEDIA = {
    "picture": Picture(np.zeros((4, 6, 3), np.uint8)),
    "sound": Sound(np.zeros((100, 1), np.float32), 8000),
    "mesh": Mesh(np.eye(3), np.zeros((3, 3), np.uint8), np.array([[0, 1, 2]])),
    "table": Table(["name", "value"], [["a", 1.0]]),
}


def test_tensorboard_shows_every_type_of_media(tmp_path: Path) -> None:
    logger = loggers.tensorboard(tmp_path)
    for name, media in MEDIA.items():
        loggers.log_media(logger, name, media, 3)
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    tags = events.Tags()
    assert tags["images"] == ["picture"]
    assert "table/text_summary" in tags["tensors"]
    assert any(name.startswith("mesh") for name in tags["tensors"])
    assert tags["audio"] == ["sound"]


def test_a_logger_of_scalars_ignores_media(tmp_path: Path) -> None:
    logger = loggers.csv(tmp_path)
    for name, media in MEDIA.items():
        loggers.log_media(logger, name, media, 3)
    logger.finalize("success")
    assert not list(tmp_path.rglob("*.png"))


def test_pictures_are_files_of_the_run_too(tmp_path: Path) -> None:
    RunLogger([], tmp_path).show(MEDIA, 12)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["picture-0000012.png"]


def test_values_that_are_not_finite_stay_in_the_file_alone(tmp_path: Path) -> None:
    logger = loggers.csv(tmp_path)
    record = RunLogger([logger], tmp_path)
    record.write_row({"step": 0, "train/loss": float("nan"), "val/psnr": 7.0})
    record.flush()
    assert (tmp_path / "metrics.csv").read_text() == "step,train/loss,val/psnr\n0,nan,7\n"
    assert (tmp_path / "csv" / "metrics.csv").read_text().splitlines()[0].split(",") == ["step", "val/psnr"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_an_absent_package_is_one_line_that_names_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=rf"pip install 'coordnet\[{name}\]'"):
        getattr(loggers, name)(tmp_path)


def test_a_resumed_run_keeps_the_csv_rows_of_before(tmp_path: Path) -> None:
    for purge_step, step in ((0, 3), (4, 9)):
        logger = loggers.csv(tmp_path, purge_step)
        RunLogger([logger], None).write_row({"step": step, "val/psnr": 1.0})
        logger.finalize("success")
    files = (tmp_path / "csv" / "metrics.csv", tmp_path / "csv" / "from_4" / "metrics.csv")
    assert [file.read_text().splitlines()[1].split(",")[0] for file in files] == ["3", "9"]


@pytest.mark.parametrize("make", [lambda save_dir: save_dir, lambda first, second: None])
def test_a_factory_that_makes_no_logger_is_one_line(make: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^logger: "):
        make_logger(make, tmp_path, 0)
