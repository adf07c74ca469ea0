from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.forward_maps.base import Batch, ForwardMap


class PointEvaluation(ForwardMap):
    """The field is observed directly: value (n, C) at coords (n, d).

    Where the batch holds a covariance (n, d, d), the footprint of each sample, the field gets it too.
    """

    required_keys = ("coords",)

    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]:
        footprint = [batch[name] for name in ("covariance",) if name in batch]
        return {"value": field(batch["coords"], *footprint)}
