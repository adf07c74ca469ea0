import math
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import pytest
import torch
from support import coordnet, make_config
from torch import Tensor
from torch.nn import functional as F

from coordnet.cameras import ray_box
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.signals.scenes.blender import blender
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.spec import SPLITS
from coordnet.signals.synthetic.scenes import AMBIENT, GROUND, SCENES, SUN, build_scene
from coordnet.signals.synthetic.solids import Ball, Box, Disc, Solid
from coordnet.signals.synthetic.synthetic_scene import render_split, spiral_poses, synthetic_scene

SMALL: dict[str, Any] = {"size": 16, "num_views": 3, "num_eval_views": 2, "supersample": 2}


def white(points: Tensor, normals: Tensor) -> Tensor:
    return torch.ones_like(points)


def intersect(solid: Solid, origin: list[float], direction: list[float]) -> tuple[float, list[float]]:
    distance, normal = solid.intersect(torch.tensor([origin]), F.normalize(torch.tensor([direction]), dim=-1))
    return distance.item(), normal[0].tolist()


def rays(count: int = 4000) -> tuple[Tensor, Tensor]:
    """Rays from a sphere around the box toward points inside the box."""
    generator = torch.Generator().manual_seed(4)
    origins = 3 * F.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    toward = torch.rand(count, 3, generator=generator) * 1.6 - 0.8
    return origins, F.normalize(toward - origins, dim=-1)


BALL = Ball(torch.tensor([1.0, 0.0, 0.0]), 0.5, white)
DISC = Disc(torch.tensor([0.0, 0.0, -1.0]), 2.0, white)
BOX = Box(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1.0, 2.0, 3.0]), white)


@pytest.mark.parametrize(
    "solid, origin, direction, distance, normal",
    [
        pytest.param(BALL, [3.0, 0, 0], [-1.0, 0, 0], 1.5, [1, 0, 0], id="ball"),
        pytest.param(BALL, [3.0, 0.3, 0], [-1.0, 0, 0], 1.6, [0.8, 0.6, 0], id="ball off its center"),
        pytest.param(BALL, [3.0, 0.51, 0], [-1.0, 0, 0], math.inf, None, id="ball missed"),
        pytest.param(BALL, [3.0, 0, 0], [1.0, 0, 0], math.inf, None, id="ball behind"),
        pytest.param(DISC, [0.0, 0, 1], [0.0, 3, -4], 2.5, [0, 0, 1], id="disc"),
        pytest.param(DISC, [0.0, 0, 1], [0.0, 4, -3], math.inf, None, id="disc missed"),
        pytest.param(DISC, [0.0, 0, 1], [0.0, 1, 0], math.inf, None, id="disc parallel"),
        pytest.param(DISC, [0.0, 0, -1], [0.0, 1, 0], math.inf, None, id="within the disc"),
        pytest.param(BOX, [5.0, 0, 0], [-1.0, 0, 0], 4, [1, 0, 0], id="box from +x"),
        pytest.param(BOX, [0.0, -3, 0], [0.0, 1, 0], 1, [0, -1, 0], id="box from -y"),
        pytest.param(BOX, [0.5, 1, 5], [0.0, 0, -1], 2, [0, 0, 1], id="box from +z"),
        pytest.param(BOX, [2.0, -3, 0], [0.0, 1, 0], math.inf, None, id="box missed"),
    ],
)
def test_the_closest_intersection_of_a_ray_with_a_solid(
    solid: Solid, origin: list[float], direction: list[float], distance: float, normal: list[float] | None
) -> None:
    found, facing = intersect(solid, origin, direction)
    assert found == pytest.approx(distance, abs=1e-6)
    if normal is not None:
        assert facing == pytest.approx(normal, abs=1e-6)


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_inside_the_box_and_faces_the_eye(name: str) -> None:
    origins, directions = rays()
    hits = build_scene(name, 8.0, 0).trace(origins, directions)
    near, far = ray_box(origins, directions, -1.0, 1.0)
    distance = hits.distance[hits.hit]
    assert hits.hit.sum() > 100
    assert (near[hits.hit] <= distance).all() and (distance <= far[hits.hit]).all()
    torch.testing.assert_close(hits.normal[hits.hit].norm(dim=-1), torch.ones(len(distance)))
    assert (hits.normal[~hits.hit] == 0).all() and (hits.color[~hits.hit] == 0).all()
    assert hits.color.min() >= 0 and hits.color.max() <= 1
    # The tolerance covers float32. Rays from below hit the back of the disc.
    facing = (hits.normal * directions).sum(dim=-1)[hits.hit]
    below = origins[hits.hit, 2] < GROUND
    assert (facing[~below] < 1e-5).all()


def test_the_color_is_a_wave_along_each_axis_from_every_direction() -> None:
    origins, directions = rays()
    hits = build_scene("checker", 5.0, 0).trace(origins, directions)
    points = (origins + hits.distance[:, None] * directions)[hits.hit]
    expected = 0.5 + 0.5 * torch.cos(math.pi * 5 * points)
    # The tolerance is the float32 error at distance 3, times the phase's slope of 16.
    torch.testing.assert_close(hits.color[hits.hit], expected, atol=1e-4, rtol=0)


def test_the_rotated_scene_equals_the_plain_scene_under_rotated_rays() -> None:
    origins, directions = rays()
    half = math.sqrt(0.5)
    turn = torch.tensor([[half, -half, 0.0], [half, half, 0.0], [0.0, 0.0, 1.0]])
    plain = build_scene("checker", 8.0, 0).trace(origins, directions)
    turned = build_scene("rotated", 8.0, 0).trace(origins @ turn.T, directions @ turn.T)
    edge = plain.hit != turned.hit
    assert edge.float().mean() < 1e-3
    both = plain.hit & turned.hit
    # The tolerances cover float32.
    torch.testing.assert_close(turned.normal[both], plain.normal[both] @ turn.T, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned.color[both], plain.color[both], atol=1e-3, rtol=0)


def test_shine_moves_with_the_eye_and_shade_does_not() -> None:
    """Two eyes look at one point of the red ball: along the mirrored sun, and aside."""
    red, sun = torch.tensor([0.8, 0.2, 0.2]), torch.tensor(SUN)
    # The highlight is brightest if the normal halves the angle between the eye and the sun.
    normal = F.normalize(sun + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    point = torch.tensor([0.45, 0.0, -0.25]) + 0.35 * normal
    eyes = torch.stack(
        [torch.tensor([0.0, 0.0, 1.0]), F.normalize(2 * normal - sun + torch.tensor([-1.0, 1, 0]), dim=-1)]
    )
    hits = build_scene("shine", 8.0, 0).trace(point + 2 * eyes, -eyes)
    torch.testing.assert_close(hits.distance, torch.tensor([2.0, 2.0]))
    shade = red * (AMBIENT + (1 - AMBIENT) * (normal @ sun))
    # Phong's cosine is 1 for the first eye; the red channel is full there.
    torch.testing.assert_close(hits.color[0], (shade + 0.7).clamp(max=1))
    assert (hits.color[1] < hits.color[0] - 0.05).any() and (hits.color[1] >= shade - 1e-6).all()


def test_the_fence_has_thin_bars_with_gaps() -> None:
    """Rays from the side, at the height of the bars, hit bars, gaps and the ball behind."""
    y = torch.linspace(-0.59, 0.59, 4000)
    origins = torch.stack([torch.full_like(y, 3.0), y, torch.full_like(y, -0.2)], dim=-1)
    hits = build_scene("fence", 8.0, 0).trace(origins, torch.tensor([[-1.0, 0.0, 0.0]]).expand_as(origins))
    bars = (hits.distance - (3 - 0.615)).abs() < 1e-4
    # Bars take 0.03 of a pitch of 1.2 / 7.
    assert bars.float().mean() == pytest.approx(0.03 * 7 / 1.2, rel=0.1)
    assert (~bars & hits.hit).any()


def test_the_words_can_be_read_from_outside() -> None:
    """Ink on the face toward +x runs along +y, to the right of a viewer, and lines run down."""
    from coordnet.signals.images.analytic import text
    from coordnet.signals.synthetic.scenes import TEXTURE_SIZE

    page = text(TEXTURE_SIZE, 1, font_size=TEXTURE_SIZE / 9, seed=0).pixels[..., 0]
    place = 0.6 * ((2 * torch.arange(TEXTURE_SIZE) + 1) / TEXTURE_SIZE - 1)
    z, y = torch.meshgrid(-place, place, indexing="ij")
    origins = torch.stack([torch.full_like(y, 3.0), y, z], dim=-1).reshape(-1, 3)
    hits = build_scene("text", 8.0, 0).trace(origins, torch.tensor([[-1.0, 0.0, 0.0]]).expand_as(origins))
    seen = hits.color[:, 0].reshape(TEXTURE_SIZE, TEXTURE_SIZE)
    # The tolerance is the float32 error of positions on pixels of 1 / 512.
    torch.testing.assert_close(seen, page, atol=2e-3, rtol=0)


def test_cameras_look_at_the_middle_with_z_up() -> None:
    poses = spiral_poses(20, 2.7, (5.0, 75.0), turn=1.0)
    torch.testing.assert_close(poses[:, :, 3], 2.7 * poses[:, :, 2])
    rotation = poses[:, :, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(20, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(20))
    elevation = torch.asin(poses[:, 2, 2]).rad2deg()
    assert (elevation > 5).all() and (elevation < 75).all() and (poses[:, 2, 1] > 0).all()
    assert (poses[:, 2, 0].abs() < 1e-6).all()


def test_the_ground_is_below() -> None:
    """Pictures are right side up: the disc's near rim is lower in the picture than the ball's top."""
    signal = synthetic_scene("checker", **SMALL)
    ball, rim = torch.tensor([0.0, 0.0, 0.6]), torch.tensor([0.0, 0.0, GROUND])
    for i in range(3):
        seen = signal.train.cameras.project(torch.stack([ball, rim]), torch.tensor([i, i]))
        assert seen[0, 1] < seen[1, 1]


@pytest.mark.parametrize("name", SCENES)
def test_pixels_are_means_of_exact_colors(name: str) -> None:
    """An opaque pixel holds the mean color to half a step of a byte, on every background."""
    signal = synthetic_scene(name, **{**SMALL, "num_views": 1})  # type: ignore[arg-type]
    cameras = signal.train.cameras
    corners = cameras.pixels()[:, None] + torch.tensor(
        [[-0.25, -0.25], [-0.25, 0.25], [0.25, -0.25], [0.25, 0.25]]
    )
    places = corners.reshape(-1, 2)
    hits = build_scene(name, 8.0, 0).trace(*cameras.rays(torch.zeros(len(places), dtype=torch.long), places))
    opaque = hits.hit.reshape(-1, 4).all(dim=1)
    mean = hits.color.reshape(-1, 4, 3).mean(dim=1)
    batch = signal.get_batch(torch.arange(16 * 16))
    assert opaque.sum() > 10
    assert (batch["value"] - mean)[opaque].abs().max() < 1 / 510 + 1e-6


def test_held_out_cameras_have_positions_of_their_own() -> None:
    signal = synthetic_scene("checker", **SMALL)
    positions = [views.cameras.poses[..., 3] for views in (signal.train, signal.held_out["val"])]
    assert torch.cdist(positions[0], positions[1]).min() > 0.05


def test_the_yaml_builds_it() -> None:
    overrides = [f"signal.{key}={value}" for key, value in SMALL.items()]
    signal = build(make_config("signal=scene", "signal.scene=fence", *overrides)["signal"], "signal")
    assert isinstance(signal, PosedImages) and signal.num_observations == 3 * 16 * 16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scene": "teapot"}, "scene='teapot' must be one of checker"),
        ({"size": 4}, "size=4"),
        ({"num_views": 0}, "num_views=0"),
        ({"num_eval_views": 0}, "num_eval_views=0"),
        ({"frequency": -1.0}, "frequency=-1.0"),
        ({"radius": 1.0}, "radius=1.0"),
        ({"elevation": [10.0]}, r"elevation=\[10.0\]"),
        ({"elevation": [20.0, 10.0]}, r"elevation=\[20.0, 10.0\]"),
        ({"supersample": 0}, "supersample=0"),
        ({"seed": -1}, "seed=-1"),
        ({"size": 2048, "num_views": 4000}, "size=2048 with 4000 views takes"),
    ],
)
def test_options_that_cannot_be_met_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        synthetic_scene(**{"scene": "checker", **SMALL, **options})


def make_scene(folder: Path, *options: str) -> Any:
    small = ("--size", "16", "--num-views", "3", "--num-eval-views", "2", "--supersample", "2")
    return coordnet("make-scene", "shine", str(folder), *small, *options, cwd=folder.parent)


def test_a_scene_that_is_written_and_read_back_is_the_same(tmp_path: Path) -> None:
    assert make_scene(tmp_path / "out").returncode == 0
    written, made = blender(str(tmp_path / "out")), synthetic_scene("shine", **SMALL)
    index = torch.arange(made.num_observations)
    expected, found = made.get_batch(index), written.get_batch(index)
    for name, tolerance in {"origins": 1e-5, "directions": 1e-5, "value": 1 / 510}.items():
        torch.testing.assert_close(found[name], expected[name], atol=tolerance, rtol=0)
    assert set(written.held_out) == {"val", "test"}
    assert torch.equal(written.held_out["val"].images, made.held_out["val"].images)
    assert not torch.equal(written.held_out["test"].images, made.held_out["val"].images)
    assert imageio.imread(tmp_path / "out" / "train" / "r_2.png").shape == (16, 16, 4)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    refused = make_scene(tmp_path / "out")
    assert refused.returncode == 2 and "exists" in refused.stderr and "Traceback" not in refused.stderr
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "options, message",
    [
        (("--elevation", "20", "10"), "--elevation=[20.0, 10.0] must be [lowest, highest]"),
        (("--size", "3"), "--size=3"),
        (("--num-eval-views", "0"), "--num-eval-views=0"),
        (("--seed", "-2"), "--seed=-2"),
    ],
)
def test_a_scene_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    refused = make_scene(tmp_path / "out", *options)
    assert refused.returncode == 2 and message in refused.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_scene_is_refused_by_the_name_of_its_argument(tmp_path: Path) -> None:
    refused = coordnet("make-scene", "teapot", "out", cwd=tmp_path)
    assert refused.returncode == 2 and "SCENE='teapot' must be one of checker" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_each_split_has_views_of_its_own() -> None:
    options: dict[str, Any] = {"size": 8, "num_views": 1, "num_eval_views": 1, "supersample": 1}
    views = [render_split("checker", split, **options) for split in SPLITS]
    positions = torch.cat([split.cameras.poses[..., 3] for split in views])
    assert (torch.cdist(positions, positions) + 9 * torch.eye(3)).min() > 0.05
