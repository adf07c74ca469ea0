"""Odd places, names, clocks and homes: a run works, or one line says why not, and what was there stays as it was."""

import os
import re
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import SMALL, make_config

from coordnet.cli import train
from coordnet.cli.main import main
from coordnet.errors import UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import lock_run_dir, read_status, write_status
from coordnet.training.run import start

TINY = (*(override for override in SMALL if not override.startswith("signal")), "max_steps=2")
ODD = 'a b ü→ı 100% = , ; {x} (1) [2] #3 $y: it\'s "q"\n'
SHARED = f"{ODD} together"
TRAIN = ("train", "signal=image", "signal.path=a.png", *TINY)
REMOTE = ("http://localhost:1/a.png", "s3://bucket/a.png", "file:///a.png")
Capsys = pytest.CaptureFixture[str]
Place = tuple[Path, dict[str, CompletedProcess[str]]]
# Trains, reports and renders in one process, noting what would connect it to anything.
OFFLINE = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("connects:", event, arguments, file=sys.stderr)
        raise OSError
sys.addaudithook(watch)
from coordnet.cli.main import main
code = main(["train", *sys.argv[1:]])
run = "outputs/run/" + os.environ["COORDNET_RUN_ID"]
sys.exit(code or main(["report", run]) or main(["render", run]))
"""


def picture(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)).save(path, "PNG")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder, and how runs in odd environments, all started in it at once, ended."""
    folder, locales = (tmp_path_factory.mktemp(name) for name in ("folder", "locales"))
    picture(folder / ODD)
    if shutil.which("localedef"):
        run(["localedef", "-i", "tr_TR", "-f", "UTF-8", locales / "tr_TR.UTF-8"], check=False)
    turkish = {**os.environ, "LC_ALL": "tr_TR.UTF-8", "LOCPATH": str(locales), "TZ": "ODD-25:61:61"}
    reader, pipe = os.pipe()
    terminal, screen = os.openpty()
    usual = [sys.executable, "-m", "coordnet.cli.main", "train", "signal=image", f"signal.path={ODD}", *TINY]
    commands: dict[str, tuple[list[str], dict[str, Any]]] = {
        "offline": ([sys.executable, "-c", OFFLINE, *usual[4:]], {}),
        "turkish": (["sh", "-c", 'unset HOME; umask 077; exec "$@" >&-', "sh", *usual], {"env": turkish}),
        "no reader": (usual, {"env": {**os.environ, "LC_ALL": "C", "HOME": "/proc"}, "stdout": pipe}),
        "terminal": (usual, {"env": {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}, "stderr": screen}),
        **dict.fromkeys(("first", "second"), ([*usual, f"hydra.run.dir={SHARED}"], {})),
    }
    processes = {}
    for name, (command, options) in commands.items():
        processes[name] = Popen(command, cwd=folder, text=True, **{"stdout": PIPE, "stderr": PIPE, **options})
    for number in (reader, pipe, screen):
        os.close(number)
    shown = b""
    with suppress(OSError):  # Linux's way to say that the other side is closed.
        while text := os.read(terminal, 4096):
            shown += text
    os.close(terminal)
    done = {}
    for name, process in processes.items():
        out, err = process.communicate(timeout=200)
        done[name] = CompletedProcess(name, process.returncode, out, shown.decode() if err is None else err)
    return folder, done


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a picture, for commands called in this process, which may not connect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coordnet"])
    monkeypatch.setattr(socket.socket, "connect", None)
    picture(tmp_path / "a.png")
    return tmp_path


def refused(capsys: Capsys, *arguments: str) -> str:
    """The one line that says why."""
    try:
        code: object = main(list(arguments))
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith("coordnet: "), err
    assert (code, out) in ((2, ""), (4, ""))
    return err


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.reliability("T10", "T19")
@pytest.mark.parametrize("path", [*REMOTE, "a.zip/a.png", "imageio:chelsea.png", "/dev/zero", "."])
def test_only_local_regular_files_are_read(path: str, here: Path) -> None:
    shutil.make_archive("a", "zip", here, "a.png")
    with pytest.raises(UserError, match=r"does not exist|is not a regular file|cannot be looked up"):
        start(make_config("signal=image", f"signal.path='{path}'", *TINY), here / "run")
    assert not (here / "run").exists()


@pytest.mark.reliability("T10")
@pytest.mark.parametrize("command", ["resume", "render", "turntable", "mesh", "report", "film", "board"])
def test_runs_are_local_directories(command: str, here: Path, capsys: Capsys) -> None:
    for address in REMOTE:
        refused(capsys, command, address)
    assert [path.name for path in here.iterdir()] == ["a.png"]


@pytest.mark.reliability("T20")
@pytest.mark.parametrize("name", ["a\\b it's", "a\\b"])
def test_a_backslash_in_a_path_is_one(name: str, here: Path) -> None:
    picture(here / name)
    assert main([*TRAIN, f"hydra.run.dir=runs/{name}"]) == 0
    assert [path.name for path in (here / "runs").iterdir()] == [name]
    assert main([*TRAIN, f"signal.path={name}", "hydra.run.dir=run"]) == 0


@pytest.mark.reliability("T20")
@pytest.mark.parametrize("number", range(5))
def test_a_bad_path_is_one_line(number: int, here: Path, capsys: Capsys) -> None:
    overrides = [
        f"{key}={path}" for key in ("signal.path", "hydra.run.dir") for path in ("x" * 256, "\udcff")
    ]
    refused(capsys, *TRAIN, [*overrides, "signal.path=~nobody-of-this-name/a.png"][number])
    assert [path.name for path in here.iterdir()] == ["a.png"]


@pytest.fixture
def tree(place: Place, here: Path) -> Path:
    (here / "link").symlink_to("run")
    (here / "dangling").symlink_to("nowhere")
    shutil.copytree(place[0] / SHARED, here / "run")
    return here


@pytest.mark.reliability("T22")
@pytest.mark.parametrize("output", ["a.png", "a.png/run", ".", "..", "/", "run", "link", "dangling"])
def test_only_a_new_or_empty_directory_is_written_to(output: str, tree: Path, capsys: Capsys) -> None:
    before, root = snapshot(tree), os.listdir("/")
    assert output in refused(capsys, *TRAIN, f"hydra.run.dir={output}")
    assert snapshot(tree) == before and os.listdir("/") == root


@pytest.mark.reliability("T22")
def test_a_run_inside_another_leaves_that_one_as_it_was(tree: Path) -> None:
    before = snapshot(tree)
    assert main([*TRAIN, "hydra.run.dir=run/inner"]) == 0
    shutil.rmtree(tree / "run" / "inner")
    assert snapshot(tree) == before


@pytest.mark.reliability("T25")
def test_names_of_runs_that_start_in_one_second_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names differ, so that twenty practically never clash."""
    monkeypatch.setattr(time, "strftime", lambda *_: "20261125-003000")
    assert len({train.new_run_id() for _ in range(1000)}) == 1000


@pytest.mark.reliability("T20", "T25", "T26")
def test_runs_with_odd_names_side_by_side_work_and_share_no_directory(place: Place) -> None:
    folder, done = place
    assert len(list(folder.glob("outputs/run/*/config.yaml"))) == 4
    codes = {done[name].returncode: name for name in ("first", "second")}
    assert set(codes) == {0, 2}
    assert "together" in done[codes[2]].stderr and "Traceback" not in done[codes[2]].stderr
    assert [row["step"] for row in metrics_file.read(folder / SHARED / "metrics.csv")] == [0, 2]


@pytest.mark.reliability("T26")
@pytest.mark.parametrize("command", ["resume run", "train hydra.run.dir=run"])
def test_the_holder_of_a_directory_is_named_until_it_dies(command: str, tree: Path, capsys: Capsys) -> None:
    write_status(tree / "run", "running")
    code = "import sys; from coordnet.runs.directory import *; lock = lock_run_dir(Path('run')); print(); input()"
    with Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"\n"
        said = refused(capsys, *command.split())
        holder.kill()
    assert f"in use by pid {holder.pid} on {socket.gethostname()}" in said
    with lock_run_dir(tree / "run"):
        assert f"pid {os.getpid()} on " in (tree / "run" / "run.lock").read_text()


@pytest.mark.reliability("T38")
def test_odd_locale_zone_and_umask_without_home_do_no_harm(place: Place) -> None:
    folder, done = place
    assert (done["turkish"].returncode, done["turkish"].stderr) == (0, "")
    (private,) = (run for run in folder.glob("outputs/run/*") if not run.stat().st_mode & 0o077)
    assert read_status(private)["status"] == "finished"
    assert not any(path.stat().st_mode & 0o077 for path in private.rglob("*"))


@pytest.mark.reliability("T38")
def test_a_run_goes_on_quietly_when_nobody_reads_its_output(place: Place) -> None:
    folder, done = place  # In the C locale, with a home that cannot be written.
    assert not re.search(r"Errno 32|Traceback|Exception ignored", done["no reader"].stderr)
    assert done["no reader"].returncode in (0, 128 + signal.SIGPIPE)
    assert {read_status(run)["status"] for run in folder.glob("outputs/run/*")} == {"finished"}


@pytest.mark.reliability("T38")
def test_a_bar_is_for_terminals_and_has_no_color_where_it_is_unwanted(place: Place) -> None:
    _, done = place
    shown = done["terminal"].stderr
    assert "2/2" in shown and not re.search(r"\x1b\[(\d+;)*(3|4|9|10)\d", shown)
    for name in done.keys() - {"terminal"}:
        assert not re.search("[\x1b\r━]", f"{done[name].stdout}{done[name].stderr}")


@pytest.mark.reliability("T38")
def test_a_clock_that_jumps_backwards_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    start(make_config(*SMALL), tmp_path / "run")
    seconds = [row["seconds"] for row in metrics_file.read(tmp_path / "run" / "metrics.csv")]
    assert seconds == sorted(seconds) and seconds[-1] > 0


@pytest.mark.reliability("T39")
def test_training_report_and_rendering_connect_to_nothing(place: Place) -> None:
    offline = place[1]["offline"]
    assert offline.returncode == 0 and "connects:" not in offline.stderr, offline.stderr
