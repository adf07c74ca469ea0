import math
from typing import Literal

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.ranges import check_ranges


class SphericalHarmonics(Encoding):
    """gamma(x, y, z) = [Y_lm], l = 0, ..., degree - 1 and within each m = -l, ..., l: the real spherical harmonics.

    Y_lm = s_m N_lm Q_l|m|(z) A_m(x, y), where A_m = Re (x + i y)^m for m >= 0 and Im (x + i y)^|m| for m < 0,
    Q_lm is the m-th derivative of the Legendre polynomial P_l, and
    N_lm^2 = (2 - [m = 0]) (2l + 1) / (4 pi) (l - |m|)! / (l + |m|)!.

    The sign s_m is 1 for all l and m with "plus": l = 1 gives 0.4886 (y, z, x), as in nerfstudio. With "tcnn" it is
    (-1)^m, the Condon-Shortley phase: l = 1 gives 0.4886 (-y, z, -x), as in tiny-cuda-nn, whose input is
    (direction + 1) / 2 where ours is the direction itself. Weights trained with one do not fit the other.

    The features are orthonormal on the unit sphere. They are these polynomials elsewhere too: nothing is normalized,
    so a direction must come with length 1.

    Args:
        domain: Must have 3 columns: x, y and z.
        degree: In [1, 5], for degree^2 features.
        signs: "plus" or "tcnn".

    Raises:
        UserError: Another number of columns, or a degree outside that range.
    """

    scales: Tensor

    def __init__(self, domain: Domain, degree: int = 4, signs: Literal["plus", "tcnn"] = "plus") -> None:
        super().__init__()
        if domain.dim != 3:
            raise UserError(f"encoding=SphericalHarmonics takes 3 columns, x, y and z, and not {domain.dim}")
        check_ranges(SphericalHarmonics, degree=degree)
        self.degree = degree
        self.signs = signs
        sign = -1 if signs == "tcnn" else 1
        scales = [sign**m * norm(row, abs(m)) for row in range(degree) for m in range(-row, row + 1)]
        self.register_buffer("scales", torch.tensor(scales))
        self.in_dim = 3
        self.out_dim = degree**2
        # Those of l = 1 are the coordinates, times a factor.
        self.includes_input = degree > 1

    def forward(self, coords: Tensor) -> Tensor:
        x, y, z = coords.unbind(dim=-1)
        features = {}
        real, imaginary = torch.ones_like(z), torch.zeros_like(z)
        for m in range(self.degree):
            # Q_mm = (2m - 1)!! and (l - m + 1) Q_(l+1)m = (2l + 1) z Q_lm - (l + m) Q_(l-1)m.
            before, legendre = torch.zeros_like(z), torch.full_like(z, math.prod(range(1, 2 * m, 2)))
            for row in range(m, self.degree):
                features[row, -m] = legendre * imaginary
                features[row, m] = legendre * real
                after = ((2 * row + 1) * z * legendre - (row + m) * before) / (row - m + 1)
                before, legendre = legendre, after
            real, imaginary = x * real - y * imaginary, x * imaginary + y * real
        return self.scales * torch.stack([features[key] for key in sorted(features)], dim=-1)

    def formula(self) -> str:
        phase = "all signs plus" if self.signs == "plus" else "signs (-1)^m"
        return f"real spherical harmonics Y_lm(x, y, z), l = 0 to {self.degree - 1}, {phase}"


def norm(row: int, m: int) -> float:
    """N_lm of l = row and m >= 0."""
    share = math.factorial(row - m) / math.factorial(row + m)
    return math.sqrt((1 if m == 0 else 2) * (2 * row + 1) / (4 * math.pi) * share)
