import torch
from torch import Tensor, nn

from coordnet.errors import UserError
from coordnet.networks.base import Network, check_shape


class Mlp(Network):
    """A ReLU network, initialised as in Tancik et al. 2020: Glorot-normal weights, biases from N(0, 0.01^2).

    The output is squashed to [0, 1] by a sigmoid.

    Args:
        in_dim: Width of the features.
        out_dim: Channels of the signal.
        depth: Hidden layers ("4 layers of 256" in that paper is depth 3).
        width: Units of each hidden layer.
        skip: The features are concatenated again to the output of this many hidden layers (NeRF: 4 at depth 8).
    """

    bfloat16_safe = True

    def __init__(
        self, in_dim: int, out_dim: int, depth: int = 3, width: int = 256, skip: int | None = None
    ) -> None:
        super().__init__()
        check_shape(depth, width)
        if skip is not None and not 1 <= skip < depth:
            raise UserError(f"network.skip={skip} must lie between 1 and depth - 1 = {depth - 1}")
        self.skip = skip
        widths = [in_dim] + [width] * depth
        if skip is not None:
            widths[skip] += in_dim
        self.hidden = nn.ModuleList(nn.Linear(n, width) for n in widths[:-1])
        self.out = nn.Linear(width, out_dim)
        for layer in (*self.hidden, self.out):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        h = in_own_precision(self.hidden[0], features).relu()
        for i, layer in enumerate(self.hidden[1:], start=1):
            read = layer(h) if i != self.skip else in_own_precision(layer, torch.cat([features, h], dim=-1))
            h = read.relu()
        return self.out(h)

    def to_unit(self, raw: Tensor) -> Tensor:
        return raw.sigmoid()


def in_own_precision(layer: nn.Module, features: Tensor) -> Tensor:
    """Under autocast, still run the layer in the precision of the features that it reads: see Encoding.raw."""
    half = features.dtype == torch.bfloat16
    with torch.autocast(features.device.type, torch.bfloat16, enabled=half):
        return layer(features)
