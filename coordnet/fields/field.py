from abc import ABC
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coordnet.coords import chunks
from coordnet.encodings.base import Encoding
from coordnet.errors import UserError
from coordnet.networks.base import Network

Precision = Literal["float32", "bfloat16"]

# Features that fit into a core's cache: 2 MiB of float32.
FEATURES_PER_CHUNK = 2**19


class BaseField(nn.Module, ABC):
    """What networks behind encodings share: phases in float32, hidden layers in a precision that is remembered.

    Args:
        precision: Of the hidden layers. Coordinates, phases, weights and the value stay in float32.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self.precision = precision

    @property
    def uses_bfloat16(self) -> bool:
        return self.precision == "bfloat16"

    def features(self, encoding: Encoding, *where: Tensor) -> Tensor:
        """In bfloat16 where the hidden layers are and the features are not raw, else in float32."""
        # Phases need float32, whatever autocast the caller runs under.
        with torch.autocast(where[0].device.type, enabled=False):
            return (
                encode_bfloat16(encoding, *where)
                if self.uses_bfloat16 and not encoding.includes_input
                else encoding(*where)
            )

    def run_network(self, network: Network, features: Tensor) -> Tensor:
        """What a network makes of features, in float32."""
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            raw: Tensor = network(features)
        return raw.float()

    def get_extra_state(self) -> Tensor:
        """Whether it computes in float32: it may have gone over while it was trained."""
        return torch.tensor(self.precision == "float32")

    def set_extra_state(self, state: Tensor) -> None:
        if state:
            self.precision = "float32"


class Field(BaseField):
    """coords (*, d) -> encoding -> network -> value (*, C).

    Args:
        encoding: From coordinates to features; always in float32.
        network: From features to raw outputs; `in_dim` must equal `encoding.out_dim`.
        value_range: (low, high) that the signal lives in, to which the network's output is brought;
            None leaves the output as it is.
        precision: Of the hidden layers.
    """

    def __init__(
        self,
        encoding: Encoding,
        network: Network,
        value_range: tuple[float, float] | None = None,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(precision)
        self.encoding = encoding
        self.network = network
        self.value_range = value_range

    def forward(self, coords: Tensor, covariance: Tensor | None = None) -> Tensor:
        """Values at coords (*, d), or averages over footprints of that covariance (*, d, d) if the encoding can."""
        where = (coords,) if covariance is None or not self.encoding.integrates else (coords, covariance)
        raw = self.run_network(self.network, self.features(self.encoding, *where))
        if self.value_range is None:
            return raw
        low, high = self.value_range
        return low + (high - low) * self.network.output_activation(raw)


def encode_bfloat16(encoding: Encoding, coords: Tensor, *covariance: Tensor) -> Tensor:
    """The features in bfloat16, (*, F); where they have no gradients, by parts that stay in a cache until then."""
    shape, count = coords.shape[:-1], encoding.out_dim
    trained = any(tensor.requires_grad for tensor in (coords, *covariance, *encoding.parameters()))
    if trained or coords.device.type != "cpu" or shape.numel() * count <= FEATURES_PER_CHUNK:
        return encoding(coords, *covariance).bfloat16()
    flat = [coords.flatten(0, -2), *(c.expand(*shape, *c.shape[-2:]).flatten(0, -3) for c in covariance)]
    features = torch.empty(shape.numel(), count, dtype=torch.bfloat16)
    for part in chunks(len(features), max(1, FEATURES_PER_CHUNK // count)):
        features[part] = encoding(*(tensor[part] for tensor in flat))
    return features.reshape(*shape, count)


class Interpolation(nn.Module):
    """The field that nobody trained: bilinear or bicubic (Keys, a = -0.75) interpolation of the training samples.

    Args:
        samples: (rows, columns, C), the training pixels.
        first: (2,) coordinates, x first, of samples[0, 0].
        last: (2,) coordinates of samples[-1, -1]. Beyond both, the border samples are repeated.
        mode: "bilinear" or "bicubic".
    """

    def __init__(
        self, samples: Tensor, first: Tensor, last: Tensor, mode: Literal["bilinear", "bicubic"]
    ) -> None:
        super().__init__()
        if mode not in ("bilinear", "bicubic"):
            raise UserError(f"baseline={mode!r} must be one of bilinear, bicubic")
        self.register_buffer("planes", samples.permute(2, 0, 1)[None].float())
        self.register_buffer("center", (first + last) / 2)
        self.register_buffer("reach", (last - first).clamp(min=torch.finfo().tiny) / 2)
        self.mode = mode

    planes: Tensor
    center: Tensor
    reach: Tensor

    def forward(self, coords: Tensor) -> Tensor:
        flat = ((coords - self.center) / self.reach).reshape(1, 1, -1, 2)
        values = F.grid_sample(self.planes, flat, mode=self.mode, padding_mode="border", align_corners=True)
        return values[0, :, 0].T.reshape(*coords.shape[:-1], self.planes.shape[1])
