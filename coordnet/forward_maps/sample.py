from torch import Tensor

from coordnet.coords import FieldFunction
from coordnet.forward_maps.base import Batch, ForwardMap


class Sample(ForwardMap):
    """The field is observed directly: value (n, C) at coords (n, d)."""

    needs = ("coords",)

    def forward(self, field: FieldFunction, batch: Batch) -> dict[str, Tensor]:
        return {"value": field(batch["coords"])}
