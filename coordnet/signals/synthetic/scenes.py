"""Synthetic scenes with the exact color, depth and normal of every ray in closed form.

Scenes lie in the box [-1, 1]^3 with z up. Frequencies are in cycles across the box, so a wave of frequency f has phase
pi f x.

- "checker" is a ball on a disc, with a red wave along x, a green wave along y and a blue wave along z.
- "rotated" is "checker", rotated by 45 degrees about z.
- "shine" has three balls with highlights of three sizes.
- "fence" is a ball behind thin bars.
- "text" is a cube with words on each face.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.errors import OptionError
from coordnet.signals.images.analytic import text
from coordnet.signals.synthetic.solids import Albedo, Ball, Box, Disc, Hits, Solid, closest_hit

# Unit vector toward the sun.
SUN = (2 / 3, -1 / 3, 2 / 3)
# Share of a color that is left in the shade.
AMBIENT = 0.45
# Brightness at the center of a highlight.
HIGHLIGHT = 0.7
# Height of the ground disc.
GROUND = -0.6
# Side of the page of text, in pixels.
TEXTURE_SIZE = 512


class Scene:
    """Opaque solids under one sun.

    Args:
        solids: At least one solid, inside the unit cylinder around z.
        lit: True shades colors by the sun and adds Phong highlights, which move with the eye. False leaves the albedo,
            which is the same from every direction.
        rotation: Rotation of solids and sun in degrees about z, counter-clockwise from above.
    """

    def __init__(self, solids: list[Solid], lit: bool = True, rotation: float = 0.0) -> None:
        self.solids = solids
        self.lit = lit
        cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        self.rotation = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def trace(self, origins: Tensor, directions: Tensor) -> Hits:
        """The closest hits of rays from origins (m, 3) along unit directions (m, 3)."""
        origins, directions = origins @ self.rotation, directions @ self.rotation
        hits, index = closest_hit(self.solids, origins, directions)
        color = self._shade(hits, index, directions) if self.lit else hits.color
        return Hits(hits.distance, hits.normal @ self.rotation.T, color)

    def _shade(self, hits: Hits, index: Tensor, directions: Tensor) -> Tensor:
        """Lambert's and Phong's terms (m, 3) in [0, 1] for hits on the solids with index (m,)."""
        sun = torch.tensor(SUN)
        facing = (hits.normal @ sun).clamp(min=0)
        color = hits.color * (AMBIENT + (1 - AMBIENT) * facing[:, None])
        mirrored = directions - 2 * (directions * hits.normal).sum(dim=-1, keepdim=True) * hits.normal
        shininess = torch.tensor([solid.shininess for solid in self.solids])[index]
        lobe = (mirrored @ sun).clamp(min=0) ** shininess
        highlight = HIGHLIGHT * lobe * ((shininess > 0) & (facing > 0))
        return (color + hits.hit[:, None] * highlight[:, None]).clamp(max=1)


def _checker(frequency: float, seed: int) -> Scene:
    """A ball on a disc, both with a wave along each axis and without lighting."""
    albedo = _waves(frequency)
    return Scene([Ball(_point(0, 0, 0), 0.6, albedo), Disc(_point(0, 0, GROUND), 0.95, albedo)], lit=False)


def _rotated(frequency: float, seed: int) -> Scene:
    """The scene "checker", rotated by 45 degrees about z, so that waves run along the diagonals of x and y."""
    return Scene(_checker(frequency, seed).solids, lit=False, rotation=45)


def _shine(frequency: float, seed: int) -> Scene:
    """Three balls with highlights of three sizes, above a disc with waves."""
    balls: list[Solid] = [
        Ball(_point(0.45, 0.0, -0.25), 0.35, _uniform(0.8, 0.2, 0.2), shininess=5),
        Ball(_point(-0.3, 0.45, -0.25), 0.35, _uniform(0.2, 0.7, 0.3), shininess=20),
        Ball(_point(-0.3, -0.45, -0.25), 0.35, _uniform(0.2, 0.3, 0.8), shininess=80),
    ]
    return Scene([*balls, Disc(_point(0, 0, GROUND), 0.95, _waves(frequency))])


def _fence(frequency: float, seed: int) -> Scene:
    """A ball with waves behind bars 0.03 thick, 7 on each of four sides, and a rail around the top."""
    half, side, top = 0.015, 0.6, 0.3
    bars: list[Solid] = []
    for x in torch.linspace(-side, side, 8)[:-1].tolist():
        for foot in ((x, -side), (side, x), (-x, side), (-side, -x)):
            low = _point(foot[0] - half, foot[1] - half, GROUND)
            high = _point(foot[0] + half, foot[1] + half, top)
            bars.append(Box(low, high, _uniform(0.75, 0.45, 0.2)))
    rail = _uniform(0.9, 0.85, 0.3)
    for sign in (-1, 1):
        extent = _point(side + half, half, half)
        middle = _point(0, sign * side, top)
        bars.append(Box(middle - extent, middle + extent, rail))
        bars.append(Box((middle - extent)[[1, 0, 2]], (middle + extent)[[1, 0, 2]], rail))
    ball = Ball(_point(0, 0, GROUND + 0.4), 0.4, _waves(frequency))
    return Scene([ball, Disc(_point(0, 0, GROUND), 0.95, _uniform(0.5, 0.6, 0.5)), *bars])


def _lettering(frequency: float, seed: int) -> Scene:
    """A cube with words on each face."""
    letters = text(TEXTURE_SIZE, 1, font_size=TEXTURE_SIZE / 9, seed=seed).pixels
    half = 0.6

    def albedo(points: Tensor, normals: Tensor) -> Tensor:
        upright = normals[:, 2:].abs() < 0.5
        up = torch.where(upright, _point(0, 0, 1), _point(0, 1, 0))
        right = torch.linalg.cross(up, normals)
        u, v = ((points * axis).sum(dim=-1) / half for axis in (right, up))
        uv = torch.stack([u, -v], dim=-1)[None, None]
        texture = letters.permute(2, 0, 1)[None]
        ink = F.grid_sample(texture, uv, padding_mode="border", align_corners=False)[0, 0, 0]
        return ink[:, None] * (0.75 + 0.25 * normals)

    return Scene([Box(_point(-half, -half, -half), _point(half, half, half), albedo)], lit=False)


SCENES: Mapping[str, Callable[[float, int], Scene]] = {
    "checker": _checker,
    "rotated": _rotated,
    "shine": _shine,
    "fence": _fence,
    "text": _lettering,
}


def build_scene(name: str, frequency: float, seed: int) -> Scene:
    """Build a synthetic scene.

    Args:
        name: One of the keys of `SCENES`.
        frequency: Frequency of the waves, in cycles across the box.
        seed: Seed of the words of "text".

    Raises:
        OptionError: No scene has that name.
    """
    if name not in SCENES:
        raise OptionError("scene", name, f"must be one of {', '.join(SCENES)}")
    return SCENES[name](frequency, seed)


def _waves(frequency: float) -> Albedo:
    """Red, green and blue waves 1/2 + 1/2 cos(pi f x) along x, y and z."""
    return lambda points, normals: 0.5 + 0.5 * torch.cos(math.pi * frequency * points)


def _uniform(red: float, green: float, blue: float) -> Albedo:
    return lambda points, normals: torch.tensor([red, green, blue]).expand_as(points)


def _point(x: float, y: float, z: float) -> Tensor:
    return torch.tensor([x, y, z], dtype=torch.float32)
