import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Count, Encoding, OptionalFrequency, Seed
from coordnet.encodings.fourier import Fourier, gaussian
from coordnet.errors import OptionError
from coordnet.options import MAX_WEIGHTS, validate_ranges


class LearnableFourier(Encoding):
    """gamma(x) = MLP([sin(pi B x), cos(pi B x)] / sqrt(2m)), trained as a whole (Li et al. 2021).

    The MLP has one hidden layer: 2m -> width, GELU, width -> num_features. The paper puts the cosines first, which only
    swaps columns of the MLP's first layer, and works in radians: its W is pi B. All coordinates are in one group.

    Args:
        domain: Box with the training Nyquist frequency of each axis.
        scale: Standard deviation of the initial B in cycles across the domain. The default is 0.08 of the training
            Nyquist frequency of each axis, as in `gaussian`.
        num_frequencies: m, the number of vectors in B.
        width: Units of the hidden layer.
        num_features: Number of features.
        seed: Seed of the draw of B. The weights of the MLP come from the global generator, as those of networks do.

    Raises:
        OptionError: The MLP would have more than 2^28 weights.
    """

    @validate_ranges
    def __init__(
        self,
        domain: Domain,
        scale: OptionalFrequency = None,
        num_frequencies: Count = 64,
        width: Count = 256,
        num_features: Count = 64,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        frequencies = gaussian(domain, scale, num_frequencies, seed).frequencies
        waves = 2 * num_frequencies
        weights = width * (waves + num_features)
        if weights > MAX_WEIGHTS:
            raise OptionError("width", width, f"must be smaller: {weights} weights exceed {MAX_WEIGHTS}")
        amplitudes = torch.full((num_frequencies,), waves**-0.5)
        self.fourier = Fourier(frequencies, amplitudes, trainable=True)
        self.mlp = nn.Sequential(nn.Linear(waves, width), nn.GELU(), nn.Linear(width, num_features))
        self.in_dim = domain.dim
        self.out_dim = num_features

    def forward(self, coords: Tensor) -> Tensor:
        return self.mlp(self.fourier(coords))

    def formula(self) -> str:
        return f"MLP({self.fourier.formula()}), {self.out_dim} features, all trained"
