from abc import ABC
from typing import Literal

import torch
from torch import Tensor, nn

from coordnet.coords import chunks
from coordnet.encodings.base import Encoding
from coordnet.networks.base import Network

Precision = Literal["float32", "bfloat16"]

# Float32 features that fit into a core's cache: 2 MiB.
FEATURES_PER_CHUNK = 2**19


class BaseField(nn.Module, ABC):
    """Encodings and networks with mixed precision.

    Coordinates, phases, weights and the value are float32. Hidden layers run in `precision`, which is part of the
    state, because training can switch a field from bfloat16 to float32.

    Args:
        precision: Precision of the hidden layers.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.precision = precision

    @property
    def uses_bfloat16(self) -> bool:
        """True if the hidden layers run in bfloat16."""
        return self.precision == "bfloat16"

    def encode(self, encoding: Encoding, coords: Tensor, *covariance: Tensor) -> Tensor:
        """Features (*, F) of coords (*, d), in float32 or rounded to bfloat16.

        Features are rounded if the hidden layers run in bfloat16 and the features do not include the coordinates.

        Args:
            encoding: Encoding, which computes in float32 under any autocast of the caller.
            coords: Coordinates (*, d).
            covariance: At most one footprint (*, d, d), for an encoding that integrates.
        """
        with torch.autocast(coords.device.type, enabled=False):
            return (
                encode_bfloat16(encoding, coords, *covariance)
                if self.uses_bfloat16 and not encoding.includes_input
                else encoding(coords, *covariance)
            )

    def run_network(self, network: Network, features: Tensor) -> Tensor:
        """Raw outputs (*, C) of a network in float32, with hidden layers in the field's precision."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            raw: Tensor = network(features)
        return raw.float()

    def get_extra_state(self) -> Tensor:
        """True if the hidden layers run in float32."""
        return torch.tensor(self.precision == "float32")

    def set_extra_state(self, state: Tensor) -> None:
        if state:
            self.precision = "float32"


def encode_bfloat16(encoding: Encoding, coords: Tensor, *covariance: Tensor) -> Tensor:
    """Features (*, F) rounded to bfloat16.

    On a CPU, features without gradients are computed and rounded in chunks that fit into the cache.

    Args:
        encoding: Encoding that computes in float32.
        coords: Coordinates (*, d).
        covariance: At most one footprint (*, d, d).
    """
    shape, count = coords.shape[:-1], encoding.out_dim
    trained = any(tensor.requires_grad for tensor in (coords, *covariance, *encoding.parameters()))
    if trained or coords.device.type != "cpu" or shape.numel() * count <= FEATURES_PER_CHUNK:
        return encoding(coords, *covariance).bfloat16()
    flat = [coords.flatten(0, -2), *(c.expand(*shape, *c.shape[-2:]).flatten(0, -3) for c in covariance)]
    features = torch.empty(shape.numel(), count, dtype=torch.bfloat16)
    for part in chunks(len(features), max(1, FEATURES_PER_CHUNK // count)):
        features[part] = encoding(*(tensor[part] for tensor in flat))
    return features.reshape(*shape, count)
