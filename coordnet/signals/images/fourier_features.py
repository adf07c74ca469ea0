from pathlib import Path
from typing import Annotated, Literal

from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges
from coordnet.signals.images.image import Image
from coordnet.signals.images.image_file import read_image
from coordnet.signals.options import Crop, PictureStride, Resize


@validate_ranges
def fourier_features(
    kind: Literal["natural", "text"],
    index: Annotated[int, Range(0, 15)],
    folder: str,
    train_stride: PictureStride = 2,
    crop: Crop = None,
    resize: Resize = None,
) -> Image:
    """An image that Fourier features were tuned on (Tancik et al. 2020, App. E.1): 512 x 512, RGB.

    With the default stride the training pixels are [::2, ::2] and the test pixels [1::2, 1::2], as in the paper. The
    paper's code puts the training pixels at i / 256 of [0, 1] and the test pixels at (i + 1/2) / 256. Pixel centers of
    [-1, 1] are the same coordinates up to a shift of half a pixel, which only turns the phases.

    Args:
        kind: "natural" for crops of photographs, "text" for random strings on white.
        index: Number of the image.
        folder: Directory that holds natural/00.png to natural/15.png, and text/.
        train_stride: Distance between training pixels in each direction, as in `Image`.
        crop: (left, top, right, bottom) in pixels, applied first.
        resize: (width, height) in pixels, by area averaging.

    Raises:
        OptionError: The directory does not hold the image, or an option is outside its range.
    """
    file = Path(folder, kind, f"{index:02}.png")
    try:
        found = file.is_file()
    except OSError:
        found = False
    if not found:
        raise OptionError(
            "folder",
            folder,
            f"must hold {kind}/{file.name}; COORDNET_DATA names the directory that holds fourier_features "
            "(see data/README.md)",
        )
    return Image(read_image(file, crop, resize), train_stride)
