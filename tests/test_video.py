import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from coordnet.export.video import write_video
from coordnet.viz import Picture


def shades(count: int, height: int = 32, width: int = 48) -> Iterator[Picture]:
    """One level of gray each."""
    return (np.full((height, width, 3), 30 * i, np.uint8) for i in range(count))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_pictures_come_in_their_order_at_their_rate(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, shades(6), fps=10)
    frames = imageio.imread(tmp_path / name, index=None)
    assert frames.shape == (6, 32, 48, 3)
    assert frames.mean(axis=(1, 2, 3)) == pytest.approx([0, 30, 60, 90, 120, 150], abs=4)
    facts = imageio.immeta(tmp_path / name)
    assert facts["duration"] == (100 if name == "a.gif" else 0.6)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_repeats_a_last_row_and_column_where_sides_are_odd(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", shades(3, 31, 45), fps=10)
    frames = imageio.imread(tmp_path / "a.mp4", index=None)
    assert frames.shape == (3, 32, 46, 3) and frames[2].std() < 2


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_an_interruption_leaves_nothing(tmp_path: Path, name: str) -> None:
    def pictures() -> Iterator[Picture]:
        yield from shades(3)
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / name, pictures(), fps=10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    """The system refuses to let the file grow beyond 4 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, limits[1]))
    try:
        with pytest.raises(OSError, match=r"^[^\n]+$"):
            write_video(tmp_path / name, noise, fps=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN and not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_to_is_told_before_the_first_picture(tmp_path: Path) -> None:
    def never() -> Iterator[Picture]:
        raise AssertionError
        yield

    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^[^\n]+$"):
        write_video(tmp_path / "file" / "a.gif", never(), fps=10)
