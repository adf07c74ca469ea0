import math
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.networks.base import Network, check_weights
from coordnet.ranges import check_ranges


class Siren(Network):
    """Hidden layers sin(omega (W x + b)) (Sitzmann et al. 2020, sec. 3.2).

    First-layer weights are uniform in +-1/n, later ones in +-sqrt(6/n)/omega, with n the layer's inputs, so that
    pre-activations keep a standard deviation of about 1. The linear output y in [-1, 1] is read as (1 + y) / 2.

    Args:
        in_dim: Width of the features; pass coordinates with the identity encoding.
        out_dim: Channels of the signal.
        depth: Hidden sine layers, up to 1024.
        width: Units of each hidden layer. All layers together may have 2^28 weights.
        omega_first: Frequency factor of the first layer, in [10^-6, 10^6].
        omega_hidden: Frequency factor of the others, likewise.
        bias_init: "siren" draws a bias within its weights' bound, which gives the theory's standard deviation;
            "torch" within 1/sqrt(n), as the authors' code does, which gives about 1.5 times that.
    """

    # The phase omega (W x + b) needs float32.
    bfloat16_safe = False

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        depth: int = 3,
        width: int = 256,
        omega_first: float = 30.0,
        omega_hidden: float = 30.0,
        bias_init: Literal["torch", "siren"] = "torch",
    ) -> None:
        super().__init__()
        check_ranges(Siren, depth=depth, width=width, omega_first=omega_first, omega_hidden=omega_hidden)
        check_weights(in_dim, depth, width)
        self.omegas = [omega_first] + [omega_hidden] * (depth - 1)
        self.hidden = nn.ModuleList(nn.Linear(n, width) for n in [in_dim] + [width] * (depth - 1))
        self.out = nn.Linear(width, out_dim)
        for i, layer in enumerate((*self.hidden, self.out)):
            assert isinstance(layer, nn.Linear)
            n = layer.in_features
            bound = 1 / n if i == 0 else math.sqrt(6 / n) / omega_hidden
            nn.init.uniform_(layer.weight, -bound, bound)
            if bias_init == "siren":
                nn.init.uniform_(layer.bias, -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        h = features
        for omega, layer in zip(self.omegas, self.hidden, strict=True):
            h = torch.sin(omega * layer(h))
        return self.out(h)

    def output_activation(self, raw: Tensor) -> Tensor:
        return (1 + raw) / 2
