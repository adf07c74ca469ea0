import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coordnet.cli import doctor
from coordnet.cli.main import main
from coordnet.config import shipped

Listed = Callable[..., tuple[int, dict[str, tuple[str, str]]]]


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Listed:
    """Exit code, and (verdict, text) by subject, of `coordnet doctor` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)

    def run(*arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
        try:
            code = main(["doctor", *arguments])
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        assert captured.err == ""
        lines = [line.split(maxsplit=2) for line in captured.out.splitlines()]
        return code, {subject: (verdict, text) for verdict, subject, text in lines}

    return run


def test_this_machine_is_fit(listed: Listed, tmp_path: Path) -> None:
    code, lines = listed()
    assert code == 0
    assert not [subject for subject, (verdict, _) in lines.items() if verdict not in ("ok", "note")]
    assert lines["python"] == ("ok", platform.python_version())
    assert lines["torch"] == ("ok", torch.__version__)
    for subject in ("coordnet", "lightning", "hydra-core", "tensorboard", "threads", "writing", "configs"):
        assert lines[subject][0] == "ok"
    assert {"hydra-joblib-launcher", "imageio-ffmpeg", "bfloat16", "allocator", "memory", "disk"} <= set(
        lines
    )
    assert list(tmp_path.iterdir()) == []


def test_texts_stand_in_one_column(listed: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    doctor.main([])
    lines = capsys.readouterr().out.splitlines()
    width = max(len(line.split()[1]) for line in lines)
    assert all(line[9 + width : 11 + width] == "  " and line[11 + width] != " " for line in lines)


@pytest.mark.parametrize("directory", ["outputs", "mine"])
def test_the_runs_directory_is_tried_where_it_exists_and_stays_as_it_was(
    listed: Listed, tmp_path: Path, directory: str
) -> None:
    arguments = [] if directory == "outputs" else [directory]
    assert listed(*arguments)[1]["writing"][1].endswith(str(tmp_path))
    (tmp_path / directory).mkdir()
    (tmp_path / directory / "notes").write_text("dear")
    code, lines = listed(*arguments)
    assert code == 0 and lines["writing"][1].endswith(str(tmp_path / directory))
    assert [file.name for file in (tmp_path / directory).iterdir()] == ["notes"]


def test_a_directory_inside_a_file_is_a_problem(listed: Listed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")
    code, lines = listed("file/runs")
    assert code == 1 and lines["writing"][0] == "problem"
    assert "file/runs" in lines["writing"][1]
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["os.fsync", "fcntl.flock", "pathlib.Path.replace"])
def test_a_disk_that_refuses_is_a_problem_and_nothing_is_left(
    listed: Listed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, refuse)
    code, lines = listed()
    assert code == 1 and lines["writing"][0] == "problem"
    assert "No space left on device" in lines["writing"][1]
    assert list(tmp_path.iterdir()) == []


def fake_version(monkeypatch: pytest.MonkeyPatch, package: str, found: str | None) -> None:
    known = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: found if name == package else known(name))


@pytest.mark.parametrize(
    ("found", "said"),
    [("2.6.5", "2.6.5, but <3,>=2.6.6 is needed"), (None, "not installed; <3,>=2.6.6 is needed")],
)
def test_a_package_below_its_floor_is_named(
    listed: Listed, monkeypatch: pytest.MonkeyPatch, found: str | None, said: str
) -> None:
    fake_version(monkeypatch, "lightning", found)
    code, lines = listed()
    assert code == 1 and lines["lightning"] == ("problem", said)
    assert lines["torch"][0] == "ok"


def test_python_below_its_floor_is_named(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.9")
    code, lines = listed()
    assert code == 1 and lines["python"] == ("problem", "3.10.9, but <3.14,>=3.11 is needed")


def test_a_missing_extra_is_a_note_that_says_how_to_get_it(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_version(monkeypatch, "imageio-ffmpeg", None)
    code, lines = listed()
    assert code == 0
    assert lines["imageio-ffmpeg"] == (
        "note",
        "not installed; >=0.6 is needed: pip install 'coordnet[video]'",
    )


def test_a_missing_compiler_and_another_libc_are_notes(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    code, lines = listed()
    assert code == 0
    assert lines["compiler"][0] == lines["allocator"][0] == "note"


def test_little_memory_and_disk_are_notes(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "GIB", 2**60)
    code, lines = listed()
    assert code == 0
    assert lines["memory"][0] == lines["disk"][0] == "note"


def test_a_target_that_cannot_be_imported_is_a_problem(
    listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "targets", lambda: frozenset({"torch.optim.Adam", "coordnet.gone.Encoding"}))
    code, lines = listed()
    assert code == 1
    assert lines["configs"][0] == "problem" and lines["configs"][1].startswith("coordnet.gone.Encoding ")


def test_a_torch_that_cannot_be_loaded_is_a_problem(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coordnet.training.runtime", None)
    code, lines = listed()
    assert code == 1 and lines["threads"][0] == "problem"
    assert lines["torch"][0] == "ok"


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from coordnet.cli.main import main\n"
        "try: main(['doctor', '--help'])\n"
        "finally: print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "usage: coordnet doctor" in result.stdout and result.stdout.endswith("False\n")
