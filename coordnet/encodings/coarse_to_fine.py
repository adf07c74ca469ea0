import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges

_Share = Annotated[float, Range(0, 1)]


class CoarseToFine(Encoding):
    """Coarse to fine: each wave of an encoding is multiplied by w_k(alpha) = (1 - cos(pi clip(alpha - k, 0, 1))) / 2.

    k is the octave of the wave above the slowest wave (BARF, Lin et al. 2021, eq. 14; Nerfies, Park et al. 2021,
    eq. 8). A wave below a quarter of a cycle counts as a wave of a quarter. alpha grows linearly with the step from 0,
    which masks all waves, to the number of octaves, which masks none. Features that are no waves, such as the
    coordinates, are never masked. alpha is set before each step, so with `end` = 1 the last step still masks some
    waves.

    Args:
        domain: Box that is passed on to the encoding.
        encoding: Factory that builds the encoding with masked waves from a domain.
        start: Share of training at which alpha leaves 0.
        end: Share of training at which no wave is masked any more, at least `start`.

    Raises:
        OptionError: `start` is above `end`, or the encoding has no waves.
    """

    octaves: Tensor
    alpha: Tensor

    @validate_ranges
    def __init__(
        self, domain: Domain, encoding: Callable[..., Encoding], start: _Share = 0.0, end: _Share = 0.5
    ) -> None:
        super().__init__()
        if start > end:
            raise OptionError("start", start, f"must be at most end={end}")
        try:
            self.encoding = encoding(domain=domain)
        except OptionError as error:
            raise error.within("encoding") from None
        frequencies = self.encoding.feature_frequencies()
        if frequencies is None or not frequencies.any():
            raise OptionError("encoding", type(self.encoding).__name__, "must have waves to mask")
        length = frequencies.norm(dim=-1)
        slowest = length[length > 0].min().clamp(min=0.25)
        # Octave -1 is never masked.
        octaves = (length / slowest).clamp(min=1).log2()
        self.register_buffer("octaves", torch.where(length > 0, octaves, -1.0))
        self.last = float(self.octaves.max()) + 1
        self.register_buffer("alpha", torch.tensor(self.last))
        self.start = start
        self.end = end
        self.in_dim, self.out_dim = self.encoding.in_dim, self.encoding.out_dim
        self.includes_input, self.integrates = self.encoding.includes_input, self.encoding.integrates

    def on_step(self, step: int, max_steps: int) -> None:
        """Set alpha for a step.

        Raises:
            OptionError: Training has no steps.
        """
        if max_steps < 1:
            raise OptionError("max_steps", max_steps, "must be at least 1 for a coarse-to-fine encoding")
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
