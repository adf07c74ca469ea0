"""A checkpoint is written whole or not at all, and never runs code; a run goes on from the newest good one."""

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SMALL, make_config

from coordnet.coords import Domain
from coordnet.errors import Diverged, UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.checkpoint import BEST, LAST, PREVIOUS
from coordnet.runs.config_file import CONFIG, read_config
from coordnet.runs.directory import RUN_FORMAT, read_status, write_status
from coordnet.signals.spec import SignalSpec
from coordnet.training.run import resume, start


def write(path: Path) -> None:
    checkpoint.save({"state_dict": {"weight": torch.arange(5000.0)}, "step": 3}, path)


def written(path: Path) -> int | None:
    """When a file was written last; None where it is missing, which it is for an instant between two renames."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


@pytest.mark.reliability("T03")
def test_round_trip_leaves_no_litter(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt")
    content = checkpoint.load_checkpoint(tmp_path / "a.ckpt")
    assert content["step"] == 3 and torch.equal(content["state_dict"]["weight"], torch.arange(5000.0))
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
@pytest.mark.reliability("T07")
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.ckpt"
    write(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    path.write_bytes({"cut": data[:middle], "flip": data, "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(UserError, match=r"a\.ckpt") as error:
        checkpoint.load_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.reliability("T09")
def test_a_checkpoint_never_runs_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(canary),))

    torch.save({"state_dict": Payload()}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"a\.ckpt cannot be read"):
        checkpoint.load_checkpoint(tmp_path / "a.ckpt")
    assert not canary.exists()


@pytest.mark.reliability("T05")
def test_what_cannot_be_read_back_never_replaces_a_good_file(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt")
    with pytest.raises(UserError):
        checkpoint.save({"state_dict": object}, tmp_path / "a.ckpt")
    assert checkpoint.load_checkpoint(tmp_path / "a.ckpt")["step"] == 3


@pytest.mark.reliability("T09")
def test_packed_archives_are_refused_unread(tmp_path: Path) -> None:
    write(tmp_path / "a.ckpt")
    with zipfile.ZipFile(tmp_path / "a.ckpt") as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    with pytest.raises(UserError, match=r"b\.ckpt has format None"):
        checkpoint.load_checkpoint(tmp_path / "b.ckpt")


@pytest.mark.reliability("T08")
def test_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"format_version": RUN_FORMAT + 1, "step": 3}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match=r"has format 3; this version reads format 2"):
        checkpoint.load_checkpoint(tmp_path / "a.ckpt")


def test_the_old_file_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save({"step": step}, tmp_path / LAST, tmp_path / PREVIOUS)
    assert checkpoint.load_checkpoint(tmp_path / LAST)["step"] == 3
    assert checkpoint.load_checkpoint(tmp_path / PREVIOUS)["step"] == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == [LAST, PREVIOUS]


@pytest.mark.reliability("T05")
def test_a_failed_write_leaves_the_old_file_and_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.ckpt")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"a\.ckpt cannot be saved: .*No space left.* takes 20,000 bytes and [\d,]+ are free"
    ):
        write(tmp_path / "a.ckpt")
    assert checkpoint.load_checkpoint(tmp_path / "a.ckpt")["step"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.mark.reliability("T06")
def test_a_directory_that_cannot_be_made_is_an_error_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read-only disks, for which it takes root, are in scripts/full_disk.py."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("coordnet.training.run.train", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(NotADirectoryError, match="file"):
        start(make_config(*SMALL), tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.reliability("T04")
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    """A process that does nothing but save."""
    code = (
        "import sys, torch; from pathlib import Path; from coordnet.runs import checkpoint as c\n"
        "folder = Path(sys.argv[1]); weight = torch.arange(100_000.0); step = 0\n"
        "while True:\n"
        "    step += 1; c.save({'step': step, 'weight': weight + step}, folder / c.LAST, folder / c.PREVIOUS)\n"
    )
    for number in range(6):
        before = written(tmp_path / LAST)
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
            while written(tmp_path / LAST) in (before, None):
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(0.0137 * number)
            process.kill()
        found = [checkpoint.load_checkpoint(p) for p in (tmp_path / LAST, tmp_path / PREVIOUS) if p.exists()]
        assert found
        for content in found:
            assert torch.equal(content["weight"], torch.arange(100_000.0) + content["step"])
    assert len(list(tmp_path.iterdir())) <= 3


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was killed after its last checkpoint."""
    start(make_config(*SMALL), tmp_path / "run")
    write_status(tmp_path / "run", "killed")
    return tmp_path / "run"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
@pytest.mark.reliability("T07")
def test_a_damaged_last_checkpoint_is_set_aside_and_the_one_before_it_is_used(
    stopped: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped / "checkpoints"
    good = checkpoint.load_checkpoint(folder / LAST)
    data = bytearray((folder / LAST).read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    if damage == "gone":
        (folder / LAST).unlink()
    else:
        (folder / LAST).write_bytes({"cut": data[:middle], "flip": data, "empty": b""}[damage])
    step = checkpoint.load_checkpoint(folder / PREVIOUS)["global_step"]
    assert step == 10
    resume(stopped)
    said = capsys.readouterr().err
    assert "going on from previous.ckpt, step 10" in said
    assert len(list(folder.glob("last.ckpt.damaged-*"))) == (damage != "gone")
    again = checkpoint.load_checkpoint(folder / LAST)
    assert again["global_step"] == good["global_step"]
    for name, weight in good["state_dict"].items():
        assert torch.equal(weight, again["state_dict"][name])


@pytest.mark.reliability("T07")
def test_where_none_can_be_read_that_is_said_and_nothing_is_touched(stopped: Path) -> None:
    folder = stopped / "checkpoints"
    for name in (LAST, PREVIOUS, BEST):
        (folder / name).write_bytes(b"hello")
    with pytest.raises(UserError, match=r"last\.ckpt cannot be read"):
        resume(stopped)
    assert {file.name for file in folder.iterdir()} == {LAST, PREVIOUS, BEST}


@pytest.mark.reliability("T03")
def test_a_checkpoint_holds_the_config_and_the_hash_of_its_data(stopped: Path) -> None:
    content = checkpoint.load_checkpoint(stopped / "checkpoints" / LAST)
    assert content["config"] == read_config(stopped)
    assert SignalSpec.from_state(content["spec"]) == SignalSpec(Domain((48, 32), 2), 3, (0.0, 1.0))
    assert re.fullmatch("[0-9a-f]{64}", content["data"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("width: 16", "width: 32", "network.width from 16 to 32"),
        ("seed: 0", "seed: 5", "seed from 0 to 5"),
        ("batch_size: 64", "batch_size: 32", "trainer.batch_size from 64 to 32"),
    ],
)
@pytest.mark.reliability("T13")
def test_a_changed_config_is_refused_by_key(stopped: Path, old: str, new: str, said: str) -> None:
    text = (stopped / CONFIG).read_text()
    assert old in text
    (stopped / CONFIG).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=re.escape(said)):
        resume(stopped)


@pytest.mark.reliability("T13")
def test_changed_data_are_refused(tmp_path: Path) -> None:
    import imageio.v3 as imageio
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 255, (32, 48, 3)).astype(np.uint8)
    imageio.imwrite(tmp_path / "a.png", pixels)
    small = [o for o in SMALL if not o.startswith("signal")]
    start(make_config("signal=image", f"signal.path={tmp_path / 'a.png'}", *small), tmp_path / "run")
    write_status(tmp_path / "run", "killed")
    pixels[3, 4] ^= 1
    imageio.imwrite(tmp_path / "a.png", pixels)
    with pytest.raises(UserError, match="the data of the signal differ"):
        resume(tmp_path / "run")


@pytest.mark.reliability("T14")
def test_a_finished_run_goes_on_when_max_steps_is_raised(tmp_path: Path) -> None:
    start(make_config(*SMALL, "schedule=constant"), tmp_path / "short")
    start(make_config(*SMALL, "schedule=constant", "max_steps=20"), tmp_path / "long")
    path = tmp_path / "short" / CONFIG
    path.write_text(path.read_text().replace("max_steps: 12", "max_steps: 20"))
    resume(tmp_path / "short")
    a, b = (
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / LAST)["state_dict"]
        for name in ("short", "long")
    )
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert [row["step"] for row in metrics_file.read(tmp_path / "short" / "metrics.csv")][-1] == 20


@pytest.mark.reliability("T12")
def test_divergence_names_the_weight_and_keeps_the_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"step \d+ with learning rate"):
        start(make_config(*SMALL, "optimizer=sgd", "optimizer.lr=1e30"), tmp_path / "run")
    assert read_status(tmp_path / "run")["status"] == "diverged"
    weights = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoints" / LAST)["state_dict"]
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.reliability("T12")
def test_a_prediction_that_is_the_same_everywhere_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each step takes all weights to almost nothing.
    vanishing = ("optimizer=sgd", "optimizer.lr=1e-6", "+optimizer.weight_decay=1e6")
    start(make_config(*SMALL, *vanishing), tmp_path / "run")
    assert "the same everywhere" in read_status(tmp_path / "run")["warning"]
    assert "the same everywhere" in capsys.readouterr().err
