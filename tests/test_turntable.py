import json
import math
from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from scenes import Solid, loaded_scene
from torch import Tensor

from coordnet import viz
from coordnet.cameras import Cameras
from coordnet.errors import UserError
from coordnet.export.turntable import cameras_from_file, export_turntable, orbit_cameras, render_frames
from coordnet.forward_maps.hierarchical import HierarchicalRenderer
from coordnet.rendering.camera import render_view
from coordnet.runs.load import LoadedRun
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.spec import SceneSpec
from coordnet.signals.synthetic.synthetic_scene import synthetic_scene

CENTER, HALF_SIZE = (5.0, -3.0, 1.0), 2.0


@pytest.fixture(scope="module")
def signal() -> PosedImages:
    """A scene in a world whose box is not the unit box."""
    views = synthetic_scene("checker", size=20, num_views=5, num_eval_views=1, supersample=1).train
    world = views.normalized_to(-torch.tensor(CENTER) / HALF_SIZE, 1 / HALF_SIZE)
    return PosedImages(world, center=CENTER, half_size=HALF_SIZE, background="black")


def scene_of(signal: PosedImages) -> SceneSpec:
    scene = signal.spec().scene
    assert scene is not None
    return scene


def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The ball whose color is its normal."""
    return HierarchicalRenderer(num_samples=200).eval()(Solid(), batch)


@pytest.fixture
def run(signal: PosedImages, tmp_path: Path) -> LoadedRun:
    return loaded_scene(tmp_path, signal.spec(), num_samples=200)


def test_cameras_go_around_as_far_and_as_high_as_those_trained_on(signal: PosedImages) -> None:
    """Heights on the orbit are even in the sine of the elevation, between 5 and 75 degrees."""
    low, high = math.sin(math.radians(5)), math.sin(math.radians(75))
    elevations = [math.asin(low + (high - low) * (i + 0.5) / 5) for i in range(5)]
    cameras = orbit_cameras(signal.train.cameras, (20, 20), 8, None)
    positions = cameras.poses[..., 3]
    torch.testing.assert_close(positions.norm(dim=-1), torch.full((8,), 2.7))
    torch.testing.assert_close(positions[:, 2], torch.full((8,), 2.7 * math.sin(sum(elevations) / 5)))
    torch.testing.assert_close(cameras.poses[:, 2, 0], torch.zeros(8), atol=1e-6, rtol=0)
    assert (cameras.poses[:, 2, 1] > 0).all()
    seen = cameras.project(torch.zeros(8, 3), torch.arange(8))
    torch.testing.assert_close(seen, torch.full((8, 2), 10.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(cameras.focal[0], signal.train.cameras.focal[0])
    lower = orbit_cameras(signal.train.cameras, (20, 20), 8, -30.0).poses[:, 2, 3]
    torch.testing.assert_close(lower, torch.full((8,), -1.35))


def test_a_wider_picture_shows_more_at_its_sides(signal: PosedImages) -> None:
    cameras = orbit_cameras(signal.train.cameras, (60, 40), 1, None)
    torch.testing.assert_close(cameras.focal, 2 * signal.train.cameras.focal[:1])
    assert cameras.size == (60, 40) and cameras.center.tolist() == [[30, 20]]


def test_each_picture_is_what_is_predicted_for_its_camera(run: LoadedRun, signal: PosedImages) -> None:
    cameras = orbit_cameras(signal.train.cameras, (16, 12), 3, None)
    frames = list(render_frames(cameras, run, signal.spec().scene))  # type: ignore[arg-type]
    assert len(frames) == 3
    for i, frame in enumerate(frames):
        origins, directions = cameras.rays(torch.full((192,), i), cameras.pixels())
        batch = {"origins": origins, "directions": directions, "background": torch.zeros(192, 3)}
        expected = viz.to_pixels(predict(batch)["value"].view(12, 16, 3).numpy())
        assert np.abs(frame.astype(int) - expected).max() <= 1


def test_a_video_turns_around_an_upright_scene(run: LoadedRun) -> None:
    """The ball's top is blue in all pictures; its red side comes and goes."""
    path = export_turntable(run, num_frames=6, fps=10, scale=1.5, elevation=0)
    assert path == run.directory / "turntable.gif"
    frames = imageio.imread(path, index=None).astype(float)
    assert frames.shape == (6, 30, 30, 3)
    assert imageio.immeta(path, index=0)["duration"] == 100
    assert (frames[:, 0] < 10).all(), "the background is the signal's"
    assert (frames[:, 12, 13:17, 2] > frames[:, 18, 13:17, 2] + 30).all()
    red = frames[:, 15, 15, 0]
    assert red.max() > 200 and red.min() < 60 and np.argmax(red) == 0


def test_a_path_is_in_the_world_of_the_files(run: LoadedRun, signal: PosedImages) -> None:
    """The cameras trained on, written as the files have them, see what they saw."""
    world = signal.train.cameras.normalized_to(-torch.tensor(CENTER) / HALF_SIZE, 1 / HALF_SIZE)
    angle = 2 * math.atan(10 / float(world.focal[0, 0]))
    frames = [{"transform_matrix": [*pose.tolist(), [0, 0, 0, 1]]} for pose in world.poses[:3]]
    file = run.directory / "path.json"
    file.write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    cameras = cameras_from_file(file, (20, 20), scene_of(signal))
    torch.testing.assert_close(cameras.poses, signal.train.cameras.poses[:3])
    torch.testing.assert_close(cameras.focal, signal.train.cameras.focal[:3])
    # Intrinsics in the pixels of a larger picture are brought to this one.
    larger = {"w": 60, "h": 60, "fl_x": 3 * float(world.focal[0, 0])}
    file.write_text(json.dumps({"frames": frames, **larger}))
    torch.testing.assert_close(
        cameras_from_file(file, (20, 20), scene_of(signal)).focal, signal.train.cameras.focal[:3]
    )
    out = export_turntable(run, camera_path=file, output=run.directory / "a.gif")
    expected = [
        render_view(signal.train.cameras, i, signal.eval_background, predict)["value"].numpy() * 255
        for i in range(3)
    ]
    assert np.abs(imageio.imread(out, index=None) - np.stack(expected)).mean() < 3


def test_a_path_of_another_shape_keeps_its_vertical_angle_and_square_pixels(
    tmp_path: Path, signal: PosedImages
) -> None:
    file = tmp_path / "path.json"
    frames = [{"transform_matrix": np.eye(4).tolist()}]
    file.write_text(json.dumps({"w": 80, "h": 60, "fl_x": 90.0, "cx": 44.0, "frames": frames}))
    cameras = cameras_from_file(file, (40, 40), scene_of(signal))
    assert cameras.focal.tolist() == [[60.0, 60.0]]
    # cx is 4 of 60 heights to the right of the middle.
    torch.testing.assert_close(cameras.center, torch.tensor([[20 + 4 * 40 / 60, 20.0]]))


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"fl_x": 90.0}, "fl_x is in pixels of pictures whose w and h"),
        ({"fl_x": 90.0, "w": 0, "h": 60}, "w=0 and h=60 must be whole numbers of at least 1"),
        ({"fl_x": 90.0, "w": 80.5, "h": 60}, r"w=80\.5 and h=60 must be whole"),
    ],
)
def test_a_path_says_what_its_focal_lengths_are_of(
    tmp_path: Path, signal: PosedImages, entries: dict[str, float], message: str
) -> None:
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"frames": [{"transform_matrix": np.eye(4).tolist()}], **entries}))
    with pytest.raises(UserError, match=f"frame 0: {message}"):
        cameras_from_file(file, (40, 40), scene_of(signal))


def test_cameras_on_one_side_and_upside_down_have_their_own_up(signal: PosedImages) -> None:
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    cameras = signal.train.cameras
    flipped = orbit_cameras(replace(cameras, poses=flip @ cameras.poses), (20, 20), 4, None)
    assert (flipped.poses[:, 2, 3] < 0).all() and (flipped.poses[:, 2, 1] < 0).all()


def test_one_camera_straight_above_is_enough() -> None:
    above = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3]]])
    cameras = Cameras(above, torch.full((1, 2), 10.0), torch.full((1, 2), 5.0), (10, 10))
    assert orbit_cameras(cameras, (10, 10), 4, None).poses.isfinite().all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_frames": 0}, r"num_frames=0 must be a whole number from 1 to"),
        ({"fps": 0.0}, r"fps=0\.0 must be a number from 1 to 50"),
        ({"elevation": 90.0}, r"elevation=90\.0 must be a number from -89 to 89 degrees"),
        ({"scale": -1.0}, r"scale=-1\.0 must"),
        ({"scale": 1000.0}, r"size=\(20000, 20000\) must be a list of 2 whole numbers from 1 to 4096"),
        ({"size": (0, 3)}, r"size=\(0, 3\) must"),
        ({"output": Path("a.avi")}, r"output='a\.avi' must end in \.gif or \.mp4"),
        ({"camera_path": Path("nowhere.json")}, r"nowhere\.json cannot be read"),
        ({"camera_path": Path("a.json"), "num_frames": 3}, r"camera_path='a\.json' holds the cameras"),
        ({"camera_path": Path("a.json"), "elevation": 0.0}, r"camera_path='a\.json' holds the cameras"),
    ],
)
def test_options_that_cannot_be_met_are_one_line(
    run: LoadedRun, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"^{message}[^\n]*$"):
        export_turntable(run, **options)  # type: ignore[arg-type]
    assert not list(run.directory.iterdir())


def test_nothing_is_overwritten(run: LoadedRun) -> None:
    (run.directory / "turntable.gif").write_text("mine")
    with pytest.raises(UserError, match=r"^output=[^\n]*turntable\.gif' exists already[^\n]*$"):
        export_turntable(run)
    assert (run.directory / "turntable.gif").read_text() == "mine"
