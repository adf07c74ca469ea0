import math
from collections.abc import Callable

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.ranges import check_ranges


class CoarseToFine(Encoding):
    """Coarse to fine: each wave of an encoding is multiplied by w_k(alpha) = (1 - cos(pi clip(alpha - k, 0, 1))) / 2.

    k is the wave's octave above the slowest one (BARF, Lin et al. 2021, eq. 14; Nerfies, Park et al. 2021, eq. 8);
    waves below a quarter of a cycle count as one of a quarter. alpha grows linearly with the step from 0, where all
    waves are masked, to the number of octaves, where none is. Features that are no waves, such as the coordinates
    themselves, are never masked. It is told the time before each step, so where `end` is 1 the last step is the one
    before all are open.

    Args:
        domain: Passed on to the encoding.
        encoding: From a domain to the encoding whose waves are masked.
        start: Share of training at which alpha leaves 0, in [0, 1].
        end: Share of training at which all waves are open, in [start, 1].
    """

    octaves: Tensor
    alpha: Tensor

    def __init__(
        self, domain: Domain, encoding: Callable[..., Encoding], start: float = 0.0, end: float = 0.5
    ) -> None:
        super().__init__()
        check_ranges(CoarseToFine, start=start, end=end)
        if start > end:
            raise UserError(f"encoding.start={start} must be at most encoding.end={end}")
        self.encoding = encoding(domain=domain)
        frequencies = self.encoding.feature_frequencies()
        if frequencies is None or not frequencies.any():
            raise UserError(
                f"encoding.encoding={type(self.encoding).__name__} has no waves to mask; choose another"
            )
        length = frequencies.norm(dim=-1)
        slowest = length[length > 0].min().clamp(min=0.25)
        # Octave -1 is open at any alpha.
        octaves = (length / slowest).clamp(min=1).log2()
        self.register_buffer("octaves", torch.where(length > 0, octaves, -1.0))
        self.last = float(self.octaves.max()) + 1
        self.register_buffer("alpha", torch.tensor(self.last))
        self.start = start
        self.end = end
        self.in_dim, self.out_dim = self.encoding.in_dim, self.encoding.out_dim
        self.includes_input, self.integrates = self.encoding.includes_input, self.encoding.integrates

    def on_step(self, step: int, max_steps: int) -> None:
        if max_steps < 1:
            raise UserError(f"max_steps={max_steps} must be at least 1, for the window to know when to open")
        share = step / max_steps
        opened = (
            (share - self.start) / (self.end - self.start) if self.end > self.start else share >= self.end
        )
        self.alpha.fill_(self.last * min(max(opened, 0.0), 1.0))

    def forward(self, coords: Tensor, *footprint: Tensor) -> Tensor:
        weight = (1 - torch.cos(math.pi * (self.alpha - self.octaves).clamp(0, 1))) / 2
        return weight * self.encoding(coords, *footprint)

    def feature_frequencies(self) -> Tensor | None:
        return self.encoding.feature_frequencies()

    def formula(self) -> str:
        schedule = f"alpha 0 to {self.last:.3g} from {self.start:g} to {self.end:g} of training"
        return f"w(alpha) * {self.encoding.formula()}; {schedule}"
