from torch import Tensor

from coordnet.encodings.base import Encoding
from coordnet.fields.base import BaseField, Precision
from coordnet.networks.base import Network


class Field(BaseField):
    """coords (*, d) -> encoding -> network -> value (*, C).

    Args:
        encoding: Encoding of the coordinates.
        network: Network from features to raw outputs; `in_dim` must equal `encoding.out_dim`.
        value_range: Range (low, high) of the signal, to which the network's output is scaled; None returns raw outputs.
        precision: Precision of the hidden layers.
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
        """Values (*, C) at coords (*, d).

        Args:
            coords: Coordinates (*, d).
            covariance: Footprints (*, d, d), over which an encoding that integrates averages its features. Other
                encodings ignore the footprints.
        """
        footprint = () if covariance is None or not self.encoding.integrates else (covariance,)
        raw = self.run_network(self.network, self.encode(self.encoding, coords, *footprint))
        if self.value_range is None:
            return raw
        low, high = self.value_range
        return low + (high - low) * self.network.output_activation(raw)
