"""A function on the unit sphere, such as a sky or a globe: coordinates are unit vectors, z points to the north pole."""

import math
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import sph_legendre_p_all
from torch import Tensor

from coordnet.coords import Domain, chunks
from coordnet.options import Range, check_number, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.options import Seed

Values = NDArray[np.floating]

_POINTS_PER_CHUNK = 4096
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


class Sphere(Signal):
    """f(p) = sum_lm c_lm Y_lm(p), real spherical harmonics up to `degree` with independent c_lm ~ N(0, 1).

    The observations are the values at the n points of a Fibonacci lattice, shifted and scaled so that the values there
    have mean 0 and mean square 1. The test points are n other points, drawn uniformly from the sphere.

    The domain is the cube around the sphere. A lattice point has 4 pi / n of the surface, so m = sqrt(n / pi) points
    fit across the diameter, which makes the training Nyquist frequency m / 2. Degree l has l cycles around the sphere,
    so l / pi across the diameter: the lattice can resolve degrees up to l = pi m / 2 = sqrt(pi n) / 2.

    Args:
        num_samples: n.
        degree: Highest degree of the harmonics, at most sqrt(pi n) / 2.
        seed: Seed of the coefficients and of the test points.

    Raises:
        OptionError: An option is outside its range.
    """

    channels = 1
    value_range = None

    @validate_ranges
    def __init__(
        self,
        num_samples: Annotated[int, Range(16, 2**16)] = 4096,
        degree: Annotated[int, Range(1, 32)] = 8,
        seed: Seed = 0,
    ) -> None:
        highest = math.floor(math.sqrt(math.pi * num_samples) / 2)
        check_number("degree", degree, Annotated[int, Range(1, highest, f"at {num_samples} samples")])
        rng = np.random.default_rng(seed)
        # Row l, column m. Coefficients with m > l, and the sines of m = 0, multiply a wave that is 0.
        self.cosines, self.sines = rng.standard_normal((2, degree + 1, degree + 1))
        self.domain = Domain((max(2, round(math.sqrt(num_samples / math.pi))),) * 3)
        self.num_observations = num_samples
        self.points = fibonacci_lattice(num_samples)
        others = rng.standard_normal((num_samples, 3))
        self.test_points = torch.from_numpy(others / np.linalg.norm(others, axis=1, keepdims=True)).float()
        values = self.harmonics(self.points)
        self.mean, self.deviation = values.mean(), values.std()
        self.values = self.reference(self.points)

    def harmonics(self, points: Tensor) -> Values:
        """The sum before the shift and the scaling: (n,) at points (n, 3)."""
        parts = [points[part].double().numpy() for part in chunks(len(points), _POINTS_PER_CHUNK)]
        return np.concatenate([self._harmonics_of_chunk(part) for part in parts])

    def _harmonics_of_chunk(self, points: Values) -> Values:
        x, y, z = points.T
        count = len(self.cosines)
        # sqrt(2) N_lm P_lm(cos(polar)) for 0 <= m <= l, and 0 above; (l, m, n). Without the sqrt(2) where m = 0.
        legendre = sph_legendre_p_all(count - 1, count - 1, np.arctan2(np.hypot(x, y), z))[0][:, :count]
        legendre[:, 1:] *= math.sqrt(2)
        angle = np.arange(count)[:, None] * np.arctan2(y, x)
        along = np.einsum("lm,lmn->mn", self.cosines, legendre) * np.cos(angle)
        across = np.einsum("lm,lmn->mn", self.sines, legendre) * np.sin(angle)
        return (along + across).sum(axis=0)

    def reference(self, points: Tensor) -> Tensor:
        """The true values (n, 1) at points (n, 3) of the sphere."""
        return torch.from_numpy((self.harmonics(points) - self.mean) / self.deviation).float()[:, None]

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        return {"coords": self.points[index], "value": self.values[index]}

    @cached_property
    def test_values(self) -> Tensor:
        """The true values (n, 1) at the test points."""
        return self.reference(self.test_points)


def fibonacci_lattice(num_points: int) -> Tensor:
    """Points (n, 3) at heights z = 1 - (2 i + 1) / n, each turned by the golden angle from the last."""
    i = torch.arange(num_points, dtype=torch.float64)
    z = 1 - (2 * i + 1) / num_points
    radius, azimuth = (1 - z**2).sqrt(), GOLDEN_ANGLE * i
    return torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], dim=-1).float()
