"""Odd places, names, clocks and homes: a run works, or one line says why not, and what was there stays as it was."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from support import SMALL, make_config

from coordnet.cli import train
from coordnet.cli.main import main
from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import claim, read_status, write_status
from coordnet.runs.run import start

TINY = (*(override for override in SMALL if not override.startswith("signal")), "max_steps=2")
ODD = 'a b ü→ı 100% = , ; {x} (1) [2] #3 $y: it\'s "q"\n'
SHARED = f"{ODD} together"
COLOURS = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d")
# Trains, reports and renders in one process, noting what would connect it to anything.
OFFLINE = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("connects:", event, arguments, file=sys.stderr)
        raise OSError("no network")
sys.addaudithook(watch)
from coordnet.cli.main import main
codes = [main(["train", *sys.argv[1:]])]
codes += [main([command, "outputs/run/" + os.environ["COORDNET_RUN_ID"]]) for command in ("report", "render")]
print("exit codes", codes)
"""


class Done(NamedTuple):
    code: int
    out: str
    err: str


def picture(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)).save(path, "PNG")


def environment(**changes: str | None) -> dict[str, str]:
    """That of this process, with some variables changed or, by None, missing."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """How runs in odd environments, all started at once in `folder`, ended."""
    logs = tmp_path_factory.mktemp("logs")
    picture(folder / ODD)
    if shutil.which("localedef"):
        subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", logs / "tr_TR.UTF-8"], check=False)
    turkish = environment(LC_ALL="tr_TR.UTF-8", LOCPATH=str(logs), TZ="ODD-25:61:61", HOME=None)
    reader, pipe = os.pipe()
    os.close(reader)
    terminal, screen = os.openpty()
    arguments = ["signal=image", f"signal.path={ODD}", *TINY]
    usual = [sys.executable, "-m", "coordnet.cli.main", "train", *arguments]
    commands: dict[str, tuple[list[str], dict[str, Any]]] = {
        "offline": ([sys.executable, "-c", OFFLINE, *arguments], {}),
        "turkish": (["sh", "-c", 'exec "$@" >&-', "sh", *usual], {"env": turkish, "umask": 0o077}),
        "no reader": (usual, {"env": environment(LC_ALL="C", HOME="/proc"), "stdout": pipe}),
        "terminal": (usual, {"env": environment(TERM="xterm-256color", NO_COLOR="1"), "stderr": screen}),
        "first": ([*usual, f"hydra.run.dir={SHARED}"], {}),
        "second": ([*usual, f"hydra.run.dir={SHARED}"], {}),
    }
    processes = {}
    for name, (command, options) in commands.items():
        with (logs / f"{name}.out").open("w") as out, (logs / f"{name}.err").open("w") as err:
            options = {"stdout": out, "stderr": err, **options}
            processes[name] = subprocess.Popen(command, cwd=folder, **options)
    os.close(pipe)
    os.close(screen)
    shown = b"".join(all_of(terminal)).decode()
    codes = {name: process.wait(timeout=200) for name, process in processes.items()}
    texts = {name: [(logs / f"{name}.{kind}").read_text() for kind in ("out", "err")] for name in codes}
    texts["terminal"][1] = shown
    return {name: Done(code, *texts[name]) for name, code in codes.items()}


def all_of(terminal: int) -> Iterator[bytes]:
    try:
        while text := os.read(terminal, 4096):
            yield text
    except OSError:  # Linux's way to say that the other side is closed.
        os.close(terminal)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a picture, for commands called in this process, which may not connect."""

    def never(*_: object) -> None:
        raise AssertionError("nothing may be fetched")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "failures", [])
    monkeypatch.setattr(sys, "argv", ["coordnet"])
    monkeypatch.setattr(socket.socket, "connect", never)
    for name in ("COORDNET_RUN_ID", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, "1")
    picture(tmp_path / "a.png")
    return tmp_path


def call(*arguments: str) -> int | str | None:
    try:
        return main(list(arguments))
    except SystemExit as ended:
        return ended.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that says why."""
    assert call(*arguments) in (2, 4)
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and captured.err.startswith("coordnet: "), captured.err
    assert captured.out == ""
    return captured.err


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


REMOTE = ("http://localhost:1/a.png", "s3://bucket/a.png", "file:///a.png")


@pytest.mark.reliability("T10", "T19")
@pytest.mark.parametrize("path", [*REMOTE, "a.zip/a.png", "imageio:chelsea.png", "/dev/zero", "."])
def test_only_local_regular_files_are_read(path: str, here: Path) -> None:
    shutil.make_archive("a", "zip", here, "a.png")
    with pytest.raises(UserError, match=r"does not exist|is not a regular file|cannot be looked up"):
        start(make_config("signal=image", f"signal.path='{path}'", *TINY), here / "run")
    assert not (here / "run").exists()


@pytest.mark.reliability("T10")
@pytest.mark.parametrize("command", ["resume", "render", "report", "film", "board"])
def test_runs_are_local_directories(command: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for address in REMOTE:
        refused(capsys, command, address)
    assert [path.name for path in here.iterdir()] == ["a.png"]


@pytest.mark.reliability("T20")
def test_odd_characters_in_paths_work(done: dict[str, Done], folder: Path) -> None:
    assert done["offline"].code == 0
    assert read_status(folder / SHARED)["status"] == "finished"


@pytest.mark.reliability("T20")
@pytest.mark.parametrize("name", ["a\\b it's", "a\\b"])
def test_a_backslash_in_a_path_is_one(name: str, here: Path) -> None:
    picture(here / name)
    assert call("train", "signal=image", "signal.path=a.png", *TINY, f"hydra.run.dir=runs/{name}") == 0
    assert [path.name for path in (here / "runs").iterdir()] == [name]
    assert call("train", "signal=image", f"signal.path={name}", *TINY, "hydra.run.dir=run") == 0


IMPOSSIBLE = {
    "long picture": "signal.path=" + "x" * 256,
    "long directory": "hydra.run.dir=" + "x" * 256,
    "no such user": "signal.path=~nobody-of-this-name/a.png",
    "not UTF-8": "hydra.run.dir=run\udcff",
}


@pytest.mark.reliability("T20")
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_path_that_cannot_be_is_one_line(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "train", "signal=image", "signal.path=a.png", *TINY, IMPOSSIBLE[case])
    assert [path.name for path in here.iterdir()] == ["a.png"]


@pytest.fixture
def tree(done: dict[str, Done], folder: Path, here: Path) -> Path:
    """`here`, with a run and links besides the picture."""
    (here / "link").symlink_to("run")
    (here / "dangling").symlink_to("nowhere")
    shutil.copytree(folder / SHARED, here / "run")
    return here


@pytest.mark.reliability("T22")
@pytest.mark.parametrize(
    "output", ["a.png", "a.png/run", ".", "..", "/", "run", "run/tb", "link", "dangling"]
)
def test_an_output_directory_that_is_not_empty_is_refused(
    output: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, root = snapshot(tree), os.listdir("/")
    assert output in refused(
        capsys, "train", "signal=image", "signal.path=a.png", *TINY, f"hydra.run.dir={output}"
    )
    assert snapshot(tree) == before and os.listdir("/") == root


@pytest.mark.reliability("T22")
def test_a_run_inside_another_leaves_that_one_as_it_was(tree: Path) -> None:
    before, inner = snapshot(tree), tree / "run" / "inner"
    assert call("train", "signal=image", "signal.path=a.png", *TINY, f"hydra.run.dir={inner}") == 0
    assert {
        path: text for path, text in snapshot(tree).items() if inner not in (path, *path.parents)
    } == before


@pytest.mark.reliability("T25")
def test_names_of_runs_that_start_in_one_second_differ(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand, so that twenty practically never clash."""
    names = []
    note = lambda task: lambda: names.append(os.environ["COORDNET_RUN_ID"])  # noqa: E731
    monkeypatch.setattr(train.hydra, "main", lambda **_: note)
    monkeypatch.setattr(train, "register_plugins", lambda allow: None)
    monkeypatch.setattr(time, "strftime", lambda *_: "20261125-003000")
    for _ in range(1000):
        train.main([])
    assert len(set(names)) == 1000


@pytest.mark.reliability("T25")
def test_runs_side_by_side_get_directories_of_their_own(done: dict[str, Done], folder: Path) -> None:
    assert len(list((folder / "outputs" / "run").glob("*/config.yaml"))) == 4


@pytest.mark.reliability("T26")
def test_one_of_two_runs_in_the_same_directory_is_refused(done: dict[str, Done], folder: Path) -> None:
    refused, finished = sorted((done["first"], done["second"]), reverse=True)
    assert (refused.code, finished.code) == (2, 0)
    assert "together" in refused.err and "Traceback" not in refused.err
    assert [row["step"] for row in metrics_file.read(folder / SHARED / "metrics.csv")] == [0, 2]


@pytest.mark.reliability("T26")
@pytest.mark.parametrize("command", ["resume run", "train hydra.run.dir=run"])
def test_who_holds_a_directory_is_said_until_that_process_dies(
    command: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_status(tree / "run", "running")
    code = "import sys; from coordnet.runs.directory import *; lock = claim(Path('run')); print(); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        said = refused(capsys, *command.split())
        holder.kill()
    assert f"in use by pid {holder.pid} on {socket.gethostname()}" in said
    with claim(tree / "run"):
        assert f"pid {os.getpid()} on " in (tree / "run" / "run.lock").read_text()


@pytest.mark.reliability("T38")
def test_a_foreign_locale_and_zone_without_home_or_output_do_no_harm(done: dict[str, Done]) -> None:
    assert (done["turkish"].code, done["turkish"].err) == (0, "")


@pytest.mark.reliability("T38")
def test_what_a_run_writes_is_as_private_as_the_umask_says(done: dict[str, Done], folder: Path) -> None:
    runs = (folder / "outputs" / "run").iterdir()
    (private,) = (run for run in runs if not run.stat().st_mode & 0o077)
    assert read_status(private)["status"] == "finished"
    assert not any(path.stat().st_mode & 0o077 for path in private.rglob("*"))


@pytest.mark.reliability("T38")
def test_a_run_goes_on_quietly_when_nobody_reads_its_output(done: dict[str, Done], folder: Path) -> None:
    """In the C locale, with a home that cannot be written."""
    assert not re.search(r"Errno 32|Traceback|Exception ignored", done["no reader"].err)
    assert done["no reader"].code in (0, 128 + signal.SIGPIPE)
    assert {read_status(run)["status"] for run in (folder / "outputs" / "run").iterdir()} == {"finished"}


@pytest.mark.reliability("T38")
def test_a_bar_is_for_terminals_and_has_no_colour_where_it_is_unwanted(done: dict[str, Done]) -> None:
    shown = done["terminal"].err
    assert "2/2" in shown and not COLOURS.search(shown)
    for name in done.keys() - {"terminal"}:
        assert not re.search("[\x1b\r━]", done[name].out + done[name].err)


@pytest.mark.reliability("T38")
def test_a_clock_that_jumps_backwards_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    start(make_config(*SMALL), tmp_path / "run")
    assert read_status(tmp_path / "run")["status"] == "finished"
    seconds = [row["seconds"] for row in metrics_file.read(tmp_path / "run" / "metrics.csv")]
    assert seconds == sorted(seconds) and seconds[-1] > 0


@pytest.mark.reliability("T39")
def test_training_report_and_rendering_connect_to_nothing(done: dict[str, Done]) -> None:
    assert "connects:" not in done["offline"].err
    assert "exit codes [0, 0, 0]" in done["offline"].out, done["offline"].err
