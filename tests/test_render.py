import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image
from support import coordnet, make_config
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.export import image as module
from coordnet.export import png
from coordnet.export.image import evaluate_grid, export_image
from coordnet.forward_maps.point import PointEvaluation
from coordnet.runs.load import LoadedRun
from coordnet.signals.spec import SignalSpec
from coordnet.training.run import start

DOMAIN = Domain((48, 32))
BOX = (0.0, 0.0, 48.0, 32.0)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
TINY = (
    *(
        "signal=astronaut",
        "signal.resize=[48,32]",
        "encoding=identity",
        "network.depth=1",
        "network.width=16",
    ),
    *("trainer.batch_size=64", "max_steps=1", "eval_every=1", "threads=1"),
)

Stand = Callable[..., LoadedRun]


def waves(channels: int) -> Callable[[Tensor], Tensor]:
    """A field that is different at every pixel and in every channel."""
    frequency = 3 + 40 * torch.arange(channels)
    return lambda coords: (coords @ torch.tensor([1.0, 0.7]))[..., None].mul(frequency).sin() / 2 + 0.5


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stand:
    """Makes a run of any field, which is evaluated 100 points at a time."""
    monkeypatch.setattr(module, "POINTS_PER_CHUNK", 100)
    run = tmp_path / "run"
    (run / "images").mkdir(parents=True)

    def make(field: Callable[[Tensor], Tensor], channels: int, domain: Domain = DOMAIN) -> LoadedRun:
        spec = SignalSpec(domain, channels, (0.0, 1.0))
        return LoadedRun(run, "last", {}, spec, 0, field, PointEvaluation(), torch.device("cpu"))

    return make


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    start(make_config(*TINY), directory)
    return directory


def never(coords: Tensor) -> Tensor:
    raise AssertionError("it must not be evaluated")


def files(directory: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (1, 250), (250, 1), (48, 32), (33, 17), (101, 3)])
@pytest.mark.parametrize("channels", MODES)
def test_the_file_holds_the_pixels_of_all_bands(
    stand_in: Stand, channels: int, size: tuple[int, int]
) -> None:
    field = waves(channels)
    path = export_image(stand_in(field, channels), size=size)
    expected = np.concatenate(list(evaluate_grid(field, DOMAIN, BOX, size)))
    assert expected.shape == (size[1], size[0], channels)
    with Image.open(path) as picture:
        picture.verify()
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == (MODES[channels], size)
        assert np.array_equal(np.asarray(picture).reshape(expected.shape), expected)
    assert np.array_equal(imageio.imread(path).reshape(expected.shape), expected)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_bands_do_not_change_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(evaluate_grid(waves(3), DOMAIN, BOX, (48, 32))))
    monkeypatch.setattr(module, "POINTS_PER_CHUNK", 100)
    bands = list(evaluate_grid(waves(3), DOMAIN, BOX, (48, 32)))
    assert [len(band) for band in bands] == [2] * 16
    assert (
        abs(np.concatenate(bands).astype(int) - whole).max() <= 1
    )  # chunks of another size round differently


@pytest.mark.parametrize("channels", MODES)
def test_any_bytes_survive_in_bands_of_any_height(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 41, channels), np.uint8)
    pixels[20:40] = 255
    png.write_png(tmp_path / "a.png", pixels.shape, np.split(pixels, [1, 2, 30, 59]))
    assert np.array_equal(imageio.imread(tmp_path / "a.png").reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    "fault", [KeyboardInterrupt(), RuntimeError("no"), OSError(errno.ENOSPC, "disk full")]
)
@pytest.mark.reliability("T34")
def test_an_interruption_leaves_the_directory_as_it_was(stand_in: Stand, fault: BaseException) -> None:
    seen = []

    def field(coords: Tensor) -> Tensor:
        seen.append({path.name for path in (directory / "images").iterdir()})
        if len(seen) == 2:
            raise fault
        return waves(3)(coords)

    run = stand_in(field, 3)
    directory = run.directory
    (directory / "images" / "other.png").write_text("mine")
    before = files(directory)
    with pytest.raises(type(fault)):
        export_image(run)
    assert len(seen) == 2 and files(directory) == before
    assert all(len(names) == 2 and "render-48x32.png" not in names for names in seen), "it is written beside"


def test_a_full_disk_leaves_the_directory_as_it_was(stand_in: Stand) -> None:
    """The system refuses to let the file grow beyond 64 kB."""
    run = stand_in(lambda coords: torch.rand(len(coords), 3), 3)
    before = files(run.directory)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            export_image(run, size=(200, 200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(run.directory) == before


def test_a_file_that_exists_or_appears_meanwhile_is_left_as_it_is(stand_in: Stand, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(UserError, match=r"^output=[^\n]*a\.png' exists already; choose another file$"):
        export_image(stand_in(never, 3), output=tmp_path / "a.png")

    def field(coords: Tensor) -> Tensor:
        (tmp_path / "b.png").write_text("mine")
        return waves(3)(coords)

    with pytest.raises(FileExistsError, match=r"^[^\n]*b\.png has appeared meanwhile[^\n]*$"):
        export_image(stand_in(field, 3), output=tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "run"]
    assert (tmp_path / "a.png").read_text() == (tmp_path / "b.png").read_text() == "mine"


def test_a_directory_that_cannot_be_written_to_is_told_before_any_evaluation(
    stand_in: Stand, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file" / "a.png", Path("/proc/a.png")):
        with pytest.raises(OSError, match=r"^[^\n]+$"):
            export_image(stand_in(never, 3), output=output)


@pytest.mark.parametrize("channels", [2, 5])
def test_other_numbers_of_channels_are_refused_before_any_evaluation(stand_in: Stand, channels: int) -> None:
    run = stand_in(never, channels)
    with pytest.raises(UserError, match=rf"^[^\n]* of {channels} channels; [^\n]* 1 [^\n]*3 [^\n]*4 [^\n]*$"):
        export_image(run)
    assert list((run.directory / "images").iterdir()) == []


def test_it_is_quiet_when_not_on_a_terminal(stand_in: Stand, capfd: pytest.CaptureFixture[str]) -> None:
    export_image(stand_in(waves(1), 1))
    assert capfd.readouterr() == ("", "")


MEASURE = """
import sys
import coordnet
from coordnet.export.image import export_image

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

for height in map(int, sys.argv[2:]):
    export_image(coordnet.load(sys.argv[1]), size=(16384, height))
    print(peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.reliability("T34")
def test_memory_does_not_grow_with_the_height(tiny: Path) -> None:
    """Less than 32 MB more at the peak for 151 MB more of pixels."""
    command = [sys.executable, "-c", MEASURE, str(tiny), "1024", "4096"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    low, high = map(int, result.stdout.split())
    assert high - low < 32


@pytest.mark.reliability("T34")
def test_sigterm_ends_it_in_one_line_and_leaves_nothing(tiny: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coordnet.cli.main", "render", str(tiny), "--size", "16384x65536"]
    process = subprocess.Popen(
        [*command, "--output", "a.png"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not os.listdir(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert os.listdir(tmp_path) == [f".a.png.tmp-{process.pid}"]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "coordnet: ended by SIGTERM\n")
    assert os.listdir(tmp_path) == []


def test_the_command_tells_a_bad_directory_in_one_line(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = coordnet("render", str(tiny), "--output", "file/a.png", cwd=tmp_path)
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "file" in done.stderr
