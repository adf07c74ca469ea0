import json
import math
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scene_files import orbit, picture
from support import make_config

from coordnet.cameras import Cameras
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.scenes.transforms import transforms
from coordnet.signals.scenes.view_files import distortion_is_invertible

ORIENTATION = 0x0112
INTRINSICS = {"fl_x": 10.0, "fl_y": 11.0, "cx": 4.5, "cy": 2.5, "w": 8, "h": 6}


def write(
    folder: Path, count: int = 9, center: tuple[float, float, float] = (0, 0, 0), **entries: Any
) -> Path:
    """A scene whose cameras look at the center from a distance of sqrt(17); frames in reverse order of their names."""
    (folder / "images").mkdir(exist_ok=True)
    frames = []
    for i in reversed(range(count)):
        imageio.imwrite(folder / "images" / f"{i:03}.png", picture(i, channels=3))
        matrix = np.array(orbit(0.7 * i))
        matrix[:3, 3] += center
        frames.append({"file_path": f"images/{i:03}.png", "transform_matrix": matrix.tolist()})
    return rewrite(folder, {**INTRINSICS, "frames": frames, **entries})


def rewrite(folder: Path, document: object) -> Path:
    file = folder / "transforms.json"
    file.write_text(json.dumps(document))
    return file


def test_every_eighth_by_name_is_held_out(tmp_path: Path) -> None:
    signal = transforms(str(write(tmp_path)))
    assert (signal.held_out["val"].images.numpy() == [picture(i, channels=3) for i in (0, 8)]).all()
    assert (signal.train.images.numpy() == [picture(i, channels=3) for i in range(1, 8)]).all()
    assert transforms(str(tmp_path), test_every=0).num_observations == 9 * 8 * 6


def test_intrinsics_are_those_of_the_file_or_of_the_frame(tmp_path: Path) -> None:
    file = write(tmp_path, k1=0.1, p2=-0.02)
    document = json.loads(file.read_text())
    document["frames"][-2] |= {"fl_x": 20.0, "k1": 0.3}
    cameras = transforms(str(rewrite(tmp_path, document)), downscale=2).train.cameras
    assert cameras.focal[:2].tolist() == [[10, 10], [5, 5.5]] and cameras.size == (4, 3)
    assert cameras.center[0].tolist() == [2.25, 1.25]
    assert cameras.distortion is not None
    # The order is k1, k2, p1, p2, k3.
    torch.testing.assert_close(
        cameras.distortion[:2], torch.tensor([[0.3, 0, 0, -0.02, 0], [0.1, 0, 0, -0.02, 0]])
    )


def test_an_angle_of_view_stands_for_a_focal_length(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path, camera_angle_x=math.pi / 2).read_text())
    del document["fl_x"], document["fl_y"]
    cameras = transforms(str(rewrite(tmp_path, document))).train.cameras
    torch.testing.assert_close(cameras.focal[0], torch.tensor([4.0, 4.0]))


def test_the_angle_of_view_of_a_frame_goes_before_the_focal_lengths_of_the_file(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    document["frames"][-2] |= {"camera_angle_x": math.pi / 2}
    cameras = transforms(str(rewrite(tmp_path, document))).train.cameras
    torch.testing.assert_close(cameras.focal[:2], torch.tensor([[4.0, 4.0], [10.0, 11.0]]))


def test_a_file_may_list_its_splits(tmp_path: Path) -> None:
    """Names may have a leading ./, as nerfstudio's do, and frames in no list are left out, at any position."""
    lists: dict[str, Any] = {
        "train_filenames": ["images/004.png", "./images/001.png"],
        "val_filenames": ["images/002.png"],
        "test_filenames": ["images/003.png", "images/000.png"],
    }
    document = json.loads(write(tmp_path, **lists).read_text())
    stray = {"file_path": "missing.png", "transform_matrix": orbit(0.0, radius=1e6)}
    rewrite(tmp_path, document | {"frames": [stray, *document["frames"]]})
    signal = transforms(str(tmp_path))
    assert signal.half_size == pytest.approx(3 / 8 * math.sqrt(17))
    found = {"train": signal.train, **signal.held_out}
    for name, numbers in {"train": [1, 4], "val": [2], "test": [0, 3]}.items():
        assert (found[name].images.numpy() == [picture(i, channels=3) for i in numbers]).all()
    rewrite(tmp_path, document)
    assert len(transforms(str(tmp_path), test_every=8).train.cameras) == 7


@pytest.mark.parametrize(
    "lists, message",
    [
        ({"train_filenames": "images/001.png"}, "train_filenames='images/001.png' must be a list"),
        ({"train_filenames": ["images/9.png"]}, "train_filenames names 'images/9.png', .* of no frame"),
        ({"train_filenames": [3]}, "train_filenames names 3, .* of no frame"),
        ({"val_filenames": ["images/001.png"]}, r"none in train_filenames; set signal\.test_every"),
        ({"train_filenames": []}, r"none in train_filenames; set signal\.test_every"),
        (
            {"train_filenames": ["images/001.png"], "val_filenames": ["./images/001.png"]},
            "val_filenames and train_filenames both name './images/001.png'",
        ),
    ],
)
def test_splits_that_do_not_fit_the_frames_are_refused(
    tmp_path: Path, lists: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        transforms(str(write(tmp_path, **lists)))


@pytest.mark.parametrize("offset", [1e5, 5e6])
def test_a_world_far_from_its_origin_loses_nothing(tmp_path: Path, offset: float) -> None:
    """Maps have such coordinates, in meters. Float32 is off by 0.004 at the first offset and by 0.25 at the second."""
    near, far = tmp_path / "near", tmp_path / "far"
    for folder, center in ((near, (0.0, 0.0, 0.0)), (far, (offset, -offset, 3.0))):
        folder.mkdir()
        write(folder, center=center)
    expected, found = (transforms(str(folder)).train.cameras.poses for folder in (near, far))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("aabb_scale", [None, 2])
def test_the_cube_is_where_the_cameras_look(tmp_path: Path, aabb_scale: int | None) -> None:
    center = (5.0, -2.0, 1.0)
    write(tmp_path, center=center, **({"aabb_scale": aabb_scale} if aabb_scale else {}))
    signal = transforms(str(tmp_path))
    half_size = 3 / 8 * math.sqrt(17) * (aabb_scale or 1)
    positions = signal.train.cameras.poses[..., 3]
    torch.testing.assert_close(positions.norm(dim=1), torch.full((7,), math.sqrt(17) / half_size))
    # The middle of the box projects to the principal point of every picture.
    seen = signal.train.cameras.project(torch.zeros(7, 3), torch.arange(7))
    torch.testing.assert_close(seen, torch.tensor([[4.5, 2.5]] * 7), atol=1e-4, rtol=0)


def test_the_cube_can_be_given(tmp_path: Path) -> None:
    signal = transforms(str(write(tmp_path)), center=[1.0, 0.0, 0.0], half_size=4.0)
    expected = (torch.tensor(orbit(0.7))[:3, 3] - torch.tensor([1.0, 0, 0])) / 4
    torch.testing.assert_close(signal.train.cameras.poses[0, :, 3], expected)


def test_the_yaml_builds_it(tmp_path: Path) -> None:
    signal = build(
        make_config("signal=transforms", f"signal.path={write(tmp_path).parent}")["signal"], "signal"
    )
    assert isinstance(signal, PosedImages) and len(signal.train.cameras) == 7


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "frame 7: camera_model='OPENCV_FISHEYE' must be one of OPENCV"),
        ({"is_fisheye": True}, "frame 7: is_fisheye must be absent"),
        ({"k4": 0.1}, "frame 7: k4 must be absent"),
        ({"w": 80}, "frame 7: w and h are 80 x 6, but the picture has 8 x 6"),
        ({"fl_x": "wide"}, "frame 7: fl_x='wide' must be a finite number"),
        ({"aabb_scale": 0}, "aabb_scale=0 must be above 0"),
        ({"aabb_scale": 1e-300}, "all cameras are at the estimated center"),
        ({"fl_x": 1e-300}, "frame 7: fl_x=1e-300 and fl_y=.* must be from 0.001 to 1e"),
        ({"fl_y": -9}, "frame 7: fl_x=.* and fl_y=-9 must be from 0.001 to"),
        ({"k1": 1e29}, "frame 7: some pixels at the edge of the picture have no ray"),
        ({"k1": -5.0, "fl_x": 8, "fl_y": 8}, "frame 7: some pixels at the edge of the picture have no ray"),
        ({"frames": []}, "has no frames"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, entries: dict[str, Any], message: str) -> None:
    write(tmp_path, **entries)
    with pytest.raises(UserError, match=message):
        transforms(str(tmp_path))


def test_a_picture_with_two_poses_is_refused(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    for name in ("images/008.png", "images/../images/008.png"):
        again = {**document["frames"][0], "file_path": name}
        rewrite(tmp_path, document | {"frames": [*document["frames"], again]})
        with pytest.raises(
            UserError, match=r"frame [09]: picture .*008\.png' is the picture of .* frame [09], too"
        ):
            transforms(str(tmp_path))


def test_nothing_is_scored_where_nothing_is_held_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_eval_views=2 must be null where nothing is held out"):
        transforms(str(write(tmp_path)), test_every=0, max_eval_views=2)


def test_a_cube_that_no_camera_sees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"center=\[100.* must be the center of a cube.* that a training camera sees"
    ):
        transforms(str(write(tmp_path)), center=[100.0, 0.0, 0.0], half_size=1.0)


def test_files_of_windows_editors_are_read(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert len(transforms(str(tmp_path)).train.cameras) == 7


@pytest.mark.parametrize("k1, fits", [(-0.05, True), (-0.2, False), (-3.0, False), (0.3, True)])
def test_a_lens_that_folds_within_the_picture_is_found(k1: float, fits: bool) -> None:
    """The radius r + k1 r^3 turns back at r = (-3 k1)^-0.5, for -0.2 at 0.86; the corners are at 0.94."""
    pose, eight = torch.eye(4)[None, :3], torch.full((1, 2), 8.0)
    cameras = Cameras(pose, eight * 1.5, eight, (16, 16), torch.tensor([[k1, 0, 0, 0, 0]]))
    assert distortion_is_invertible(cameras, 0) is fits


def test_a_rotation_may_be_scaled(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    expected = transforms(str(tmp_path)).train.cameras.poses
    for frame in document["frames"]:
        frame["transform_matrix"] = [
            [1e-5 * x for x in row[:3]] + row[3:] for row in frame["transform_matrix"]
        ]
    rewrite(tmp_path, document)
    torch.testing.assert_close(transforms(str(tmp_path)).train.cameras.poses, expected)


def test_pixels_stay_as_stored_whatever_exif_says(tmp_path: Path) -> None:
    """Poses and focal lengths belong to the stored pixels, in COLMAP as well."""
    expected = transforms(str(write(tmp_path))).train.images
    for file in (tmp_path / "images").iterdir():
        with Pillow.open(file) as picture:
            exif = picture.getexif()
            exif[ORIENTATION] = 3
            picture.save(file, exif=exif)
    assert torch.equal(transforms(str(tmp_path)).train.images, expected)


def test_parallel_cameras_need_a_cube(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    for i, frame in enumerate(document["frames"]):
        frame["transform_matrix"] = [[1, 0, 0, i], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    rewrite(tmp_path, document)
    with pytest.raises(UserError, match=r"look in parallel.*set signal\.center"):
        transforms(str(tmp_path))
    assert len(transforms(str(tmp_path), center=[0, 0, -4], half_size=3.0).train.cameras) == 7


@pytest.mark.parametrize("test_every", [1, -1])
def test_a_hold_out_stride_that_leaves_no_training_view_is_refused(tmp_path: Path, test_every: int) -> None:
    with pytest.raises(UserError, match=f"test_every={test_every}"):
        transforms(str(write(tmp_path)), test_every=test_every)
    with pytest.raises(UserError, match=r"test_every=8 leaves none of the 1 frames of"):
        transforms(str(write(tmp_path, count=1)), test_every=8, center=[0, 0, 0], half_size=1.0)


@pytest.mark.parametrize("path", ["nowhere", "a" * 5000, "\0"])
def test_a_path_without_a_scene_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="path="):
        transforms(path)


def test_a_vertical_angle_of_view_gives_the_vertical_focal_length(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    for key in ("fl_x", "fl_y"):
        document.pop(key, None)
    rewrite(tmp_path, document | {"camera_angle_x": 1.0, "camera_angle_y": 0.5})
    focal = transforms(str(tmp_path)).train.cameras.focal[0]
    width, height = 8, 6
    expected = torch.tensor([width / 2 / math.tan(0.5), height / 2 / math.tan(0.25)])
    torch.testing.assert_close(focal, expected)


def test_a_camera_that_float32_cannot_place_is_refused(tmp_path: Path) -> None:
    document = json.loads(write(tmp_path).read_text())
    document["frames"][0]["transform_matrix"][0][3] = 1e300
    rewrite(tmp_path, document)
    with pytest.raises(UserError, match="transform_matrix must hold numbers below 1e"):
        transforms(str(tmp_path))
