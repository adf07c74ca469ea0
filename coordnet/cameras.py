"""Pinhole cameras and the rays of their pixels, and where a ray meets a box or a sphere.

Inside, cameras have OpenGL's axes: x to the right, y up, and they look along -z. OpenCV's and COLMAP's have y down and
look along +z: see `from_opencv`. A pixel (column, row), counted from the upper left corner, has its center at
(column + 0.5, row + 0.5).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

# Newton's method doubles the digits at each: more than enough for lenses that OpenCV's model describes.
ITERATIONS = 8
# Mean square of cameras' x axes along a second direction; below, they look in parallel and may lean either way.
PARALLEL = 0.03


@dataclass(frozen=True, eq=False)
class Cameras:
    """n cameras with one image size.

    Args:
        poses: Camera to world, (n, 3, 4): a rotation beside the position, in world units; float64 as files have them.
        focal: fx and fy in pixels, (n, 2).
        center: cx and cy in pixels, (n, 2): where the optical axis meets the image.
        size: (width, height) in pixels.
        distortion: OpenCV's k1, k2, p1, p2, k3, (n, 5); None where lenses are perfect.
    """

    poses: Tensor
    focal: Tensor
    center: Tensor
    size: tuple[int, int]
    distortion: Tensor | None = None

    def __len__(self) -> int:
        return len(self.poses)

    def take(self, index: Tensor) -> "Cameras":
        """Those with index (k,)."""
        distortion = None if self.distortion is None else self.distortion[index]
        return Cameras(self.poses[index], self.focal[index], self.center[index], self.size, distortion)

    def resized(self, size: tuple[int, int]) -> "Cameras":
        """The same views in images of another (width, height)."""
        scale = torch.tensor(size) / torch.tensor(self.size)
        return replace(self, focal=self.focal * scale, center=self.center * scale, size=size)

    def boxed(self, center: Tensor, half_size: float) -> "Cameras":
        """In coordinates (x - center) / half_size, which bring a cube of the world into [-1, 1]^3, and in float32.

        Poses and center (3,) in float64 are rounded after that, so a world may be far from its 0.
        """
        rotation, position = self.poses.split([3, 1], dim=-1)
        poses = torch.cat([rotation, (position - center[:, None]) / half_size], dim=-1)
        return replace(self, poses=poses.float())

    def pixels(self) -> Tensor:
        """The centers of all pixels, row by row: (height * width, 2)."""
        width, height = self.size
        columns, rows = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
        return torch.stack([columns, rows], dim=-1).reshape(-1, 2) + 0.5

    def rays(self, camera: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
        """Origins (m, 3) and unit directions (m, 3) in the world, of pixels (m, 2) of the cameras with index (m,)."""
        rotation, position = self.poses[camera].split([3, 1], dim=-1)
        plane = (pixel - self.center[camera]) / self.focal[camera]
        if self.distortion is not None:
            plane = undistorted(plane, self.distortion[camera])
        x, y = plane.unbind(-1)
        local = torch.stack([x, -y, -torch.ones_like(x)], dim=-1)
        return position[..., 0], F.normalize((rotation * local[:, None]).sum(dim=-1), dim=-1)

    def project(self, points: Tensor, camera: Tensor) -> Tensor:
        """Pixels (m, 2) at which cameras with index (m,) see points (m, 3); NaN where a point is not before them."""
        rotation, position = self.poses[camera].split([3, 1], dim=-1)
        x, y, z = (rotation * (points[..., None] - position)).sum(dim=-2).unbind(-1)
        ahead = torch.where(z < 0, -z, torch.nan)
        plane = torch.stack([x / ahead, -y / ahead], dim=-1)
        if self.distortion is not None:
            plane = distorted(plane, self.distortion[camera])
        return plane * self.focal[camera] + self.center[camera]


def from_opencv(poses: Tensor) -> Tensor:
    """Poses (*, 3, 4) of cameras with y down that look along +z, in our axes; and back, as it is its own inverse."""
    return poses * poses.new_tensor([1, -1, -1, 1])


def facing(positions: Tensor, up: Tensor) -> Tensor:
    """Poses (n, 3, 4) of level cameras at positions (n, 3) that look at 0; up (3,) has length 1 and is up."""
    back = F.normalize(positions, dim=-1)
    right = F.normalize(torch.linalg.cross(up.expand_as(back), back), dim=-1)
    return torch.stack([right, torch.linalg.cross(back, right), back, positions], dim=-1)


def circle(count: int, radius: float, elevation: float, up: Tensor) -> Tensor:
    """Poses (count, 3, 4) on a circle above 0 which they look at, evenly spaced and counter-clockwise seen from above.

    Args:
        count: At least 1.
        radius: Distance from 0.
        elevation: Above the plane through 0, in degrees, between -90 and 90.
        up: (3,) of length 1.
    """
    level = up.abs().argmin()
    first = F.normalize(torch.eye(3)[level] - up[level] * up, dim=0)
    turn = 2 * math.pi * torch.arange(count)[:, None] / count
    across = turn.cos() * first + turn.sin() * torch.linalg.cross(up, first)
    angle = math.radians(elevation)
    return facing(radius * (math.cos(angle) * across + math.sin(angle) * up), up)


def upright(poses: Tensor) -> Tensor:
    """The direction (3,) of length 1 that is up for level cameras with poses (n, 3, 4).

    It is the one that is most nearly perpendicular to the x axes of all; where those are alike, the part of the mean
    y axis that is perpendicular to them.
    """
    x, y = poses[..., 0], poses[..., 1].mean(dim=0)
    spread, directions = torch.linalg.eigh(x.T @ x / len(x))
    if spread[1] < PARALLEL:
        return F.normalize(y - (y @ directions[:, 2]) * directions[:, 2], dim=0)
    return directions[:, 0] * (1 if directions[:, 0] @ y > 0 else -1)


def distorted(plane: Tensor, coefficients: Tensor) -> Tensor:
    """Where a lens with k1, k2, p1, p2, k3 (*, 5) puts points (*, 2) of the image plane at distance 1; y down.

    The model of Brown and Conrady, as OpenCV has it: radial terms in even powers of the radius, and tangential ones.
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
    """The inverse of `distorted`, by Newton's method from the distorted point."""
    found = plane
    for _ in range(ITERATIONS):
        xx, xy, yy = jacobian(found, coefficients)
        dx, dy = (distorted(found, coefficients) - plane).unbind(-1)
        step = torch.stack([yy * dx - xy * dy, xx * dy - xy * dx], dim=-1)
        found = found - step / (xx * yy - xy**2)[..., None]
    return found


def jacobian(plane: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives xx, xy = yx and yy of `distorted`, each (*)."""
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
    """The stretch [near, far] (m,) of each ray from origins (m, 3) inside the box from low to high, faces included.

    In units of the length of directions (m, 3). It starts at 0 where the origin is inside; where a ray misses the box,
    or leaves it behind, near = far = 0.
    """
    parallel = directions == 0
    inside = (low <= origins) & (origins <= high)
    endless = torch.where(inside, torch.inf, -torch.inf)
    slopes = torch.where(parallel, 1, directions)
    first, second = (low - origins) / slopes, (high - origins) / slopes
    enter = torch.where(parallel, -endless, torch.minimum(first, second)).amax(dim=-1)
    leave = torch.where(parallel, endless, torch.maximum(first, second)).amin(dim=-1)
    return stretch(enter, leave)


def ray_sphere(origins: Tensor, directions: Tensor, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """The same for the ball of that radius around 0; directions have length 1."""
    middle = -(origins * directions).sum(dim=-1)
    # From the ray's nearest point, as b^2 - c would cancel far from the ball.
    foot = origins + middle[:, None] * directions
    half = (radius**2 - foot.square().sum(dim=-1)).clamp(min=0).sqrt()
    return stretch(middle - half, middle + half)


def stretch(enter: Tensor, leave: Tensor) -> tuple[Tensor, Tensor]:
    near = enter.clamp(min=0)
    hit = leave > near
    return torch.where(hit, near, 0), torch.where(hit, leave, 0)
