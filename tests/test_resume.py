"""A run that was killed and resumed is the run that never stopped, bit for bit."""

import math
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import yaml
from support import SMALL, coordnet, make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from coordnet.errors import UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.checkpoint import same
from coordnet.runs.config_file import read_config
from coordnet.runs.directory import read_status, write_status
from coordnet.training.run import resume, start

LONG = ("max_steps=1500", "eval_every=40")


def start_process(directory: Path, overrides: tuple[str, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "coordnet.cli.main", "train", *overrides, f"hydra.run.dir={directory}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_row(process: subprocess.Popen[bytes], directory: Path, step: int) -> None:
    while not any(row["step"] >= step for row in metrics_file.read(directory / "metrics.csv")):
        assert process.poll() is None, "the run ended before it got there"
        time.sleep(0.01)


def kill_at_random(directory: Path, overrides: tuple[str, ...]) -> None:
    """Start a run in its own process and SIGKILL it some time after its second checkpoint."""
    process = start_process(directory, overrides)
    wait_for_row(process, directory, step=80)
    time.sleep(random.uniform(0, 0.5))
    process.kill()
    assert process.wait() == -9, "the run was over before it was killed"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.reliability("T01")
def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path, optimizer: str, precision: str) -> None:
    overrides = (*SMALL, *LONG, f"optimizer={optimizer}", f"trainer.precision={precision}")
    start(make_config(*overrides), tmp_path / "straight")
    kill_at_random(tmp_path / "killed", overrides)
    assert read_status(tmp_path / "killed")["status"] == "killed"
    finished = coordnet("resume", str(tmp_path / "killed"), cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert read_status(tmp_path / "killed")["status"] == "finished"

    straight, resumed = (
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        for name in ("straight", "killed")
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert same(straight[part], resumed[part]), part
    best = [
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / "best.ckpt")
        for name in ("straight", "killed")
    ]
    assert same(best[0]["state_dict"], best[1]["state_dict"])
    rows = [metrics_file.read(tmp_path / name / "metrics.csv") for name in ("straight", "killed")]
    for row in rows[0] + rows[1]:
        row.pop("seconds")
    assert str(rows[0]) == str(rows[1])  # as text, because nan differs from itself


@pytest.mark.reliability("T02")
def test_a_different_seed_is_a_different_run(tmp_path: Path) -> None:
    """The comparison above can fail."""
    for seed in (0, 1):
        start(make_config(*SMALL, f"seed={seed}"), tmp_path / str(seed))
    a, b = (checkpoint.load_checkpoint(tmp_path / str(seed) / "checkpoints" / "last.ckpt") for seed in (0, 1))
    assert not same(a["state_dict"], b["state_dict"])


@pytest.mark.reliability("T14")
def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    start(make_config(*SMALL), tmp_path / "run")
    before = (tmp_path / "run" / "metrics.csv").read_bytes()
    with pytest.raises(UserError, match="is finished"):
        resume(tmp_path / "run")
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == before


@pytest.mark.reliability("T02")
def test_the_same_seed_is_the_same_run_in_another_process(tmp_path: Path) -> None:
    start(make_config(*SMALL), tmp_path / "here")
    done = coordnet("train", *SMALL, f"hydra.run.dir={tmp_path / 'there'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    a, b = (
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        for name in ("here", "there")
    )
    assert same(a["state_dict"], b["state_dict"]) and same(a["optimizer_states"], b["optimizer_states"])


@pytest.mark.reliability("T02")
def test_other_threads_on_resume_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(make_config(*SMALL), tmp_path / "run")
    write_status(tmp_path / "run", "killed")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("threads: 1", "threads: 2"))
    resume(tmp_path / "run")
    printed = capsys.readouterr()
    assert "threads from 1 to 2" in printed.out and "may change the last bits" in printed.err


@pytest.mark.reliability("T02")
def test_the_config_records_what_was_chosen_automatically(tmp_path: Path) -> None:
    start(make_config(*SMALL, "threads=null"), tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["threads"] == torch.get_num_threads()
    assert config["trainer"]["precision"] in ("float32", "adaptive")
    assert read_status(tmp_path / "run")["threads"] == config["threads"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
@pytest.mark.reliability("T11")
def test_a_signal_saves_within_a_step_and_the_run_can_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    directory = tmp_path / "run"
    overrides = (*SMALL, "max_steps=200000", "eval_every=100000")
    process = start_process(directory, overrides)
    wait_for_row(process, directory, step=200)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    status = read_status(directory)
    assert status["status"] == "interrupted" and number.name in status["reason"]
    saved = checkpoint.load_checkpoint(directory / "checkpoints" / "last.ckpt")
    assert f"at step {saved['global_step']};" in status["reason"]
    assert saved["global_step"] >= 200
    for name in ("last", "previous", "best"):
        (directory / "checkpoints" / f"{name}.ckpt").unlink()
    with pytest.raises(UserError, match=r"last\.ckpt does not exist"):
        resume(directory)


def test_tensorboard_shows_every_step_once_after_a_resume(tmp_path: Path) -> None:
    """A run that was killed between two checkpoints logs that stretch twice; the first time is purged."""
    overrides = (*SMALL, "schedule=constant", "max_steps=100", "eval_every=20")
    start(make_config(*overrides), tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    earlier = tmp_path / "earlier"
    start(make_config(*SMALL, "max_steps=40", "eval_every=20", "schedule=constant"), earlier)
    shutil.copy(earlier / "checkpoints" / "last.ckpt", folder / "last.ckpt")
    write_status(tmp_path / "run", "killed")
    resume(tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tb")).Reload().Scalars("train/psnr")
    rows = metrics_file.read(tmp_path / "run" / "metrics.csv")
    assert (
        [event.step for event in events] == [row["step"] for row in rows] == [0, 10, 20, 40, 50, 60, 80, 100]
    )


def made(folder: Path, seed: int = 0) -> Path:
    """A small picture in a folder."""
    folder.mkdir()
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 48, 3)).astype(np.uint8)
    imageio.imwrite(folder / "a.png", pixels)
    return folder / "a.png"


@pytest.mark.reliability("T14")
def test_a_run_goes_on_for_more_steps_with_data_that_have_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path / "here")
    start(make_config("signal=image", f"signal.path={path}", *SMALL[1:]), tmp_path / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "run").rename(tmp_path / "copied")
    run = tmp_path / "copied"
    with pytest.raises(UserError, match=r"^signal\.path=[^\n]* does not exist; give the new place"):
        resume(run, overrides=["max_steps=20"])
    other = made(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="the data of the signal differ"):
        resume(run, overrides=["max_steps=20", f"signal.path={other}"])
    assert read_config(run)["max_steps"] == 12
    place = tmp_path / "there" / "a.png"
    metrics = resume(run, overrides=["max_steps=20", f"signal.path={place}"])
    assert metrics["step"] == 20
    printed = capsys.readouterr().out
    assert "max_steps from 12 to 20" in printed and f"signal.path from {path} to {place}" in printed
    config = read_config(run)
    assert (config["max_steps"], config["signal"]["path"]) == (20, str(place))
    assert checkpoint.load_checkpoint(run / "checkpoints" / "last.ckpt")["config"] == config


@pytest.mark.parametrize(
    "override, message",
    [
        ("seed=3", "seed may not change when a run is resumed"),
        ("max_step=3", r"max_step may not change [^\n]*; did you mean max_steps\?"),
        ("max_steps", r"'max_steps' must be key=value"),
        ("max_steps=x", r"max_steps='x' must be a whole number"),
        ("max_steps=[", r"max_steps=\[ cannot be read"),
        ("max_steps=5", r"max_steps=5 must be at least 12, the step of the checkpoint"),
        ("signal.path=x", r"signal\.path is no key of this run"),
    ],
)
def test_overrides_that_cannot_be_met_are_one_line(tmp_path: Path, override: str, message: str) -> None:
    start(make_config(*SMALL), tmp_path / "run")
    write_status(tmp_path / "run", "killed")
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(UserError, match=rf"^{message}[^\n]*$"):
        resume(tmp_path / "run", overrides=[override])
    assert (tmp_path / "run" / "config.yaml").read_text() == before


def test_the_cosine_follows_max_steps(tmp_path: Path) -> None:
    def rate(name: str) -> float:
        state = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoints" / name)["optimizer_states"][0]
        return float(state["param_groups"][0]["lr"])

    config = make_config(*SMALL)
    start(config, tmp_path / "run")
    assert rate("last.ckpt") == pytest.approx(0, abs=1e-9)
    resume(tmp_path / "run", overrides=["max_steps=25"])
    expected = config["optimizer"]["lr"] * (1 + math.cos(math.pi * 20 / 25)) / 2
    assert rate("previous.ckpt") == pytest.approx(expected)
    assert rate("last.ckpt") == pytest.approx(0, abs=1e-9)


def test_a_run_without_steps_is_trained_by_resuming(tmp_path: Path) -> None:
    start(make_config(*SMALL, "max_steps=0"), tmp_path / "none")
    start(make_config(*SMALL, "max_steps=4"), tmp_path / "straight")
    metrics = resume(tmp_path / "none", overrides=["max_steps=4"])
    straight = metrics_file.read(tmp_path / "straight" / "metrics.csv")[-1]
    assert metrics["step"] == 4 and metrics["train/psnr"] == straight["train/psnr"]
