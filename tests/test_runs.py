import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import SMALL, make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

from coordnet.errors import Diverged, UserError
from coordnet.export.image import export_image, pixel_centers
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.config_file import read_config
from coordnet.runs.directory import is_locked, lock_run_dir, read_status, write_status, write_text
from coordnet.runs.load import load
from coordnet.training.module import FieldModule
from coordnet.training.run import resume, start

# Bytes: events without pictures have fewer.
PICTURE = 10_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    start(make_config(*SMALL), directory)
    return directory


@pytest.fixture(scope="module")
def events(finished: Path) -> EventAccumulator:
    return EventAccumulator(str(finished / "tb"), size_guidance={"images": 0}).Reload()


def test_a_run_leaves_its_files(finished: Path) -> None:
    names = {str(file.relative_to(finished)) for file in finished.rglob("*")}
    assert {"config.yaml", "metrics.csv", "checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= names
    assert read_status(finished)["status"] == "finished"
    assert "images/target-prediction-error-spectrum-0000012.png" in names


def test_metrics_rows_stand_at_the_evaluated_steps(finished: Path) -> None:
    rows = metrics_file.read(finished / "metrics.csv")
    assert [row["step"] for row in rows] == [0, 5, 10, 12]
    assert list(rows[0])[:4] == ["step", "seconds", "loss/mse", "train/loss"]
    assert {"train/psnr", "val/psnr", "test/psnr", "test/psnr_all", "test/ssim"} <= set(rows[0])
    assert rows[-1]["train/psnr"] > rows[0]["train/psnr"]


def test_tensorboard_shows_the_numbers_of_the_metrics_file(finished: Path, events: EventAccumulator) -> None:
    rows = {row["step"]: row for row in metrics_file.read(finished / "metrics.csv")}
    for name in ("train/psnr", "val/psnr", "test/psnr", "test/ssim", "train/loss"):
        points = {event.step: event.value for event in events.Scalars(name)}
        for step, row in rows.items():
            if math.isfinite(row[name]):
                assert points[step] == pytest.approx(row[name], rel=1e-6)


def test_tensorboard_has_every_picture_that_is_a_file(finished: Path, events: EventAccumulator) -> None:
    shown = []
    for tag in events.Tags()["images"]:
        slug = re.sub(r"\W+", "-", tag)
        shown += [f"{slug}-{event.step:07d}.png" for event in events.Images(tag)]
    assert sorted(shown) == sorted(file.name for file in (finished / "images").iterdir())
    assert [int(name[-11:-4]) for name in sorted(shown) if name.startswith("target")] == [0, 10, 12]


def test_tensorboard_has_a_score_before_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its pictures, however slow the writer: a reader sees them at once, and no step waits for it."""
    step, write, seen = FieldModule.training_step, RecordWriter.write, {}

    def slow(writer: RecordWriter, data: bytes) -> None:
        time.sleep(0.3 * (len(data) > PICTURE))
        write(writer, data)

    def looked_at(model: FieldModule, *arguments: object) -> torch.Tensor:
        if model.global_step in (5, 10):
            events = EventAccumulator(str(tmp_path / "run" / "tb"), size_guidance={"images": 0}).Reload()
            seen[model.global_step] = events
        return step(model, *arguments)

    monkeypatch.setattr(RecordWriter, "write", slow)
    monkeypatch.setattr(FieldModule, "training_step", looked_at)
    start(make_config(*SMALL), tmp_path / "run")
    assert [event.step for event in seen[5].Scalars("val/psnr")] == [0, 5]
    assert {event.step for tag in seen[10].Tags()["images"] for event in seen[10].Images(tag)} == {0, 10}


def test_tensorboard_has_config_provenance_and_hyperparameters(events: EventAccumulator) -> None:
    tags = events.Tags()
    assert {"config/text_summary", "provenance/text_summary"} <= set(tags["tensors"])
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    listed = HParamsPluginData.FromString(content).session_start_info.hparams
    assert listed["network.width"].number_value == 16 and "encoding._target_" in listed


def test_provenance_is_recorded(finished: Path) -> None:
    status = read_status(finished)
    assert status["parameters"] == sum(p.numel() for p in load(finished).field.parameters())
    assert status["torch"] == torch.__version__ and status["threads"] >= 1 and "revision" in status


@pytest.mark.reliability("T12")
def test_divergence_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    config = make_config(*SMALL, "optimizer=sgd", "optimizer.lr=1e30", "trainer.log_every_n_steps=1")
    with pytest.raises(Diverged, match=r"step \d+ with learning rate"):
        start(config, tmp_path / "run")
    assert read_status(tmp_path / "run")["status"] == "diverged"
    weights = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


@pytest.mark.reliability("T12")
def test_a_run_that_blows_up_in_its_last_step_is_not_called_finished(tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        start(make_config(*SMALL, "optimizer=sgd", "optimizer.lr=1e38", "max_steps=1"), tmp_path / "run")
    assert read_status(tmp_path / "run")["status"] == "diverged"


def test_an_interpolation_baseline_needs_no_training(tmp_path: Path) -> None:
    metrics = start(make_config(*SMALL, "baseline=bilinear"), tmp_path / "run")
    assert metrics["step"] == 0
    assert metrics["train/psnr"] > 100  # it passes through the training pixels
    assert read_status(tmp_path / "run")["parameters"] == 0


@pytest.mark.reliability("T26")
def test_a_directory_holds_one_run(finished: Path) -> None:
    with pytest.raises(UserError, match="holds a run already"):
        start(make_config(*SMALL), finished)


@pytest.mark.reliability("T26")
def test_a_claimed_directory_is_refused_to_another_process(tmp_path: Path) -> None:
    with lock_run_dir(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(UserError, match=f"in use by pid {os.getpid()} on "):
            lock_run_dir(tmp_path)
    assert not is_locked(tmp_path)
    lock_run_dir(tmp_path).close()


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path) -> None:
    write_status(tmp_path, "running")
    assert read_status(tmp_path)["status"] == "killed"
    with lock_run_dir(tmp_path):
        assert read_status(tmp_path)["status"] == "running"


def test_damaged_run_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        read_config(tmp_path)
    (tmp_path / "status.json").write_text("{")
    (tmp_path / "config.yaml").write_text("a: [1")
    for read in (read_status, read_config):
        with pytest.raises(UserError, match="damaged") as error:
            read(tmp_path)
        assert "\n" not in str(error.value)


def test_a_config_that_lacks_keys_is_one_line(tmp_path: Path) -> None:
    write_status(tmp_path, "killed")
    (tmp_path / "config.yaml").write_text("format: 2\nseed: 0\ntrainer: {}\n")
    with pytest.raises(UserError, match=r"the config lacks signal, encoding, "):
        resume(tmp_path)


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


class TestMetricsFile:
    def test_rows_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.csv"
        rows = [{"step": float(i), "a": i / 3} for i in range(4)]
        for row in rows:
            metrics_file.append(path, row)
        assert metrics_file.read(path) == [pytest.approx(row, rel=1e-6) for row in rows]

    def test_cut_back_drops_later_rows_and_a_torn_line(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.csv"
        for step in (0.0, 5.0, 10.0):
            metrics_file.append(path, {"step": step, "a": 1.0})
        with path.open("a") as file:
            file.write("15,1.")
        metrics_file.truncate_after(path, 5)
        metrics_file.append(path, {"step": 7.0, "a": 2.0})
        assert [row["step"] for row in metrics_file.read(path)] == [0, 5, 7]

    @pytest.mark.parametrize("torn", ["", "step,a"])
    def test_a_file_without_a_whole_header_starts_anew(self, tmp_path: Path, torn: str) -> None:
        (tmp_path / "metrics.csv").write_text(torn)
        metrics_file.truncate_after(tmp_path / "metrics.csv", -1)
        metrics_file.append(tmp_path / "metrics.csv", {"step": 0.0, "a": 1.0})
        assert metrics_file.read(tmp_path / "metrics.csv") == [{"step": 0.0, "a": 1.0}]

    def test_other_columns_are_an_error(self, tmp_path: Path) -> None:
        metrics_file.append(tmp_path / "metrics.csv", {"step": 0.0})
        with pytest.raises(ValueError, match="not in fieldnames"):
            metrics_file.append(tmp_path / "metrics.csv", {"step": 0.0, "other": 1.0})


class TestRender:
    def test_scale_one_is_the_field_at_the_pixels(self, finished: Path, tmp_path: Path) -> None:
        import imageio.v3 as imageio

        from coordnet import viz

        run = load(finished)
        expected = viz.to_pixels(run(run.spec.domain.grid()).numpy())
        written = imageio.imread(export_image(run, output=tmp_path / "a.png"))
        assert written.shape == (32, 48, 3)
        assert abs(written.astype(int) - expected).max() <= 1  # chunks of another size round differently

    def test_a_crop_is_that_part_of_the_whole(self, finished: Path, tmp_path: Path) -> None:
        import imageio.v3 as imageio

        whole = imageio.imread(export_image(load(finished), scale=3, output=tmp_path / "a.png"))
        part = imageio.imread(
            export_image(load(finished), scale=3, crop=(8, 4, 20, 10), output=tmp_path / "b.png")
        )
        assert abs(part.astype(int) - whole[12:30, 24:60]).max() <= 1

    def test_pixel_centers_tile_the_interval(self) -> None:
        assert pixel_centers(2, 4, 4).tolist() == [2.25, 2.75, 3.25, 3.75]

    @pytest.mark.parametrize("size", [(7, 1), (1, 5), (1, 1)])
    def test_a_line_or_a_point_keeps_its_shape(
        self, finished: Path, tmp_path: Path, size: tuple[int, int]
    ) -> None:
        import imageio.v3 as imageio

        written = imageio.imread(export_image(load(finished), size=size, output=tmp_path / "a.png"))
        assert written.shape == (size[1], size[0], 3)

    def test_nothing_is_overwritten(self, finished: Path, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_text("mine")
        with pytest.raises(UserError, match="exists"):
            export_image(load(finished), output=tmp_path / "a.png")
        assert (tmp_path / "a.png").read_text() == "mine"


def test_runs_work_without_git_and_in_any_directory(tmp_path: Path) -> None:
    """Provenance must not need a git command."""
    code = "from coordnet.training.provenance import git_revision; print(git_revision())"
    environment = {**os.environ, "PATH": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.strip() == "None"


def test_status_is_json(finished: Path) -> None:
    assert json.loads((finished / "status.json").read_text())["status"] == "finished"
