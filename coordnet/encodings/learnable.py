import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import Fourier, gaussian
from coordnet.errors import UserError
from coordnet.ranges import MAX_WEIGHTS, check_ranges


class LearnableFourier(Encoding):
    """gamma(x) = MLP([sin(pi B x), cos(pi B x)] / sqrt(2m)), all of it trained (Li et al. 2021).

    The MLP has one hidden layer: 2m -> width, GELU, width -> num_features. The paper puts the cosines first, which only
    swaps columns of the MLP's first layer, and works in radians: its W is pi B. All coordinates are in one group.

    Args:
        domain: Gives the dimension and the training Nyquist frequency.
        scale: Standard deviation of the B that training starts from, in cycles across the domain; by default 0.08 of
            the training Nyquist, as in `gaussian`.
        num_frequencies: m, up to 2^16.
        width: Of the hidden layer, up to 2^16. The MLP may have 2^28 weights.
        num_features: Width of the result, up to 2^16.
        seed: Of the draw of B. The MLP's weights are drawn as those of networks are.
    """

    def __init__(
        self,
        domain: Domain,
        scale: float | None = None,
        num_frequencies: int = 64,
        width: int = 256,
        num_features: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_ranges(LearnableFourier, width=width, num_features=num_features)
        draw = gaussian(domain, scale, num_frequencies, seed).frequencies
        waves = 2 * num_frequencies
        weights = width * (waves + num_features)
        if weights > MAX_WEIGHTS:
            raise UserError(f"encoding.width={width} makes {weights} weights; {MAX_WEIGHTS} are allowed")
        self.fourier = Fourier(draw, amplitudes=torch.full((num_frequencies,), waves**-0.5), trainable=True)
        self.mlp = nn.Sequential(nn.Linear(waves, width), nn.GELU(), nn.Linear(width, num_features))
        self.in_dim = domain.dim
        self.out_dim = num_features

    def forward(self, coords: Tensor) -> Tensor:
        return self.mlp(self.fourier(coords))

    def formula(self) -> str:
        return f"MLP({self.fourier.formula()}), {self.out_dim} features, all trained"
