import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from coordnet.cameras import (
    Cameras,
    distorted,
    estimate_up,
    from_opencv,
    orbit_poses,
    ray_box,
    ray_sphere,
    undistorted,
)

# k1, k2, p1, p2, k3: a wide lens with a strong barrel.
LENS = torch.tensor([[-0.2, 0.05, 0.01, -0.005, 0.002]])


def turned(count: int) -> Tensor:
    """Random rotations with det 1 beside random positions, (count, 3, 4)."""
    generator = torch.Generator().manual_seed(5)
    rotation, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    rotation = rotation * torch.linalg.det(rotation)[:, None, None]
    return torch.cat([rotation, torch.randn(count, 3, 1, generator=generator)], dim=-1)


def cameras(count: int = 4, distortion: Tensor | None = None) -> Cameras:
    focal = torch.tensor([[60.0, 55.0]]) + torch.arange(count)[:, None]
    center = torch.tensor([[33.0, 21.5]]).repeat(count, 1)
    lens = None if distortion is None else distortion.repeat(count, 1)
    return Cameras(turned(count), focal, center, (64, 48), lens)


# The camera stands at (1, 2, 3) and looks along the world's +y; the world's z is up in its image.
OPENGL = torch.tensor([[[1.0, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3]]])
OPENCV = torch.tensor([[[1.0, 0, 0, 1], [0, 0, 1, 2], [0, -1, 0, 3]]])


@pytest.mark.parametrize("poses", [OPENGL, from_opencv(OPENCV)], ids=["opengl", "opencv"])
def test_a_known_point_is_seen_at_the_right_pixel(poses: Tensor) -> None:
    made = Cameras(poses, torch.tensor([[100.0, 50.0]]), torch.tensor([[40.0, 30.0]]), (80, 60))
    # 4 ahead, 0.4 to the right and 0.8 up: 100 * 0.1 to the right and 50 * 0.2 up of the center.
    pixel = made.project(torch.tensor([[1.4, 6.0, 3.8]]), torch.tensor([0]))
    # Float32.
    torch.testing.assert_close(pixel, torch.tensor([[50.0, 20.0]]), atol=1e-4, rtol=0)
    origins, directions = made.rays(torch.tensor([0]), torch.tensor([[40.0, 30.0]]))
    torch.testing.assert_close(origins, torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(directions, torch.tensor([[0.0, 1.0, 0.0]]))


def test_opencv_axes_there_and_back_are_the_same() -> None:
    torch.testing.assert_close(from_opencv(from_opencv(turned(3))), turned(3))


@pytest.mark.parametrize("lens", [None, LENS], ids=["perfect", "distorted"])
def test_rays_and_project_invert_each_other(lens: Tensor | None) -> None:
    made = cameras(4, lens)
    camera = torch.arange(4).repeat_interleave(64 * 48)
    pixel = made.pixels().repeat(4, 1)
    origins, directions = made.rays(camera, pixel)
    seen = made.project(origins + 3.7 * directions, camera)
    # Float32, over 64 pixels.
    torch.testing.assert_close(seen, pixel, atol=2e-3, rtol=0)


@pytest.mark.parametrize("lens", [None, LENS], ids=["perfect", "distorted"])
def test_directions_have_length_one(lens: Tensor | None) -> None:
    made = cameras(1, lens)
    origins, directions = made.rays(torch.zeros(64 * 48, dtype=torch.long), made.pixels())
    # Float32.
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(64 * 48), atol=1e-6, rtol=0)
    torch.testing.assert_close(origins, made.poses[0, :, 3].expand(64 * 48, 3))


def test_pixels_are_centers_row_by_row() -> None:
    pixels = replace(cameras(), size=(3, 2)).pixels()
    assert pixels.tolist() == [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]


def test_opposite_pixels_of_a_centered_camera_mirror_each_other() -> None:
    made = Cameras(OPENGL, torch.tensor([[50.0, 50.0]]), torch.tensor([[2.0, 1.0]]), (4, 2))
    directions = made.rays(torch.zeros(8, dtype=torch.long), made.pixels())[1]
    torch.testing.assert_close(directions.flip(0), directions * torch.tensor([-1.0, 1.0, -1.0]))
    # The first pixel is at the upper left.
    assert directions[0, 0] < 0 < directions[0, 2]


def test_a_point_behind_the_camera_is_seen_nowhere() -> None:
    made = Cameras(OPENGL, torch.tensor([[50.0, 50.0]]), torch.tensor([[2.0, 1.0]]), (4, 2))
    assert made.project(torch.tensor([[1.0, -4.0, 3.0]]), torch.tensor([0])).isnan().all()


def test_the_distortion_is_that_of_opencv() -> None:
    x, y, (k1, k2, p1, p2, k3) = 0.3, -0.2, LENS[0].tolist()
    r = math.hypot(x, y)
    radial = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6
    expected = [
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    ]
    torch.testing.assert_close(distorted(torch.tensor([[x, y]]), LENS), torch.tensor([expected]))


def test_undistortion_inverts_distortion_to_rounding() -> None:
    plane = torch.rand(1000, 2, generator=torch.Generator().manual_seed(1)).double() * 1.4 - 0.7
    found = undistorted(distorted(plane, LENS.double()), LENS.double())
    # Float64.
    torch.testing.assert_close(found, plane, atol=1e-12, rtol=0)


def test_another_image_size_keeps_the_rays() -> None:
    made = cameras(1, LENS)
    first, second = torch.tensor([[40.0, 10.0]]), torch.tensor([[20.0, 2.5]])
    camera = torch.tensor([0])
    for a, b in zip(made.rays(camera, first), made.resized((32, 12)).rays(camera, second), strict=True):
        torch.testing.assert_close(a, b)


def test_the_box_of_the_scene_moves_origins_and_keeps_directions() -> None:
    made, center = cameras(), torch.tensor([1.0, -2.0, 0.5])
    camera, pixel = torch.arange(4), torch.full((4, 2), 7.5)
    origins, directions = made.rays(camera, pixel)
    boxed = made.normalized_to(center, 2.0).rays(camera, pixel)
    torch.testing.assert_close(boxed[0], (origins - center) / 2)
    torch.testing.assert_close(boxed[1], directions)


def test_some_of_the_cameras() -> None:
    made = cameras(4, LENS)
    taken = made[torch.tensor([2, 0])]
    assert len(taken) == 2
    torch.testing.assert_close(
        taken.rays(torch.tensor([0]), torch.tensor([[3.0, 4.0]])),
        made.rays(torch.tensor([2]), torch.tensor([[3.0, 4.0]])),
    )


BOX = (torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "origin, direction, near, far",
    [
        pytest.param([-3, 0, 0], [1, 0, 0], 2, 4, id="through"),
        pytest.param([0, 0, 0], [0, 1, 0], 0, 2, id="from inside"),
        pytest.param([0, -5, 0], [0, 0.6, 0.8], 5, 3.75, id="misses in front"),
        pytest.param([-2, -3, 0], [0.6, 0.8, 0], 5 / 3, 5, id="oblique: y at 1.25, x at 5/3; x leaves at 5"),
        pytest.param([3, 0, 0], [1, 0, 0], 0, 0, id="behind"),
        pytest.param([-3, 2, 0], [1, 0, 0], 2, 4, id="along a face"),
        pytest.param([-3, 2, 0], [1, -0.0, 0], 2, 4, id="along a face, negative zero"),
        pytest.param([-3, 2.01, 0], [1, 0, 0], 0, 0, id="parallel, outside"),
        pytest.param([-3, -2.01, 0], [1, 0, 0], 0, 0, id="parallel, outside below"),
        pytest.param([1, 0, 0], [1, 0, 0], 0, 0, id="leaves from a face"),
        pytest.param([1, 0, 0], [-1, 0, 0], 0, 2, id="enters from a face"),
    ],
)
def test_entry_and_exit_of_a_box(
    origin: list[float], direction: list[float], near: float, far: float
) -> None:
    found = ray_box(torch.tensor([origin]).float(), torch.tensor([direction]).float(), *BOX)
    expected = (near, far) if near < far else (0, 0)
    assert (found[0].item(), found[1].item()) == pytest.approx(expected, abs=1e-6)


def test_the_box_is_entered_and_left_at_its_faces() -> None:
    generator = torch.Generator().manual_seed(2)
    origins = 4 * torch.randn(2000, 3, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(2000, 3, generator=generator), dim=-1)
    near, far = ray_box(origins, directions, -1.0, 1.0)
    hit = far > near
    assert 50 < hit.sum() < 1950 and (near[~hit] == 0).all() and (far[~hit] == 0).all()
    for t in (near, far):
        reach = (origins + t[:, None] * directions)[hit & (t > 0)].abs().amax(dim=-1)
        # Float32, origins up to 15 away.
        torch.testing.assert_close(reach, torch.ones_like(reach), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "origin, direction, near, far",
    [
        pytest.param([-3, 0, 0], [1, 0, 0], 1, 5, id="through"),
        pytest.param([0, 1, 0], [0, 1, 0], 0, 1, id="from inside"),
        pytest.param([1.2, -3, 0], [0, 1, 0], 1.4, 4.6, id="off the center: half a chord of 1.6"),
        pytest.param([2.1, -3, 0], [0, 1, 0], 0, 0, id="misses"),
        pytest.param([0, 3, 0], [0, 1, 0], 0, 0, id="behind"),
    ],
)
def test_entry_and_exit_of_a_ball(
    origin: list[float], direction: list[float], near: float, far: float
) -> None:
    found = ray_sphere(torch.tensor([origin]).float(), torch.tensor([direction]).float(), radius=2.0)
    assert (found[0].item(), found[1].item()) == pytest.approx((near, far), abs=1e-5)


def rotation(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    return q * torch.linalg.det(q)


@pytest.mark.parametrize("up", [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8], [0.0, -0.6, 0.8]])
def test_a_circle_looks_at_the_middle_from_one_height_and_keeps_the_horizon_level(up: list[float]) -> None:
    vertical = torch.tensor(up)
    poses = orbit_poses(12, 3.0, 30.0, vertical)
    x, y, back, positions = poses.unbind(-1)
    rotations = poses[:, :, :3]
    torch.testing.assert_close(rotations.mT @ rotations, torch.eye(3).expand(12, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(12))
    torch.testing.assert_close(positions, 3 * back)
    torch.testing.assert_close(positions @ vertical, torch.full((12,), 1.5))
    torch.testing.assert_close(x @ vertical, torch.zeros(12), atol=1e-6, rtol=0)
    assert (y @ vertical > 0).all()
    # Evenly, and counter-clockwise around `up`.
    turned = torch.linalg.cross(positions, positions.roll(-1, dims=0)) @ vertical
    torch.testing.assert_close(turned, torch.full((12,), (3 * math.cos(math.pi / 6)) ** 2 / 2))


def test_up_is_what_level_cameras_agree_on() -> None:
    """Wherever they stand; their y axes alone would lean toward the side with more of them."""
    turn = rotation(3)
    poses = torch.cat([orbit_poses(9, 3.0, 40.0, turn[:, 2])[:4], orbit_poses(7, 2.0, -20.0, turn[:, 2])[:2]])
    torch.testing.assert_close(estimate_up(poses), turn[:, 2])


def test_up_of_cameras_in_parallel_is_up_in_their_pictures() -> None:
    turn = rotation(4)
    poses = torch.cat([turn, torch.zeros(3, 1)], dim=-1).expand(5, 3, 4)
    torch.testing.assert_close(estimate_up(poses), turn[:, 1])
    torch.testing.assert_close(estimate_up(poses[:1]), turn[:, 1])
