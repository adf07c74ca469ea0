"""Pinhole cameras, the rays of their pixels, and intersections of rays with a box or a sphere.

The axes of a camera are those of OpenGL: x points right, y points up, and the viewing direction is -z. OpenCV and
COLMAP have y down and the viewing direction +z; `from_opencv` converts poses. Pixel (column, row) counts from the upper
left corner, and has its center at (column + 0.5, row + 0.5).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

# Iterations of Newton's method, which doubles the correct digits each time.
_NEWTON_ITERATIONS = 8
# Cameras look in parallel if the mean square of their x axes along the second principal direction is below this.
_PARALLEL_SPREAD = 0.03


@dataclass(frozen=True, eq=False)
class Cameras:
    """n cameras with one image size.

    Args:
        poses: Matrices (n, 3, 4) from camera to world: a rotation beside the position, in world units. Poses from files
            are float64.
        focal: Focal lengths fx and fy (n, 2) in pixels.
        center: Principal points cx and cy (n, 2) in pixels, on the optical axis.
        size: Width and height of the images in pixels.
        distortion: Coefficients k1, k2, p1, p2, k3 (n, 5) of OpenCV's model; None for perfect lenses.
    """

    poses: Tensor
    focal: Tensor
    center: Tensor
    size: tuple[int, int]
    distortion: Tensor | None = None

    def __len__(self) -> int:
        return len(self.poses)

    def __getitem__(self, index: Tensor) -> "Cameras":
        """The cameras with index (k,)."""
        distortion = None if self.distortion is None else self.distortion[index]
        return Cameras(self.poses[index], self.focal[index], self.center[index], self.size, distortion)

    def resized(self, size: tuple[int, int]) -> "Cameras":
        """The same views in images with another width and height."""
        scale = torch.tensor(size) / torch.tensor(self.size)
        return replace(self, focal=self.focal * scale, center=self.center * scale, size=size)

    def normalized_to(self, center: Tensor, half_size: float) -> "Cameras":
        """The cameras in coordinates (x - center) / half_size, which map a cube of the world to [-1, 1]^3.

        The poses are rounded to float32 after the subtraction, so that a scene may be far from the world's origin.

        Args:
            center: Center (3,) of the cube, in world units.
            half_size: Half the side of the cube, in world units.
        """
        rotation, position = self.poses.split([3, 1], dim=-1)
        poses = torch.cat([rotation, (position - center[:, None]) / half_size], dim=-1)
        return replace(self, poses=poses.float())

    def pixels(self) -> Tensor:
        """Centers (height * width, 2) of all pixels, row by row."""
        width, height = self.size
        columns, rows = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
        return torch.stack([columns, rows], dim=-1).reshape(-1, 2) + 0.5

    def rays(self, camera: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Rays through pixels.

        Args:
            camera: Indices (m,) of the cameras.
            pixel: Positions (m, 2) in pixels, column before row.

        Returns:
            Origins (m, 3) and directions (m, 3) of length 1, in the world.
        """
        rotation, position = self.poses[camera].split([3, 1], dim=-1)
        plane = (pixel - self.center[camera]) / self.focal[camera]
        if self.distortion is not None:
            plane = undistorted(plane, self.distortion[camera])
        x, y = plane.unbind(-1)
        local = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
        return position[..., 0], F.normalize((rotation * local[:, None]).sum(dim=-1), dim=-1)

    def project(self, points: Tensor, camera: Tensor) -> Tensor:
        """Project points to pixels.

        Args:
            points: Points (m, 3) in the world.
            camera: Indices (m,) of the cameras.

        Returns:
            Positions (m, 2) in pixels; NaN for a point that is not in front of its camera.
        """
        rotation, position = self.poses[camera].split([3, 1], dim=-1)
        x, y, z = (rotation * (points[..., None] - position)).sum(dim=-2).unbind(-1)
        ahead = torch.where(z < 0, -z, torch.nan)
        plane = torch.stack([x / ahead, -y / ahead], dim=-1)
        if self.distortion is not None:
            plane = distorted(plane, self.distortion[camera])
        return plane * self.focal[camera] + self.center[camera]


def from_opencv(poses: Tensor) -> Tensor:
    """Convert poses (*, 3, 4) from OpenCV's axes to OpenGL's axes, or back: the conversion is its own inverse."""
    return poses * poses.new_tensor([1, -1, -1, 1])


def look_at(positions: Tensor, up: Tensor) -> Tensor:
    """Poses (n, 3, 4) of level cameras that look at the origin.

    Args:
        positions: Positions (n, 3), not on the line through the origin along `up`.
        up: Upward direction (3,) of length 1.
    """
    back = F.normalize(positions, dim=-1)
    right = F.normalize(torch.linalg.cross(up.expand_as(back), back), dim=-1)
    return torch.stack([right, torch.linalg.cross(back, right), back, positions], dim=-1)


def orbit_poses(count: int, radius: float, elevation: float, up: Tensor) -> Tensor:
    """Poses (count, 3, 4) of cameras on a circle that look at the origin.

    The cameras are evenly spaced, and counter-clockwise as seen from above.

    Args:
        count: Number of cameras, at least 1.
        radius: Distance from the origin.
        elevation: Angle above the plane through the origin, in degrees, between -90 and 90.
        up: Upward direction (3,) of length 1.
    """
    level = up.abs().argmin()
    first = F.normalize(torch.eye(3)[level] - up[level] * up, dim=0)
    turn = 2 * math.pi * torch.arange(count)[:, None] / count
    across = turn.cos() * first + turn.sin() * torch.linalg.cross(up, first)
    angle = math.radians(elevation)
    return look_at(radius * (math.cos(angle) * across + math.sin(angle) * up), up)


def estimate_up(poses: Tensor) -> Tensor:
    """Estimate the upward direction (3,) of length 1 from the poses (n, 3, 4) of level cameras.

    The estimate is the direction that is most nearly perpendicular to the x axes of all cameras. If the cameras look in
    parallel, the estimate is the part of their mean y axis that is perpendicular to their x axes.
    """
    x, y = poses[..., 0], poses[..., 1].mean(dim=0)
    spread, directions = torch.linalg.eigh(x.T @ x / len(x))
    if spread[1] < _PARALLEL_SPREAD:
        return F.normalize(y - (y @ directions[:, 2]) * directions[:, 2], dim=0)
    return directions[:, 0] * (1 if directions[:, 0] @ y > 0 else -1)


def distorted(plane: Tensor, coefficients: Tensor) -> Tensor:
    """Distorted positions (*, 2) of points in the image plane at distance 1, by OpenCV's model (Brown and Conrady).

    The model has radial terms in even powers of the radius, and tangential terms.

    Args:
        plane: Points (*, 2) with y down.
        coefficients: Coefficients k1, k2, p1, p2, k3 (*, 5).
    """
    x, y = plane.unbind(-1)
    k1, k2, p1, p2, k3 = coefficients.unbind(-1)
    square = x**2 + y**2
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x**2),
            y * radial + 2 * p2 * x * y + p1 * (square + 2 * y**2),
        ],
        dim=-1,
    )


def undistorted(plane: Tensor, coefficients: Tensor) -> Tensor:
    """Invert `distorted` by Newton's method, which starts at the distorted point."""
    found = plane
    for _ in range(_NEWTON_ITERATIONS):
        xx, xy, yy = distortion_jacobian(found, coefficients)
        dx, dy = (distorted(found, coefficients) - plane).unbind(-1)
        step = torch.stack([yy * dx - xy * dy, xx * dy - xy * dx], dim=-1)
        found = found - step / (xx * yy - xy**2)[..., None]
    return found


def distortion_jacobian(plane: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives xx, xy = yx and yy of `distorted`, each (*)."""
    x, y = plane.unbind(-1)
    k1, k2, p1, p2, k3 = coefficients.unbind(-1)
    square = x**2 + y**2
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    slope = 2 * (k1 + square * (2 * k2 + square * 3 * k3))
    return (
        radial + x**2 * slope + 2 * p1 * y + 6 * p2 * x,
        x * y * slope + 2 * p1 * x + 2 * p2 * y,
        radial + y**2 * slope + 6 * p1 * y + 2 * p2 * x,
    )


def ray_box(
    origins: Tensor, directions: Tensor, low: Tensor | float, high: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Intersect rays with a box, faces included.

    Args:
        origins: Origins (m, 3).
        directions: Directions (m, 3).
        low: Lower corner of the box.
        high: Upper corner of the box.

    Returns:
        Distances near and far (m,) in units of the length of the directions. An origin in the box has near = 0. A ray
        that misses the box, or leaves it behind the origin, has near = far = 0.
    """
    parallel = directions == 0
    inside = (low <= origins) & (origins <= high)
    endless = torch.where(inside, torch.inf, -torch.inf)
    slopes = torch.where(parallel, 1, directions)
    first, second = (low - origins) / slopes, (high - origins) / slopes
    enter = torch.where(parallel, -endless, torch.minimum(first, second)).amax(dim=-1)
    leave = torch.where(parallel, endless, torch.maximum(first, second)).amin(dim=-1)
    return _clip_near_far(enter, leave)


def ray_sphere(origins: Tensor, directions: Tensor, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """Intersect rays with the ball around the origin, as `ray_box` does; directions (m, 3) have length 1."""
    middle = -(origins * directions).sum(dim=-1)
    # The chord is computed from the ray's nearest point, because b^2 - c cancels far from the ball.
    nearest = origins + middle[:, None] * directions
    half = (radius**2 - nearest.square().sum(dim=-1)).clamp(min=0).sqrt()
    return _clip_near_far(middle - half, middle + half)


def _clip_near_far(enter: Tensor, leave: Tensor) -> tuple[Tensor, Tensor]:
    """Clip [enter, leave] (m,) to distances of at least 0; an empty interval becomes near = far = 0."""
    near = enter.clamp(min=0)
    hit = leave > near
    return torch.where(hit, near, 0), torch.where(hit, leave, 0)
