import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.image_file import read_image
from coordnet.signals.options import MAX_PIXELS, Crop, PictureStride, Resize, check_stride

# Sides above SCORED_WHOLE pixels are scored on WINDOW pixels: arrays of floats then stay small beside the picture.
SCORED_WHOLE, WINDOW = 2048, 1024


class Image(Signal):
    """An image, trained on every `train_stride`-th pixel in each direction.

    With a training stride of s > 1 the training pixels are [::s, ::s], the test pixels lie on the offset grid
    [s//2::s, s//2::s], and all other pixels are for validation. A side above 2048 pixels is scored on its middle 1024
    pixels.

    Args:
        pixels: (height, width, channels), uint8 or float in [0, 1]. Batches hold floats; the pixels stay as they are.
        train_stride: s, from 1 (train on all pixels) to the shorter side.
        wave: Maps coordinates (*, 2) to the local wave vector (*, 2) of an image that is one wave everywhere, in cycles
            across the domain.

    Raises:
        OptionError: The training stride is outside its range.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, pixels: Tensor, train_stride: int = 1, wave: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        height, width, self.channels = pixels.shape
        check_stride(train_stride, min(height, width), "pixels")
        self.domain = Domain((width, height), train_stride)
        self.pixels = pixels
        self.train_stride = train_stride
        self.wave = wave
        self.columns = -(-width // train_stride)
        self.num_observations = self.columns * -(-height // train_stride)

    def values(self, pixels: Tensor) -> Tensor:
        """Pixels as floats in [0, 1]."""
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        x = index % self.columns * self.train_stride
        y = index // self.columns * self.train_stride
        coords = self.domain.index_to_coords(torch.stack([x, y], dim=-1))
        return {"coords": coords, "value": self.values(self.pixels[y, x])}

    def fingerprint(self) -> str | None:
        if self.pixels.dtype != torch.uint8:
            return None
        return hashlib.sha256(self.pixels.contiguous().numpy().data).hexdigest()

    def training_grid(self) -> Tensor:
        """The training pixels (rows, columns, channels) of the window that is scored."""
        return self.values(self.pixels[self.window()][:: self.train_stride, :: self.train_stride])

    def training_samples(self) -> tuple[Tensor, Tensor, Tensor]:
        """All training pixels (rows, columns, C), and the coordinates (2,) of the first and of the last pixel."""
        samples = self.values(self.pixels[:: self.train_stride, :: self.train_stride])
        ends = self.get_batch(torch.tensor([0, self.num_observations - 1]))["coords"]
        return samples, ends[0], ends[1]

    def window(self) -> tuple[slice, slice]:
        """The rows and columns that are scored; both start on a training pixel."""
        slices = []
        for n in self.pixels.shape[:2]:
            side = n if n <= SCORED_WHOLE else WINDOW
            start = (n - side) // 2 // self.train_stride * self.train_stride
            slices.append(slice(start, start + side))
        return slices[0], slices[1]


@validate_ranges
def image_file(
    path: str,
    train_stride: PictureStride = 1,
    crop: Crop = None,
    resize: Resize = None,
    background: Literal["white", "black"] | None = "white",
    max_pixels: Annotated[int, Range(1, MAX_PIXELS, "pixels")] = MAX_PIXELS,
) -> Image:
    """An image file of the user; `read_image` describes the options.

    Raises:
        UserError: The file cannot be read, or an option is outside its range.
    """
    return Image(read_image(Path(path), crop, resize, background, max_pixels), train_stride)


@validate_ranges
def skimage_image(
    name: str, train_stride: PictureStride = 1, crop: Crop = None, resize: Resize = None
) -> Image:
    """One of the photographs that scikit-image carries, such as astronaut, camera or coffee.

    Args:
        name: Name of the photograph.
        train_stride: Distance between training pixels in each direction.
        crop: (left, top, right, bottom) in pixels, applied first.
        resize: (width, height) in pixels, by area averaging.

    Raises:
        OptionError: The name is unknown, or an option is outside its range.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    files = {file.stem: file for file in folder.glob("*.*") if file.suffix in (".png", ".jpg")}
    if name not in files:
        raise OptionError("name", name, f"must be one of {', '.join(sorted(files))}")
    return Image(read_image(files[name], crop, resize), train_stride)


def image_from_array(
    values: NDArray[np.floating], train_stride: int, wave: Callable[[Tensor], Tensor] | None = None
) -> Image:
    """An image made by a formula, (height, width) or (height, width, channels), in [0, 1]."""
    pixels = torch.from_numpy(np.atleast_3d(values).astype(np.float32))
    return Image(pixels, train_stride, wave)
