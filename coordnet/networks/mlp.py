from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.errors import UserError
from coordnet.networks.base import Network, check_weights
from coordnet.ranges import check_ranges


class Mlp(Network):
    """A ReLU network whose output, for a signal with a range, is brought to that range by a sigmoid.

    Args:
        in_dim: Width of the features.
        out_dim: Channels of the signal.
        depth: Hidden layers ("4 layers of 256" in Tancik et al. 2020 is depth 3), up to 1024; 0 reads the features out
            linearly.
        width: Units of each hidden layer. All layers together may have 2^28 weights.
        skip: The features are concatenated again to the output of this many hidden layers (NeRF: 4 at depth 8).
        init: "glorot_normal" with biases from N(0, 0.01^2), as in Tancik et al. 2020; "torch" is PyTorch's default,
            weights and biases uniform within 1/sqrt(n), n the layer's inputs, as in Rahaman et al. 2019;
            "lecun_normal" draws weights from N(0, 1/n) and sets biases to 0, as the 1-D experiments of Tancik et al.
        output: "linear" leaves the sigmoid out: 0 and 1 are the ends of the range, and values may lie beyond.
    """

    bfloat16_safe = True

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        depth: int = 3,
        width: int = 256,
        skip: int | None = None,
        init: Literal["glorot_normal", "torch", "lecun_normal"] = "glorot_normal",
        output: Literal["sigmoid", "linear"] = "sigmoid",
    ) -> None:
        super().__init__()
        check_ranges(Mlp, depth=depth, width=width, skip=skip)
        check_weights(in_dim, depth, width)
        if skip is not None and depth < 2:
            raise UserError(f"network.skip={skip} needs network.depth of at least 2")
        if skip is not None and skip >= depth:
            raise UserError(f"network.skip={skip} must be at most depth - 1 = {depth - 1}")
        self.skip = skip
        self.output = output
        widths = [in_dim] + [width] * depth
        if skip is not None:
            widths[skip] += in_dim
        self.hidden = nn.ModuleList(nn.Linear(n, width) for n in widths[:-1])
        self.out = nn.Linear(widths[-1], out_dim)
        if init == "torch":
            return
        for layer in (*self.hidden, self.out):
            assert isinstance(layer, nn.Linear)
            if init == "lecun_normal":
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)
            else:
                nn.init.xavier_normal_(layer.weight)
                nn.init.normal_(layer.bias, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        h = features
        for i, layer in enumerate((*self.hidden, self.out)):
            if i == self.skip:
                h = torch.cat([features, h], dim=-1)
            h = in_own_precision(layer, h) if i in (0, self.skip) else layer(h)
            if i < len(self.hidden):
                h = h.relu()
        return h

    def output_activation(self, raw: Tensor) -> Tensor:
        return raw.sigmoid() if self.output == "sigmoid" else raw


def in_own_precision(layer: nn.Module, features: Tensor) -> Tensor:
    """Run the layer in the precision of the features that it reads, also under autocast."""
    half = features.dtype == torch.bfloat16
    with torch.autocast(features.device.type, torch.bfloat16, enabled=half):
        return layer(features)
