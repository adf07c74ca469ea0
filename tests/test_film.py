import shutil
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from support import SMALL, coordnet, make_config

from coordnet import viz
from coordnet.errors import UserError
from coordnet.export.progress_video import FPS, LAST, export_progress_video
from coordnet.runs.directory import write_status
from coordnet.training.run import start

STEPS = (0, 10, 20, 1000, 20000)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The parts of a run that a film needs: its state, and pictures, each of one level of gray."""
    directory = tmp_path / "run"
    (directory / "images").mkdir(parents=True)
    write_status(directory, "finished")
    for i, step in enumerate(STEPS):
        picture = np.full((31, 160, 3), 40 * i, np.uint8)
        imageio.imwrite(directory / "images" / f"target-prediction-error-spectrum-{step:07d}.png", picture)
    imageio.imwrite(directory / "images" / "contrast-0000010.png", np.zeros((5, 5, 3), np.uint8))
    return directory


def levels(frames: np.ndarray) -> list[int]:
    """The level of gray of each frame's picture, under the caption."""
    return [int(frame[viz.CAPTION + 10, 80, 0]) for frame in frames]


def test_a_film_shows_the_pictures_in_the_order_of_steps_and_stays_at_the_last(run: Path) -> None:
    path = export_progress_video(run)
    assert path == run / "film.gif"
    frames = imageio.imread(path, index=None)
    assert frames.shape == (len(STEPS), 59, 160, 3)
    assert levels(frames) == pytest.approx([0, 40, 80, 120, 160], abs=2)
    durations = [imageio.immeta(path, index=i)["duration"] for i in range(len(STEPS))]
    assert durations == [1000 / FPS] * (len(STEPS) - 1) + [LAST * 1000 / FPS]


def test_each_frame_has_its_step_above_it(run: Path) -> None:
    frames = imageio.imread(export_progress_video(run), index=None)
    captions = [frame[1 : viz.CAPTION] for frame in frames]
    expected = [viz.add_caption(np.zeros((1, 160, 3), np.uint8), f"step {step:,}")[:-1] for step in STEPS]
    for caption, text in zip(captions, expected, strict=True):
        agreement = [np.mean((caption < 128) == (other[: len(caption)] < 128)) for other in expected]
        assert np.argmax(agreement) == [np.array_equal(text, other) for other in expected].index(True)


def test_pictures_of_several_sizes_share_a_frame(run: Path) -> None:
    imageio.imwrite(run / "images" / "target-prediction-0000050.png", np.full((50, 99, 3), 7, np.uint8))
    frames = imageio.imread(export_progress_video(run), index=None)
    assert frames.shape == (len(STEPS) + 1, 50 + viz.CAPTION, 160, 3)


def test_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.gif").write_text("mine")
    with pytest.raises(UserError, match=r"^output=[^\n]*mine\.gif' exists already[^\n]*$"):
        export_progress_video(run, tmp_path / "mine.gif")
    assert (tmp_path / "mine.gif").read_text() == "mine"


@pytest.mark.parametrize("name", ["film.avi", "film", "film.gif.txt"])
def test_other_kinds_of_files_are_refused(run: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"^output=[^\n]* must end in \.gif or \.mp4$"):
        export_progress_video(run, run / name)


def test_mp4_without_its_encoder_names_the_extra(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^output=[^\n]*coordnet\[video\][^\n]*$"):
        export_progress_video(run, run / "film.mp4")
    assert not (run / "film.mp4").exists()


# The reader of imageio leaves ffmpeg's pipes to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_is_the_same_film(run: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    frames = imageio.imread(export_progress_video(run, run / "new" / "film.mp4"), plugin="FFMPEG", index=None)
    assert frames.shape == (len(STEPS) + LAST - 1, 60, 160, 3)
    assert levels(frames) == pytest.approx([0, 40, 80, 120] + [160] * LAST, abs=6)


def test_what_is_no_run_or_has_no_pictures_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        export_progress_video(tmp_path / "nowhere")
    shutil.rmtree(run / "images")
    with pytest.raises(UserError, match=r"^[^\n]*has no pictures yet[^\n]*$"):
        export_progress_video(run)


def test_a_damaged_picture_is_named(run: Path) -> None:
    file = run / "images" / f"target-prediction-error-spectrum-{STEPS[1]:07d}.png"
    for content in (b"", file.read_bytes()[:60]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=rf"^[^\n]*{STEPS[1]:07d}\.png is damaged[^\n]*$"):
            export_progress_video(run)
        assert not (run / "film.gif").exists()


def test_the_command_films_a_run_and_tells_a_mistake_in_one_line(tmp_path: Path) -> None:
    start(make_config(*SMALL), tmp_path / "run")
    done = coordnet("film", "run", "--output", "a.gif", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "a.gif\n"), done.stderr
    assert len(imageio.imread(tmp_path / "a.gif", index=None)) == 3
    again = coordnet("film", "run", "--output", "a.gif", cwd=tmp_path)
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "exists" in again.stderr
