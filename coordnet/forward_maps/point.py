from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.forward_maps.base import Batch, ForwardMap


class PointEvaluation(ForwardMap):
    """Predicts the field's value (n, C) at coords (n, d).

    If the batch holds a covariance (n, d, d), the field averages its features over that footprint of each sample.
    """

    required_keys = ("coords",)

    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]:
        covariance = [batch["covariance"]] if "covariance" in batch else []
        return {"value": field(batch["coords"], *covariance)}
