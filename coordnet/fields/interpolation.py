from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coordnet.errors import UserError


class Interpolation(nn.Module):
    """Bilinear or bicubic (Keys, a = -0.75) interpolation of the training samples: the baseline without training.

    Args:
        samples: Training pixels (rows, columns, C).
        first: Coordinates (2,) of samples[0, 0], x first.
        last: Coordinates (2,) of samples[-1, -1]. Outside of both, the border samples are repeated.
        mode: "bilinear" or "bicubic".

    Raises:
        UserError: The mode is unknown.
    """

    planes: Tensor
    center: Tensor
    reach: Tensor

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

    def forward(self, coords: Tensor) -> Tensor:
        """Values (*, C) at coords (*, 2)."""
        flat = ((coords - self.center) / self.reach).reshape(1, 1, -1, 2)
        values = F.grid_sample(self.planes, flat, mode=self.mode, padding_mode="border", align_corners=True)
        return values[0, :, 0].T.reshape(*coords.shape[:-1], self.planes.shape[1])
