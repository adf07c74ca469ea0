from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from coordnet.errors import OptionError
from coordnet.networks.base import Network, Width, check_weights
from coordnet.options import Range, validate_ranges


class Mlp(Network):
    """A ReLU network. A sigmoid maps the output to the range of a signal that has a range.

    Args:
        in_dim: Number of features.
        out_dim: Number of channels of the signal.
        depth: Number of hidden layers ("4 layers of 256" in Tancik et al. 2020 is depth 3); 0 reads the features out
            linearly.
        width: Number of units of each hidden layer.
        skip: Number of hidden layers after which the features are concatenated again (NeRF: 4 at depth 8).
        init: "glorot_normal" with biases from N(0, 0.01^2), as in Tancik et al. 2020; "torch" is PyTorch's default,
            weights and biases uniform within 1/sqrt(n), n the layer's inputs, as in Rahaman et al. 2019;
            "lecun_normal" draws weights from N(0, 1/n) and sets biases to 0, as the 1-D experiments of Tancik et al.
        output: "sigmoid" keeps values in the range of the signal. "linear" has no sigmoid: 0 and 1 are the ends of the
            range, and values may lie beyond.

    Raises:
        OptionError: The hidden layers would have more than 2^28 weights, or `skip` is not below `depth`.
    """

    bfloat16_safe = True

    @validate_ranges
    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        depth: Annotated[int, Range(0, 1024, "hidden layers")] = 3,
        width: Width = 256,
        skip: Annotated[int | None, Range(1, 1023, "hidden layers")] = None,
        init: Literal["glorot_normal", "torch", "lecun_normal"] = "glorot_normal",
        output: Literal["sigmoid", "linear"] = "sigmoid",
    ) -> None:
        super().__init__()
        check_weights(in_dim, depth, width)
        if skip is not None and skip >= depth:
            allowed = (
                f"must be at most depth - 1 = {depth - 1}" if depth > 1 else f"must be null at depth={depth}"
            )
            raise OptionError("skip", skip, allowed)
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
            h = _in_precision_of_features(layer, h) if i in (0, self.skip) else layer(h)
            if i < len(self.hidden):
                h = h.relu()
        return h

    def output_activation(self, raw: Tensor) -> Tensor:
        return raw.sigmoid() if self.output == "sigmoid" else raw


def _in_precision_of_features(layer: nn.Module, features: Tensor) -> Tensor:
    """Run a layer in the precision of its input features, also under autocast."""
    half = features.dtype == torch.bfloat16
    with torch.autocast(features.device.type, torch.bfloat16, enabled=half):
        return layer(features)
