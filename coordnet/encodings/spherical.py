import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.options import Range, validate_ranges


class SphericalHarmonics(Encoding):
    """gamma(x, y, z) = [Y_lm], l = 0, ..., degree - 1 and within each m = -l, ..., l: the real spherical harmonics.

    Y_lm = s_m N_lm Q_l|m|(z) A_m(x, y), where A_m = Re (x + i y)^m for m >= 0 and Im (x + i y)^|m| for m < 0,
    Q_lm is the m-th derivative of the Legendre polynomial P_l, and
    N_lm^2 = (2 - [m = 0]) (2l + 1) / (4 pi) (l - |m|)! / (l + |m|)!.

    The sign s_m is 1 for all l and m with "plus": l = 1 gives 0.4886 (y, z, x), as in nerfstudio. With "tcnn" it is
    (-1)^m, the Condon-Shortley phase: l = 1 gives 0.4886 (-y, z, -x), as in tiny-cuda-nn, whose input is
    (direction + 1) / 2 where ours is the direction itself. Weights trained with one sign rule do not fit the other.

    The features are orthonormal on the unit sphere. The input is not normalized, so a direction must have length 1.

    Args:
        domain: Box with the 3 columns x, y and z.
        degree: Number of degrees l, for degree^2 features.
        signs: "plus" sets all signs to plus, "tcnn" to (-1)^m.

    Raises:
        ValueError: The domain does not have 3 columns.
    """

    scales: Tensor

    @validate_ranges
    def __init__(
        self,
        domain: Domain,
        degree: Annotated[int, Range(1, 5)] = 4,
        signs: Literal["plus", "tcnn"] = "plus",
    ) -> None:
        super().__init__()
        if domain.dim != 3:
            raise ValueError(
                f"spherical harmonics need 3 columns, x, y and z, and the domain has {domain.dim}"
            )
        self.degree = degree
        self.signs = signs
        sign = -1 if signs == "tcnn" else 1
        scales = [sign**m * _norm(row, abs(m)) for row in range(degree) for m in range(-row, row + 1)]
        self.register_buffer("scales", torch.tensor(scales))
        self.in_dim = 3
        self.out_dim = degree**2
        # The features of l = 1 are the coordinates, times a factor.
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


def _norm(row: int, m: int) -> float:
    """N_lm for l = row and m >= 0."""
    share = math.factorial(row - m) / math.factorial(row + m)
    return math.sqrt((1 if m == 0 else 2) * (2 * row + 1) / (4 * math.pi) * share)
