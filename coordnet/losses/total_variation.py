from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from coordnet.errors import UserError
from coordnet.options import Range, validate_ranges


class TotalVariation:
    """Anisotropic total variation of the field f at the coordinates x (n, d) of the batch (Rudin et al. 1992).

        mean over samples, channels and axes i of |f(x + h e_i) - f(x)| / h

    The finite difference costs d further queries of the field for each sample.

    Args:
        step: h, in units of the coordinates, of which the longest axis has 2.

    Raises:
        UserError: The batch has no coordinates, as those of rays and lines.
    """

    @validate_ranges
    def __init__(self, step: Annotated[float, Range(1e-6, 1)] = 0.01) -> None:
        self.step = step

    def __call__(self, prediction: Mapping[str, Tensor], batch: Mapping[str, Tensor], field: Any) -> Tensor:
        if "coords" not in batch:
            raise UserError(
                f"loss=total_variation needs a batch with coords, but this signal has {', '.join(batch)}; "
                "leave the term out"
            )
        coords = batch["coords"]
        shifts = self.step * torch.eye(coords.shape[-1], device=coords.device, dtype=coords.dtype)
        shifted = field((coords + shifts[:, None]).flatten(0, 1))
        values = field(coords).repeat(len(shifts), 1)
        return (shifted - values).abs().mean() / self.step
