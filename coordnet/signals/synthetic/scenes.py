"""Scenes that are known exactly: color, depth and normals of any ray, in closed form.

They live in the box [-1, 1]^3 with z up. Frequencies are in cycles across the box, so that a wave of frequency f has
phase pi f x.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.errors import UserError
from coordnet.signals.images.analytic import text
from coordnet.signals.synthetic.solids import Ball, Box, Disc, Hits, Paint, Solid, first

# Toward the sun, of length 1.
SUN = (2 / 3, -1 / 3, 2 / 3)
# Of a lit color: what it has in the shade, and the brightness of a highlight.
AMBIENT, HIGHLIGHT = 0.45, 0.7
GROUND = -0.6
TEXTURE = 512


class Scene:
    """Solids, of which only the first that a ray meets is seen.

    Args:
        solids: At least one, inside the unit cylinder around z.
        lit: Colors are brightest where they face the sun, and shine in Phong's highlights, which move with the eye;
            otherwise they are the solids' own, the same from everywhere.
        rotation: Of the whole, in degrees about z, counter-clockwise seen from above. The sun turns with it.
    """

    def __init__(self, solids: list[Solid], lit: bool = True, rotation: float = 0.0) -> None:
        self.solids = solids
        self.lit = lit
        cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        self.rotation = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def trace(self, origins: Tensor, directions: Tensor) -> Hits:
        """What rays (m, 3) with unit directions (m, 3) meet."""
        origins, directions = origins @ self.rotation, directions @ self.rotation
        hits, which = first(self.solids, origins, directions)
        color = self.shaded(hits, which, directions) if self.lit else hits.color
        return Hits(hits.distance, hits.normal @ self.rotation.T, color)

    def shaded(self, hits: Hits, which: Tensor, directions: Tensor) -> Tensor:
        sun = torch.tensor(SUN)
        facing = (hits.normal @ sun).clamp(min=0)
        color = hits.color * (AMBIENT + (1 - AMBIENT) * facing[:, None])
        mirrored = directions - 2 * (directions * hits.normal).sum(dim=-1, keepdim=True) * hits.normal
        shine = torch.tensor([solid.shine for solid in self.solids])[which]
        highlight = HIGHLIGHT * (mirrored @ sun).clamp(min=0) ** shine * ((shine > 0) & (facing > 0))
        return (color + hits.hit[:, None] * highlight[:, None]).clamp(max=1)


def waves(frequency: float) -> Paint:
    """Red, green and blue are each one wave, 1/2 + 1/2 cos(pi f x) along x, y and z."""
    return lambda points, normals: 0.5 + 0.5 * torch.cos(math.pi * frequency * points)


def plain(red: float, green: float, blue: float) -> Paint:
    return lambda points, normals: torch.tensor([red, green, blue]).expand_as(points)


def at(x: float, y: float, z: float) -> Tensor:
    return torch.tensor([x, y, z], dtype=torch.float32)


def checker(frequency: float, seed: int) -> Scene:
    """A ball on a disc, both with a wave along each axis; no light but their own."""
    paint = waves(frequency)
    return Scene([Ball(at(0, 0, 0), 0.6, paint), Disc(at(0, 0, GROUND), 0.95, paint)], lit=False)


def rotated(frequency: float, seed: int) -> Scene:
    """`checker`, turned by 45 degrees about z: the same shapes, with waves along the diagonals of x and y."""
    return Scene(checker(frequency, seed).solids, lit=False, rotation=45)


def shine(frequency: float, seed: int) -> Scene:
    """Three balls with highlights of three sizes, above a disc with waves."""
    balls: list[Solid] = [
        Ball(at(0.45, 0.0, -0.25), 0.35, plain(0.8, 0.2, 0.2), shine=5),
        Ball(at(-0.3, 0.45, -0.25), 0.35, plain(0.2, 0.7, 0.3), shine=20),
        Ball(at(-0.3, -0.45, -0.25), 0.35, plain(0.2, 0.3, 0.8), shine=80),
    ]
    return Scene([*balls, Disc(at(0, 0, GROUND), 0.95, waves(frequency))])


def fence(frequency: float, seed: int) -> Scene:
    """A ball with waves behind bars 0.03 thick, 7 on each of four sides, with a rail around."""
    half, side, top = 0.015, 0.6, 0.3
    bars: list[Solid] = []
    for x in torch.linspace(-side, side, 8)[:-1].tolist():
        for foot in ((x, -side), (side, x), (-x, side), (-side, -x)):
            low, high = at(foot[0] - half, foot[1] - half, GROUND), at(foot[0] + half, foot[1] + half, top)
            bars.append(Box(low, high, plain(0.75, 0.45, 0.2)))
    rail = plain(0.9, 0.85, 0.3)
    for sign in (-1, 1):
        along = at(side + half, half, half)
        middle = at(0, sign * side, top)
        bars.append(Box(middle - along, middle + along, rail))
        bars.append(Box((middle - along)[[1, 0, 2]], (middle + along)[[1, 0, 2]], rail))
    ball = Ball(at(0, 0, GROUND + 0.4), 0.4, waves(frequency))
    return Scene([ball, Disc(at(0, 0, GROUND), 0.95, plain(0.5, 0.6, 0.5)), *bars])


def lettering(frequency: float, seed: int) -> Scene:
    """A cube with words on each face."""
    letters = text(TEXTURE, 1, font_size=TEXTURE / 9, seed=seed).pixels
    half = 0.6

    def paint(points: Tensor, normals: Tensor) -> Tensor:
        upright = normals[:, 2:].abs() < 0.5
        up = torch.where(upright, at(0, 0, 1), at(0, 1, 0))
        right = torch.linalg.cross(up, normals)
        u, v = ((points * axis).sum(dim=-1) / half for axis in (right, up))
        place = torch.stack([u, -v], dim=-1)[None, None]
        texture = letters.permute(2, 0, 1)[None]
        ink = F.grid_sample(texture, place, padding_mode="border", align_corners=False)[0, 0, 0]
        return ink[:, None] * (0.75 + 0.25 * normals)

    return Scene([Box(at(-half, -half, -half), at(half, half, half), paint)], lit=False)


SCENES = {"checker": checker, "rotated": rotated, "shine": shine, "fence": fence, "text": lettering}


def make(name: str, frequency: float, seed: int) -> Scene:
    if name not in SCENES:
        raise UserError(f"signal.scene={name!r} must be one of {', '.join(SCENES)}")
    return SCENES[name](frequency, seed)
