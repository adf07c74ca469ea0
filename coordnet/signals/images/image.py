import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.ranges import MAX_PIXELS, check_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.image_file import read_image

# Longer sides are scored on a window, whose arrays stay small beside the pixels of such a picture.
SCORED_WHOLE, WINDOW = 2048, 1024


class Image(Signal):
    """An image, trained on every `holdout`-th pixel in each direction.

    With a hold-out of s > 1 the training pixels are [::s, ::s], the test pixels the offset grid [s//2::s, s//2::s],
    and all others are for validation. Of sides beyond 2048 pixels, the middle 1024 are scored.

    Args:
        pixels: (height, width, channels), uint8 or float in [0, 1]; kept as it is, and made float per batch.
        holdout: s; 1 trains on all pixels.
        wave: The local wave vector (*, 2) at coordinates (*, 2), in cycles across the domain, of an image that is one
            wave everywhere. Its contrast is then measured.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, pixels: Tensor, holdout: int = 1, wave: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        height, width, self.channels = pixels.shape
        if not 1 <= holdout <= min(height, width):
            raise UserError(
                f"signal.holdout={holdout} must lie between 1 (train on all pixels) and {min(height, width)}"
            )
        self.domain = Domain((width, height), holdout)
        self.pixels = pixels
        self.holdout = holdout
        self.wave = wave
        self.columns = -(-width // holdout)
        self.num_observations = self.columns * -(-height // holdout)

    def values(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        x = index % self.columns * self.holdout
        y = index // self.columns * self.holdout
        coords = self.domain.index_to_coords(torch.stack([x, y], dim=-1))
        return {"coords": coords, "value": self.values(self.pixels[y, x])}

    def fingerprint(self) -> str | None:
        if self.pixels.dtype != torch.uint8:
            return None
        return hashlib.sha256(self.pixels.contiguous().numpy().data).hexdigest()

    def training_grid(self) -> Tensor:
        return self.values(self.pixels[self.window()][:: self.holdout, :: self.holdout])

    def training_samples(self) -> tuple[Tensor, Tensor, Tensor]:
        """All training pixels (rows, columns, C), and the coordinates (2,) of the first and of the last pixel."""
        samples = self.values(self.pixels[:: self.holdout, :: self.holdout])
        ends = self.get_batch(torch.tensor([0, self.num_observations - 1]))["coords"]
        return samples, ends[0], ends[1]

    def window(self) -> tuple[slice, slice]:
        """Rows and columns that are scored, starting on a training pixel."""
        slices = []
        for n in self.pixels.shape[:2]:
            side = n if n <= SCORED_WHOLE else WINDOW
            start = (n - side) // 2 // self.holdout * self.holdout
            slices.append(slice(start, start + side))
        return slices[0], slices[1]


def image_file(
    path: str,
    holdout: int = 1,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
    background: Literal["white", "black"] | None = "white",
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """An image file of the user's: see `read_image` for the options."""
    check_ranges(image_file, holdout=holdout, crop=crop, resize=resize, max_pixels=max_pixels)
    return Image(read_image(Path(path), crop, resize, background, max_pixels), holdout)


def skimage_image(
    name: str,
    holdout: int = 1,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
) -> Image:
    """One of the photographs that scikit-image carries, such as astronaut, camera or coffee."""
    import skimage

    check_ranges(skimage_image, holdout=holdout, crop=crop, resize=resize)
    folder = Path(skimage.__file__).parent / "data"
    files = {file.stem: file for file in folder.glob("*.*") if file.suffix in (".png", ".jpg")}
    if name not in files:
        raise UserError(f"signal.name={name!r} must be one of {', '.join(sorted(files))}")
    return Image(read_image(files[name], crop, resize), holdout)


def image_from_array(
    values: NDArray[np.floating], holdout: int, wave: Callable[[Tensor], Tensor] | None = None
) -> Image:
    """An image made by a formula, (height, width) or (height, width, channels), in [0, 1]."""
    pixels = torch.from_numpy(np.atleast_3d(values).astype(np.float32))
    return Image(pixels, holdout, wave)
