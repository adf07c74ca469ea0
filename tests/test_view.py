from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from scenes import Solid, ball, loaded_scene
from support import SMALL, make_config
from torch import Tensor

from coordnet import viz
from coordnet.cli.main import main
from coordnet.errors import UserError
from coordnet.evaluation.views import render_beside_target
from coordnet.export.view import HALF_DIAGONAL, export_view
from coordnet.forward_maps.hierarchical import HierarchicalRenderer
from coordnet.rendering import camera
from coordnet.runs.load import LoadedRun
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.synthetic.synthetic_scene import synthetic_scene
from coordnet.training.run import start

TINY = (
    *(
        "signal=scene",
        "signal.scene=checker",
        "signal.size=12",
        "signal.num_views=3",
        "signal.num_eval_views=2",
    ),
    *("encoding=vector_matrix", "encoding.resolution=8", "encoding.num_features=2", "radiance=small"),
    *(
        "network.depth=1",
        "network.width=8",
        "radiance.color_network.depth=1",
        "radiance.color_network.width=8",
    ),
    *(
        "forward_map=hierarchical",
        "forward_map.num_samples=8",
        "trainer.batch_size=32",
        "max_steps=1",
        "threads=1",
    ),
)


@pytest.fixture(scope="module")
def signal() -> PosedImages:
    return synthetic_scene("checker", size=24, num_views=3, num_eval_views=2, supersample=1)


@pytest.fixture
def run(signal: PosedImages, tmp_path: Path) -> LoadedRun:
    """The ball whose color is its normal, with the cameras of the signal."""
    return loaded_scene(tmp_path, signal.spec(), num_samples=400)


def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return HierarchicalRenderer(num_samples=400).eval()(Solid(), batch)


def test_a_view_at_scale_1_is_what_the_signal_renders(run: LoadedRun, signal: PosedImages) -> None:
    (path,) = export_view(run, 1)
    assert path == run.directory / "images" / "view-val-001-24x24.png"
    expected = render_beside_target(signal.held_out["val"], 1, signal.eval_background, predict)["value"]
    assert np.array_equal(imageio.imread(path), viz.to_pixels(expected.numpy()))
    (path,) = export_view(run, 2, split="train")
    expected = render_beside_target(signal.train, 2, signal.eval_background, predict)["value"]
    assert np.array_equal(imageio.imread(path), viz.to_pixels(expected.numpy()))


def test_a_larger_view_shows_the_same_things_in_more_pixels(run: LoadedRun, signal: PosedImages) -> None:
    """The exact colors of the ball on white, but at its rim; its upper side is blue, so it stands upright."""
    (path,) = export_view(run, 0, scale=2.5)
    pixels = imageio.imread(path)
    assert pixels.shape == (60, 60, 3)
    cameras = signal.held_out["val"].cameras.resized((60, 60))
    exact = ball(*cameras.rays(torch.zeros(3600, dtype=torch.long), cameras.pixels()))[0].view(60, 60, 3)
    assert np.median(np.abs(pixels / 255 - exact.numpy())) < 1e-2
    assert np.mean(np.abs(pixels / 255 - exact.numpy()) > 0.05) < 0.1
    rows, columns = np.nonzero((pixels < 255).any(axis=2))
    top, bottom = (pixels[row, columns[rows == row]].mean(axis=0) for row in (rows.min() + 2, rows.max() - 2))
    assert top[2] > bottom[2] + 100


def test_bands_do_not_change_the_view(run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = export_view(run, 0, output=run.directory / "whole.png")
    monkeypatch.setattr(camera, "RAYS_PER_CHUNK", 100)
    (parts,) = export_view(run, 0, output=run.directory / "parts.png")
    # Chunks of another size round differently.
    assert abs(imageio.imread(whole).astype(int) - imageio.imread(parts)).max() <= 1


def test_depth_is_the_distance_from_where_the_box_can_begin(run: LoadedRun, signal: PosedImages) -> None:
    _, path = export_view(run, 0, scale=3, output=run.directory / "a.png", depth=True)
    assert path == run.directory / "a-depth.png"
    cameras = signal.held_out["val"].cameras.resized((72, 72))
    distance = ball(*cameras.rays(torch.zeros(5184, dtype=torch.long), cameras.pixels()))[1].view(72, 72)
    # The cameras' orbit has a radius of 2.7.
    share = (distance - (2.7 - HALF_DIAGONAL)).numpy() / (2 * HALF_DIAGONAL)
    expected = viz.apply_colormap(np.where(np.isfinite(share), share, 0), top=1.0)
    assert np.median(np.abs(imageio.imread(path).astype(int) - expected)) <= 2
    assert np.mean(np.abs(imageio.imread(path).astype(int) - expected) > 12) < 0.05


def test_nothing_is_overwritten_or_left(run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.directory / "a-depth.png").write_text("mine")
    with pytest.raises(UserError, match=r"^output=[^\n]*a-depth\.png' exists already[^\n]*$"):
        export_view(run, 0, output=run.directory / "a.png", depth=True)

    def interrupted(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        assert len(list(run.directory.iterdir())) == 3
        raise KeyboardInterrupt

    monkeypatch.setattr(LoadedRun, "predict", lambda _, batch: interrupted(batch))
    with pytest.raises(KeyboardInterrupt):
        export_view(run, 0, output=run.directory / "b.png", depth=True)
    assert [file.name for file in run.directory.iterdir()] == ["a-depth.png"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"view": 2}, r"view=2 must be a whole number from 0 to 1 \(views of val\)"),
        ({"view": -1}, r"view=-1 must"),
        ({"split": "test"}, r"split='test' must be one of val, train for "),
        ({"scale": 0.0}, r"scale=0\.0 must be a number above 0"),
        ({"scale": float("inf")}, r"scale=inf must"),
        ({"scale": 65536.0}, r"scale=65536\.0 makes 1572864x1572864 pixels"),
    ],
)
def test_options_that_cannot_be_met_are_one_line(
    run: LoadedRun, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"^{message}[^\n]*$"):
        export_view(run, **{"view": 0, **options})  # type: ignore[arg-type]
    assert not list(run.directory.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a scene, and one of an image."""
    folder = tmp_path_factory.mktemp("runs")
    start(make_config(*TINY), folder / "scene")
    start(make_config(*SMALL, "max_steps=1"), folder / "image")
    return folder


def test_the_commands_see_a_scene(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scene = str(folder / "scene")
    assert main(["render", scene, "--view", "1", "--scale", "2", "--depth", "--output", "a.png"]) == 0
    assert main(["turntable", scene, "--num-frames", "3", "--size", "10x8", "--output", "a.gif"]) == 0
    # Before it is trained a field is thin everywhere.
    assert main(["mesh", scene, "--resolution", "8", "--level", "1e-9", "--output", "a.obj"]) in (0, 2)
    assert capsys.readouterr().out.split()[:3] == ["a.png", "a-depth.png", "a.gif"]
    assert imageio.imread("a.png").shape == (24, 24, 3)
    assert imageio.imread("a.gif", index=None).shape[1:] == (8, 10, 3)


@pytest.mark.parametrize(
    "command, message",
    [
        ("render scene", "holds a scene; choose one of the views with --view"),
        ("render scene --view 1 --crop 0,0,2,2", "--crop goes without --view"),
        ("render scene --view 1 --size 10x10", "--size goes without --view"),
        ("render image --split val", "--split goes with --view"),
        ("render image --depth", "--depth goes with --view"),
        ("render image --view 0", "holds no scene"),
        ("turntable image", "holds no scene"),
        ("mesh image", "holds no scene"),
    ],
)
def test_what_does_not_fit_the_run_is_one_line(
    folder: Path,
    command: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
    assert sorted(folder.rglob("*")) == before
