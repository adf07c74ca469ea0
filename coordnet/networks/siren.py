import math
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from coordnet.networks.base import Network, Width, check_weights
from coordnet.options import Range, validate_ranges

_Omega = Annotated[float, Range(1e-6, 1e6)]


class Siren(Network):
    """Hidden layers sin(omega (W x + b)) (Sitzmann et al. 2020, sec. 3.2).

    First-layer weights are uniform in +-1/n and later weights in +-sqrt(6/n)/omega, with n the layer's inputs, so that
    pre-activations keep a standard deviation of about 1. The linear output y in [-1, 1] is mapped to (1 + y) / 2.

    Args:
        in_dim: Number of features; the identity encoding passes coordinates.
        out_dim: Number of channels of the signal.
        depth: Number of hidden sine layers.
        width: Number of units of each hidden layer.
        omega_first: Frequency factor of the first layer.
        omega_hidden: Frequency factor of the later hidden layers.
        bias_init: "siren" draws a bias within the bound of its weights, which gives the theory's standard deviation.
            "torch" draws within 1/sqrt(n), as the authors' code does, which gives about 1.5 times this deviation.

    Raises:
        OptionError: The hidden layers would have more than 2^28 weights.
    """

    # The phase omega (W x + b) needs float32.
    bfloat16_safe = False

    @validate_ranges
    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        depth: Annotated[int, Range(1, 1024, "hidden layers")] = 3,
        width: Width = 256,
        omega_first: _Omega = 30.0,
        omega_hidden: _Omega = 30.0,
        bias_init: Literal["torch", "siren"] = "torch",
    ) -> None:
        super().__init__()
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
