"""A slice and its X-ray projections. The phantom is a sum of ellipses, whose line integrals are closed forms.

Coordinates follow images: x points right and y down, in a box of [-1, 1]. Ellipses and the angles of projections
follow the literature: y points up and angles are counter-clockwise. At angle theta the offset of the point (x, y) on
the detector is s = x cos(theta) - y sin(theta).
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.analytic import SUBSAMPLES

Values = NDArray[np.floating]


class Ellipse(NamedTuple):
    """A constant on an ellipse, zero elsewhere.

    Attributes:
        value: Constant that is added to the values of other ellipses.
        a: Half axis along x, before the rotation.
        b: Half axis along y, before the rotation.
        x: x coordinate of the center.
        y: y coordinate of the center, upwards.
        angle: Rotation in degrees, counter-clockwise.
    """

    value: float
    a: float
    b: float
    x: float
    y: float
    angle: float

    def at(self, x: Values, y: Values) -> Values:
        """Values at points, of the shape of x and y; y points down."""
        dx, dy, angle = x - self.x, -y - self.y, math.radians(self.angle)
        u = (dx * math.cos(angle) + dy * math.sin(angle)) / self.a
        v = (dy * math.cos(angle) - dx * math.sin(angle)) / self.b
        return self.value * (u**2 + v**2 <= 1)

    def integral(self, angle: Values, offset: Values) -> Values:
        """Integrals along the lines at angles (degrees) and detector offsets that broadcast against each other."""
        theta = np.deg2rad(angle)
        distance = offset - self.x * np.cos(theta) - self.y * np.sin(theta)
        turned = theta - math.radians(self.angle)
        reach = (self.a * np.cos(turned)) ** 2 + (self.b * np.sin(turned)) ** 2
        half_chord = self.a * self.b * np.sqrt((reach - distance**2).clip(min=0)) / reach
        return 2 * self.value * half_chord


# The version with more contrast: P. A. Toft, "The Radon Transform", PhD thesis, 1996, table B.1.
SHEPP_LOGAN = (
    Ellipse(1.0, 0.69, 0.92, 0, 0, 0),
    Ellipse(-0.8, 0.6624, 0.874, 0, -0.0184, 0),
    Ellipse(-0.2, 0.11, 0.31, 0.22, 0, -18),
    Ellipse(-0.2, 0.16, 0.41, -0.22, 0, 18),
    Ellipse(0.1, 0.21, 0.25, 0, 0.35, 0),
    Ellipse(0.1, 0.046, 0.046, 0, 0.1, 0),
    Ellipse(0.1, 0.046, 0.046, 0, -0.1, 0),
    Ellipse(0.1, 0.046, 0.023, -0.08, -0.605, 0),
    Ellipse(0.1, 0.023, 0.023, 0, -0.606, 0),
    Ellipse(0.1, 0.023, 0.046, 0.06, -0.605, 0),
)


class Tomography(Signal):
    """A 2-D slice, observed by exact integrals along parallel lines; the Shepp-Logan phantom is the default.

    Each projection has `size` lines, through the centers of detector bins that tile [-1, 1]. Lines are the chords
    of the square box, not of the unit circle, so the field has no hint that the corners are empty.

    Args:
        size: Number of pixels per side of the reference slice, and of bins of the detector.
        num_angles: Number of projections, evenly over [0, 180) degrees.
        ellipses: The phantom, inside the unit circle; the sum of the ellipses must lie in [0, 1].

    Raises:
        OptionError: An option is outside its range.
    """

    value_range = (0.0, 1.0)
    channels = 1

    @validate_ranges
    def __init__(
        self,
        size: Annotated[int, Range(16, 1024, "pixels")] = 128,
        num_angles: Annotated[int, Range(1, 2048)] = 20,
        ellipses: Sequence[Ellipse] = SHEPP_LOGAN,
    ) -> None:
        self.ellipses = ellipses
        self.domain = Domain((size, size))
        self.angles = np.arange(num_angles) * 180 / num_angles
        self.num_observations = num_angles * size
        angle, offset = np.broadcast_arrays(self.angles[:, None], self.axis())
        self.lines = torch.from_numpy(box_chords(angle.ravel(), offset.ravel())).float()
        self.sinogram = torch.from_numpy(self.integrals(angle, offset)).float()

    def axis(self) -> Values:
        """Coordinates (size,) of pixel centers along an axis, and of the centers of bins along the detector."""
        size = self.domain.size[0]
        return (2 * np.arange(size) + 1 - size) / size

    def integrals(self, angle: Values, offset: Values) -> Values:
        """Exact integrals along the lines at angles in degrees and at offsets, which broadcast against each other."""
        return sum((ellipse.integral(angle, offset) for ellipse in self.ellipses), start=np.zeros(()))

    @cached_property
    def reference(self) -> Tensor:
        """The exact phantom, each pixel the average of 8 x 8 points: (size, size, 1) in [0, 1]."""
        size = self.domain.size[0]
        shifts = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5) * self.domain.spacing[0]
        total = np.zeros((size, size))
        for dx in shifts:
            for dy in shifts:
                x, y = np.meshgrid(self.axis() + dx, self.axis() + dy)
                total += sum(ellipse.at(x, y) for ellipse in self.ellipses)
        return torch.from_numpy(total / SUBSAMPLES**2).float().clamp(0, 1)[..., None]

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"lines": self.lines[index], "value": self.sinogram.reshape(-1, 1)[index]}


def box_chords(angle: Values, offset: Values) -> Values:
    """End points (n, 2, 2) of the lines at angles (n,), in degrees, and offsets (n,) in (-1, 1), within the box."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    foot = offset[:, None] * np.stack([cos, -sin], axis=1)
    direction = np.stack([sin, cos], axis=1)
    with np.errstate(divide="ignore"):
        crossings = (np.array([[[-1.0]], [[1.0]]]) - foot) / direction
    enter, leave = crossings.min(axis=0).max(axis=1), crossings.max(axis=0).min(axis=1)
    return foot[:, None] + np.stack([enter, leave], axis=1)[..., None] * direction[:, None]
