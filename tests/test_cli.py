import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import SMALL, coordnet

from coordnet.cli import train
from coordnet.cli.main import COMMANDS, main
from coordnet.config.compose import quote_override
from coordnet.errors import UserError


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("coordnet: "), captured.err
    assert captured.out == ""
    return captured.err


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coordnet"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["netwrk.width=5"], "netwrk.width is no key of this config; did you mean network.width?"),
        (["network.widht=5"], "did you mean network.width?"),
        (["max_stepz=5"], "did you mean max_steps?"),
        (["encoding=gausian"], "encoding=gausian does not exist; did you mean gaussian?"),
        (["ablation=image_quik"], "ablation=image_quik does not exist; did you mean image_quick?"),
        (
            ["signal.path=a.png"],
            "signal.path is a key of signal=blender, signal=image, signal=lego, signal=multiscale, "
            "signal=transforms only",
        ),
        (["network.width=abc"], "network.width='abc' must be a whole number"),
        (["network.width=-3"], "network.width=-3 must be a whole number from 1 to 2^28"),
        (["network.depth=-1"], "network.depth=-1 must be a whole number from 0 to 1024"),
        (
            ["encoding.scale=0"],
            "encoding.scale=0 must be a number from 2^-24 to 2^24 cycles across the domain, or null",
        ),
        (["encoding.scale=nan"], "encoding.scale=nan must be a"),
        (["max_steps=-1"], "max_steps=-1 must be a whole number from 0"),
        (["max_steps=1.5"], "max_steps=1.5 must be a whole number"),
        (["seed=x"], "seed='x' must be a whole number from 0"),
        (["threads=0"], "threads=0 must be a whole number from 1 to 4096, or null"),
        (["optimizer.lr=-1"], "optimizer.lr=-1 must be a number from 0"),
        (
            ["trainer.precision=half"],
            "trainer.precision='half' must be one of auto, float32, bfloat16, adaptive",
        ),
        (["trainer.accelerator=tpu"], "trainer.accelerator='tpu' must be one of"),
        (["trainer.batch_size=0"], "trainer.batch_size=0 must be a whole number from 1"),
        (["baseline=cubic"], "baseline='cubic' must be one of bilinear, bicubic"),
        (["+foo=1"], "foo is no key of this config"),
        (["+encoding.foo=1"], "encoding.foo is unknown"),
        (["signal=image"], "signal.path has no value; give signal.path=..."),
        (["signal=image", "signal.path=a b(1).jpg"], "a b(1).jpg' does not exist"),
        (["signal.name=astronot"], "signal.name='astronot' must be one of astronaut"),
        (["encoding=gaussian,positional"], "add -m to sweep"),
        (
            ["forward_map=line_integral"],
            "forward_map=LineIntegral needs lines, but the signal observes coords, value",
        ),
        (["schedule=null"], "a group cannot be null"),
        (["seed=5000000000"], "seed=5000000000 must be a whole number from 0 to 4294967295"),
        (["trainer.accelerator=mps"], "trainer.accelerator=mps is not available here"),
        (["optimizer.betas=[0.9]"], "optimizer.betas=[0.9] must be a list of 2 numbers from 0 to below 1"),
        (["schedule.min_lr=-1"], "schedule.min_lr=-1 must be a number from 0"),
        (["optimizer=sgd", "+optimizer.nesterov=true"], "optimizer or schedule:"),
        (["signal.resize=[10000000,10000000]"], "signal.resize=[10000000, 10000000] must be"),
        (["name=null"], "name=None must be text"),
        (["trainer.max_epochs=3"], "trainer.max_epochs cannot be set: a run counts steps, not epochs"),
        (["+trainer.callbacks=3"], "trainer.callbacks cannot be set: use callbacks=[...]"),
        (["+trainer.foo=1"], "trainer.foo is no key of this config"),
        (["--config-dir"], "--config-dir needs a value"),
        (["ablation=image_quick,learning_rates"], "ablation= takes one ablation at a time"),
        (["foo"], "Error parsing override 'foo'"),
        (["loss=l3"], "loss=l3 does not exist"),
        (["loss=[mse,l3]"], "loss=l3 does not exist"),
        (["loss=[]"], "loss={} must hold at least one term"),
        (["loss=mse,l1"], "loss: write 'loss=[mse,l1]' for all of them"),
        (["+loss.mine=3"], "loss.mine=3 must be a node with a _target_"),
        (["signal=chirp", "baseline=bilinear"], "baseline=bilinear interpolates images only"),
    ],
)
@pytest.mark.reliability("T21")
def test_a_mistake_is_one_line_and_makes_nothing(
    overrides: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    try:
        code = main(["train", *overrides])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert said in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_not_shipped_needs_permission(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "encoding._target_=os.mkdir", "+encoding.path=canary"]) == 2
    assert "encoding._target_=os.mkdir is none of the shipped ones" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.reliability("T22")
def test_an_existing_directory_is_never_used_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("dear")
    assert main(["train", *SMALL, "hydra.run.dir=mine"]) == 2
    assert "hydra.run.dir=mine is not a new or empty directory" in one_line(capsys)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes"]


@pytest.mark.parametrize("arguments", [["resume", "."], ["render", "."], ["report", "nowhere"], ["trian"]])
def test_other_commands_say_what_is_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    one_line(capsys)


@pytest.mark.reliability("T20")
def test_paths_that_hydra_would_trip_over_are_quoted() -> None:
    assert quote_override("signal.path=a/b-1.png") == "signal.path=a/b-1.png"
    assert quote_override("signal.path=über (1), it's.png") == r"signal.path='über (1), it\'s.png'"
    assert quote_override("signal.path='a b.png'") == "signal.path='a b.png'"
    assert quote_override("label=a b") == "label=a b"


def test_options_go_before_overrides_and_an_ablation_sweeps() -> None:
    assert train.normalize_argv(["ablation=x", "--config-dir", "c", "seed=1"]) == (
        ["--config-dir", "c", "-m"],
        ["ablation=x", "seed=1"],
    )
    assert "-m" not in train.normalize_argv(["ablation=x", "--cfg", "job"])[0]
    assert train.split_allow_options(["--allow", "mypkg.", "seed=1"]) == (["mypkg."], ["seed=1"])
    assert train.split_allow_options(["--allow=mypkg."]) == (["mypkg."], [])
    with pytest.raises(UserError, match="--allow needs a prefix"):
        train.split_allow_options(["--allow"])


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from coordnet.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)"
    )
    for arguments in (["--help"], ["train", "--help"]):
        started = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert result.stdout.endswith("False\n") and time.perf_counter() - started < 5
        assert arguments[0] == "train" or all(command in result.stdout for command in COMMANDS)


def test_train_render_and_report_from_the_command_line(tmp_path: Path) -> None:
    """The path of a new user, with a picture whose name Hydra's grammar does not like."""
    name = "my photo, (1)=ü.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(tmp_path / name)
    small = [override for override in SMALL if not override.startswith("signal")]
    trained = coordnet(
        *("train", "signal=image", f"signal.path={name}", "encoding=positional", "hydra.run.dir=run", *small),
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == "", "quiet when not on a terminal"
    rendered = coordnet("render", "run", "--size", "60x40", "--output", "big.png", cwd=tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    with Image.open(tmp_path / "big.png") as picture:
        assert picture.size == (60, 40)
    reported = coordnet("report", "run", cwd=tmp_path)
    assert "test PSNR" in reported.stdout, reported.stderr


def calls_of(functions: Sequence[Any], command: Callable[[], object]) -> dict[str, int]:
    """Count the calls of some functions by a command in this process."""
    codes = {inspect.unwrap(function).__code__: function.__name__ for function in functions}
    counts = dict.fromkeys(codes.values(), 0)

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            counts[codes[frame.f_code]] += 1

    sys.setprofile(count)
    try:
        command()
    finally:
        sys.setprofile(None)
    return counts


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_is_checked_and_built_once(jobs: int, tmp_path: Path) -> None:
    """Once by the process that trains; the driver of a sweep checks and builds each of its jobs once besides."""
    from coordnet.config.check import check_config
    from coordnet.signals.images.image_file import read_image
    from coordnet.training.assemble import assemble
    from coordnet.training.memory import estimate
    from coordnet.training.prepare import build_run
    from coordnet.training.run import run_job

    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    functions = (check_config, build_run, assemble, read_image, estimate)
    small = [override for override in SMALL if not override.startswith("signal")]
    words = ["train", "signal=image", "signal.path=a.png", *small, "max_steps=2", "logger=[]"]
    if jobs == 1:
        found = calls_of(functions, lambda: main(words))
    else:
        found = calls_of(functions, lambda: main([*words, "-m", "seed=0,1", "hydra.sweep.dir=sweep"]))
    assert found == dict.fromkeys(found, jobs)
    if jobs == 2:
        config = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"][0]["config"]
        found = calls_of(functions, lambda: run_job(config, tmp_path / "again"))
        assert found == dict.fromkeys(found, 1)
