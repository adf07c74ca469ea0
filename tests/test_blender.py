import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scene_files import ANGLE, orbit, picture, write, write_scene, write_split
from support import make_config

from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.signals.scenes.blender import blender
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.scenes.view_files import area_average, area_weights
from coordnet.training.batches import BatchSampler

Document = dict[str, Any]


def test_pixels_and_cameras_are_those_of_the_files(tmp_path: Path) -> None:
    signal = blender(str(write_scene(tmp_path)))
    assert signal.train.images.shape == (3, 6, 8, 4) and signal.train.images.dtype == torch.uint8
    assert (signal.train.images[1].numpy() == picture(51)).all()
    cameras = signal.train.cameras
    assert len(cameras) == 3 and cameras.size == (8, 6) and cameras.distortion is None
    # The focal length is half the width over the tangent of half the angle, for both axes.
    torch.testing.assert_close(cameras.focal, torch.full((3, 2), 4 / math.tan(ANGLE / 2)))
    assert cameras.center.tolist() == [[4, 3]] * 3
    assert list(signal.held_out) == ["val"] and len(signal.held_out["val"].images) == 2
    assert signal.num_observations == 3 * 8 * 6 and signal.domain.size == (8, 8, 8)


def test_the_cube_becomes_the_box(tmp_path: Path) -> None:
    signal = blender(str(write_scene(tmp_path)), half_size=2.0, center=[1.0, 0.0, -1.0])
    position = torch.tensor(orbit(0.5))[:3, 3]
    torch.testing.assert_close(
        signal.train.cameras.poses[0, :, 3], (position - torch.tensor([1.0, 0, -1])) / 2
    )
    # Every camera looks at the middle of the cube, so the middle projects to the center of the picture.
    plain = blender(str(tmp_path))
    seen = plain.train.cameras.project(torch.zeros(3, 3), torch.arange(3))
    # The tolerance covers float32.
    torch.testing.assert_close(seen, torch.tensor([[4.0, 3.0]] * 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("extension", ["", ".png"])
def test_names_may_lack_their_extension(tmp_path: Path, extension: str) -> None:
    write_split(tmp_path, "train", [picture(1)], extension)
    assert (blender(str(tmp_path)).train.images[0].numpy() == picture(1)).all()


def test_colors_are_premultiplied_by_opacity_before_averaging(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 4), np.uint8)
    pixels[0, 0] = [255, 0, 0, 255]
    pixels[0, 1] = [0, 0, 255, 102]
    # Transparent green must not show.
    pixels[1, :] = [0, 255, 0, 0]
    write_split(tmp_path, "train", [pixels])
    signal = blender(str(tmp_path), downscale=2)
    # Opacity is (1 + 0.4) / 4; red to blue is 1 to 0.4.
    assert signal.train.images[0, 0].tolist() == [[182, 0, 73, 89], [0, 0, 0, 0]]
    assert signal.train.cameras.size == (2, 1)
    torch.testing.assert_close(signal.train.cameras.center, torch.tensor([[1.0, 0.5]]))
    value = signal.get_batch(torch.tensor([0]))["value"]
    # The mixture is 1/4 red, 0.1 blue and 0.65 white; the tolerance is the rounding of bytes.
    torch.testing.assert_close(value, torch.tensor([[0.9, 0.65, 0.75]]), atol=2 / 255, rtol=0)


def test_other_sizes_average_by_area() -> None:
    torch.testing.assert_close(area_weights(3, 2), torch.tensor([[2, 1, 0], [0, 1, 2]]) / 3)
    torch.testing.assert_close(area_weights(7, 7), torch.eye(7))
    pixels = torch.from_numpy(picture(4, (9, 6), 3))
    small = area_average(pixels, (3, 2))
    expected = pixels.reshape(2, 3, 3, 3, 3).float().mean(dim=(1, 3))
    # The tolerance covers rounding.
    torch.testing.assert_close(small.float(), expected, atol=0.51, rtol=0)


def test_gray_and_opaque_pictures_are_read(tmp_path: Path) -> None:
    write_split(tmp_path, "train", [picture(1, channels=1)[..., 0], picture(2, channels=4)])
    images = blender(str(tmp_path)).train.images
    assert images.shape[3] == 4 and (images[0, ..., 3] == 255).all()
    assert (images[0, ..., :3].numpy() == picture(1, channels=1)).all()


@pytest.mark.parametrize("count, expected", [(None, [0, 1, 2, 3, 4]), (2, [0, 2]), (5, [0, 1, 2, 3, 4])])
def test_views_to_train_on_are_evenly_spaced(tmp_path: Path, count: int | None, expected: list[int]) -> None:
    write_split(tmp_path, "train", [picture(i) for i in range(5)])
    images = blender(str(tmp_path), train_views=count).train.images
    assert [(image.numpy() == picture(i)).all() for image, i in zip(images, expected, strict=True)]


def test_the_number_of_evaluation_views_is_capped(tmp_path: Path) -> None:
    write_scene(tmp_path, val=3)
    for cap, expected in ((None, 3), (2, 2), (9, 3)):
        assert len(blender(str(tmp_path), max_eval_views=cap).held_out["val"].images) == expected


def test_a_test_file_is_scored_besides(tmp_path: Path) -> None:
    write_scene(tmp_path)
    write_split(tmp_path, "test", [picture(7)] * 4)
    signal = blender(str(tmp_path), max_eval_views=2)
    assert {name: len(views.images) for name, views in signal.held_out.items()} == {"val": 2, "test": 2}


def test_the_yaml_builds_it(tmp_path: Path) -> None:
    config = make_config("signal=blender", f"signal.path={write_scene(tmp_path)}", "signal.resize=[4,3]")
    signal = build(config["signal"], "signal")
    assert isinstance(signal, PosedImages) and signal.train.cameras.size == (4, 3)


def test_a_scaled_rotation_is_brought_to_length_one(tmp_path: Path) -> None:
    document = write_split(tmp_path, "train", [picture(0)])
    matrix = np.array(document["frames"][0]["transform_matrix"])
    expected = blender(str(tmp_path)).train.cameras.poses
    matrix[:3, :3] *= 0.3
    document["frames"][0]["transform_matrix"] = matrix.tolist()
    write(tmp_path, "train", document)
    torch.testing.assert_close(blender(str(tmp_path)).train.cameras.poses, expected)


def changed(entry: str, value: object) -> Callable[[Path, Document], None]:
    """A change that sets an entry of frame 1."""

    def change(folder: Path, document: Document) -> None:
        document["frames"][1][entry] = value

    return change


def without(entry: str) -> Callable[[Path, Document], None]:
    return lambda folder, document: document["frames"][1].pop(entry)


def matrix(row: int, column: int, value: float) -> Callable[[Path, Document], None]:
    def change(folder: Path, document: Document) -> None:
        document["frames"][1]["transform_matrix"][row][column] = value

    return change


def cut_short(folder: Path, document: Document) -> None:
    file = folder / "train" / "r_1.png"
    file.write_bytes(file.read_bytes()[:100])


def of_another_size(folder: Path, document: Document) -> None:
    import imageio.v3 as imageio

    imageio.imwrite(folder / "train" / "r_1.png", picture(0, (5, 5)))


FRAME = "transforms_train.json frame 1: "
MISTAKES = {
    "missing image": (changed("file_path", "./train/r_9"), FRAME + "file_path="),
    "no name": (without("file_path"), FRAME + "file_path=None"),
    "name of a number": (changed("file_path", 3), FRAME + "file_path=3"),
    "long name": (changed("file_path", "r" * 5000), FRAME + "file_path="),
    "truncated PNG": (cut_short, FRAME + "'"),
    "wrong size": (of_another_size, FRAME + "the picture has 5 x 5 pixels, the first has 8 x 6"),
    "no matrix": (without("transform_matrix"), FRAME + "transform_matrix must be 4 rows"),
    "ragged matrix": (changed("transform_matrix", [[1], [2, 3]]), FRAME + "transform_matrix must be 4 rows"),
    "matrix of words": (changed("transform_matrix", [["a"] * 4] * 4), FRAME + "transform_matrix must be 4"),
    "huge number": (matrix(0, 3, 10**400), FRAME + "transform_matrix"),
    "NaN pose": (
        matrix(2, 3, math.nan),
        FRAME + "transform_matrix must hold numbers below 1e+15, and no NaN",
    ),
    "singular matrix": (changed("transform_matrix", [[0.0] * 4] * 3), FRAME + "transform_matrix is singular"),
    "sheared matrix": (matrix(0, 2, 5.0), FRAME + "transform_matrix must hold a rotation"),
    "mirrored matrix": (
        changed("transform_matrix", np.diag([1.0, 1, -1, 1]).tolist()),
        FRAME + "transform_matrix must hold a rotation",
    ),
    "columns for rows": (
        matrix(3, 0, 2.0),
        FRAME + "transform_matrix must have 0, 0, 0, 1 as its fourth row",
    ),
    "a picture twice": (changed("file_path", "./train/r_0"), " is the picture of "),
    "no frames": (lambda folder, document: document.update(frames=[]), "has no frames"),
    "frames of numbers": (lambda folder, document: document.update(frames=[1]), "a list of objects, frames"),
    "no angle": (
        lambda folder, document: document.pop("camera_angle_x"),
        "frame 0 has neither fl_x, in pixels, nor camera_angle_x, in radians",
    ),
    "wide angle": (lambda folder, document: document.update(camera_angle_x=4), "between 0 and pi"),
    "NaN angle": (lambda folder, document: document.update(camera_angle_x=math.nan), "camera_angle_x=nan"),
    "negative focal length": (changed("fl_x", -3.0), FRAME + "fl_x=-3 and fl_y=-3 must be from 0.001 to"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_file_and_frame(tmp_path: Path, mistake: str) -> None:
    change, message = MISTAKES[mistake]
    document = write_split(tmp_path, "train", [picture(0), picture(1)])
    change(tmp_path, document)
    write(tmp_path, "train", document)
    with pytest.raises(UserError) as refused:
        blender(str(tmp_path))
    assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[1, 2]", b"\xff\xfe", b"3", b"[" * 100_000], ids=range(6))
def test_json_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "transforms_train.json").write_bytes(text)
    with pytest.raises(UserError, match=r"transforms_train\.json"):
        blender(str(tmp_path))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"downscale": 3}, "downscale=3 must be at least 1 and divide 8 x 6"),
        ({"downscale": 0}, "downscale=0 must be a whole number from 1 to 8192 pixels"),
        ({"resize": [9, 6]}, r"resize=\[9, 6\]"),
        ({"resize": [4]}, r"resize=\[4\]"),
        ({"resize": [4, 3], "downscale": 2}, "downscale=2 must be 1"),
        ({"train_views": 4}, "train_views=4 must be at most 3"),
        ({"max_eval_views": 0}, "max_eval_views=0"),
        ({"half_size": 0.0}, "half_size=0.0"),
        ({"center": [1.0]}, "center="),
        ({"background": "gray"}, "background='gray'"),
        ({"resolution": 1}, "resolution=1"),
    ],
)
def test_options_that_cannot_be_met_are_refused(tmp_path: Path, options: Document, message: str) -> None:
    with pytest.raises(UserError, match=message):
        blender(str(write_scene(tmp_path)), **options)


@pytest.mark.parametrize("path", ["nowhere", "a" * 5000, "\0"])
def test_a_folder_without_a_scene_is_refused(path: str) -> None:
    with pytest.raises(UserError, match="path="):
        blender(path)


def test_lego(shared_data: Path) -> None:
    folder = shared_data / "nerf_synthetic" / "lego"
    signal = build(
        make_config(
            "signal=lego", f"signal.path={folder}", "signal.train_views=4", "signal.max_eval_views=2"
        )["signal"],
        "signal",
    )
    assert isinstance(signal, PosedImages)
    assert signal.train.images.shape == (4, 100, 100, 4)
    first = json.loads((folder / "transforms_train.json").read_text())["frames"][0]
    position = torch.tensor(first["transform_matrix"])[:3, 3] / 1.5
    torch.testing.assert_close(signal.train.cameras.poses[0, :, 3], position)
    # The model covers the origin in every view, so the pixel of the origin is opaque.
    seen = signal.train.cameras.project(torch.tensor([[0.0, 0, 0.1]] * 4), torch.arange(4)).long()
    assert (signal.train.images[torch.arange(4), seen[:, 1], seen[:, 0], 3] == 255).all()
    batch = BatchSampler(signal, 64, 0)(0)
    assert batch["value"].shape == (64, 3) and batch["origins"].shape == (64, 3)
