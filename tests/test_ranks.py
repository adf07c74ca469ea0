"""Two processes that share each batch are one run: same numbers, one set of files, and they end together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import SMALL, coordnet, make_config

from coordnet.errors import UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.directory import read_status
from coordnet.training.run import start

TWO = (*SMALL, "trainer.precision=float32", "trainer.devices=2")


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The two that train, in the order in which they were started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            command = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(lines["PPid"]) == process.pid and "spawn_main" in command:
            found.append(int(lines["Pid"]))
    return sorted(found)


def start_long(directory: Path) -> subprocess.Popen[bytes]:
    """A run of two that would take for ever, some way in."""
    overrides = (*TWO, "max_steps=1000000", "eval_every=100000", f"hydra.run.dir={directory}")
    command = [sys.executable, "-m", "coordnet.cli.main", "train", *overrides]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(row["step"] >= 50 for row in metrics_file.read(directory / "metrics.csv")):
        assert process.poll() is None, "the run ended before it got there"
        time.sleep(0.05)
    return process


def is_alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.reliability("T31")
def test_two_processes_give_the_run_of_one(tmp_path: Path) -> None:
    for devices in (1, 2):
        start(make_config(*TWO, f"trainer.devices={devices}"), tmp_path / str(devices))
    one, two = (metrics_file.read(tmp_path / name / "metrics.csv") for name in ("1", "2"))
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for a, b in zip(one[1:], two[1:], strict=True):
        for name in ("train/loss", "train/psnr", "test/psnr"):
            assert b[name] == pytest.approx(a[name], rel=1e-6)
    weights = [
        checkpoint.load_checkpoint(tmp_path / n / "checkpoints" / "last.ckpt")["state_dict"]
        for n in ("1", "2")
    ]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=1e-5, atol=1e-6)
    files = [{f.relative_to(tmp_path / n) for f in (tmp_path / n).rglob("*.[cpy]*")} for n in ("1", "2")]
    assert files[0] == files[1]
    assert len(list((tmp_path / "2" / "tb").glob("events*"))) == 1


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.devices=3 must divide the 64 observations"):
        start(make_config(*SMALL, "trainer.devices=3"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.reliability("T30")
def test_a_killed_process_ends_the_run_within_ten_seconds(tmp_path: Path) -> None:
    process = start_long(tmp_path / "run")
    pids = children_of(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    assert process.wait(timeout=10) == 1
    assert not any(map(is_alive, pids))
    status = read_status(tmp_path / "run")
    assert status["status"] == "failed" and status["reason"] == "process 1 of 2 was killed by SIGKILL"
    assert checkpoint.load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] >= 0


@pytest.mark.reliability("T30")
def test_a_signal_saves_once_and_the_run_can_go_on(tmp_path: Path) -> None:
    process = start_long(tmp_path / "run")
    pids = children_of(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not any(map(is_alive, pids))
    saved = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"]
    status = read_status(tmp_path / "run")
    assert status["status"] == "interrupted" and f"at step {saved};" in status["reason"]
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 1000000", f"max_steps: {saved + 20}"))
    done = coordnet("resume", str(tmp_path / "run"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metrics_file.read(tmp_path / "run" / "metrics.csv")[-1]["step"] == saved + 20


def test_divergence_has_its_own_exit_code(tmp_path: Path) -> None:
    done = coordnet("train", *TWO, "optimizer=sgd", "optimizer.lr=1e30", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert read_status(tmp_path / "run")["status"] == "diverged"
