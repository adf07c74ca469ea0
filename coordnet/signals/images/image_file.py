"""Reading of picture files: each kind of file follows a stated rule, or is refused in one line."""

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from torch import Tensor

from coordnet.errors import OptionError, UserError
from coordnet.signals.options import MAX_PIXELS

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")

_ROWS_PER_CHUNK = 1024

# Pillow's decoders raise these errors on damaged files; a length in a header may ask for more memory than there is.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, struct.error, MemoryError)


def read_image(
    path: Path,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
    background: str | None = "white",
    max_pixels: int = MAX_PIXELS,
    upright: bool = True,
) -> Tensor:
    """Pixels (height, width, channels) uint8: 1 channel for gray files, 3 for color, 4 for kept opacity.

    Palettes and CMYK become RGB; 16-bit gray keeps its 8 high bits.

    Args:
        path: A PNG, JPEG, WebP, TIFF or BMP file with one frame.
        crop: (left, top, right, bottom) in pixels, applied first.
        resize: (width, height) in pixels, by area averaging.
        background: Color behind transparent files, "white" or "black"; None keeps opacity as a fourth channel.
        max_pixels: Limit of width times height. A larger file is refused by its header, before any pixel is decoded.
            The default is Pillow's own limit.
        upright: True applies the EXIF rotation.

    Raises:
        UserError: The file cannot be read by these rules.
    """
    if background not in (None, "white", "black"):
        raise OptionError("background", background, "must be white, black or null")
    try:
        problem = None if path.is_file() else "is not a regular file" if path.exists() else "does not exist"
    except OSError as error:
        problem = f"cannot be looked up: {error.strerror}"
    if problem:
        raise _path_error(path, f"{problem}; it must be a PNG, JPEG, WebP, TIFF or BMP file")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures at its own limit instead of max_pixels, and of damaged metadata.
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=_FORMATS) as file:
                width, height = file.size
                if width * height > max_pixels:
                    raise _path_error(
                        path, f"has {width} x {height} pixels, more than max_pixels={max_pixels}"
                    )
                if file.mode == "F":
                    raise _path_error(path, "holds floats, of no stated range; save as 8 or 16 bits")
                frames = getattr(file, "n_frames", 1)
                if frames > 1:
                    raise _path_error(path, f"has {frames} frames; one is allowed")
                file.load()
                # Rotation in place saves a copy of a large picture.
                if upright:
                    ImageOps.exif_transpose(file, in_place=True)
                picture = _edit(_flatten(file, background), crop, resize, max_pixels)
    except UnidentifiedImageError:
        raise _path_error(path, f"is not a {', '.join(_FORMATS)} picture") from None
    except Pillow.DecompressionBombError:
        raise _path_error(path, f"is above Pillow's limit of {MAX_PIXELS} pixels") from None
    except _DAMAGE as error:
        if isinstance(error, UserError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _path_error(path, f"cannot be read: {reason}") from None
    return torch.from_numpy(_to_array(picture))


def _path_error(path: Path, problem: str) -> OptionError:
    return OptionError("path", str(path), problem)


def _to_array(picture: Pillow.Image) -> NDArray[np.uint8]:
    """Pixels (height, width, channels), copied in chunks of rows: Pillow's own conversion would hold a second copy."""
    width, height = picture.size
    pixels = np.empty((height, width, len(picture.getbands())), np.uint8)
    for top in range(0, height, _ROWS_PER_CHUNK):
        rows = picture.crop((0, top, width, min(top + _ROWS_PER_CHUNK, height)))
        pixels[top : top + _ROWS_PER_CHUNK] = np.asarray(rows).reshape(-1, width, pixels.shape[2])
    return pixels


def _flatten(picture: Pillow.Image, background: str | None) -> Pillow.Image:
    """Convert any mode to L, RGB or (with background None) RGBA."""
    if picture.mode.startswith("I"):
        return Pillow.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    gray = picture.mode in ("1", "L", "LA")
    if not picture.has_transparency_data:
        return picture if picture.mode in ("L", "RGB") else picture.convert("L" if gray else "RGB")
    rgba = picture.convert("RGBA")
    if background is None:
        return rgba
    flat = Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, background), rgba)
    return flat.convert("L" if gray else "RGB")


def _edit(
    picture: Pillow.Image, crop: Sequence[int] | None, resize: Sequence[int] | None, max_pixels: int
) -> Pillow.Image:
    if crop is not None:
        width, height = picture.size
        if len(crop) != 4 or not (0 <= crop[0] < crop[2] <= width and 0 <= crop[1] < crop[3] <= height):
            raise OptionError(
                "crop", list(crop), f"must be [left, top, right, bottom] within {width} x {height} pixels"
            )
        picture = picture.crop((crop[0], crop[1], crop[2], crop[3]))
    if resize is not None:
        if len(resize) != 2 or min(resize) < 1 or resize[0] * resize[1] > max_pixels:
            raise OptionError(
                "resize",
                list(resize),
                f"must be [width, height], both at least 1, and at most {max_pixels} pixels together",
            )
        picture = picture.resize((resize[0], resize[1]), Pillow.Resampling.BOX)
    return picture
