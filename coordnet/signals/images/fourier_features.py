from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from coordnet.errors import UserError
from coordnet.ranges import check_ranges
from coordnet.signals.images.image import Image
from coordnet.signals.images.image_file import read_image


def fourier_features(
    kind: Literal["natural", "text"],
    index: int,
    folder: str,
    holdout: int = 2,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
) -> Image:
    """An image that Fourier features were tuned on (Tancik et al. 2020, App. E.1): 512 x 512, RGB.

    Trained on [::2, ::2] and scored on [1::2, 1::2], as there. Its code puts the training pixels at i / 256 of [0, 1]
    and the test pixels at (i + 1/2) / 256; ours are pixel centers of [-1, 1], which is the same up to a shift of half a
    pixel: it only turns the phases.

    Args:
        kind: Crops of photographs, or random strings on white.
        index: 0 to 15.
        folder: Holds natural/00.png to natural/15.png, and text/.
        holdout: As of `Image`.
        crop: (left, top, right, bottom) in pixels, applied first.
        resize: (width, height) in pixels, by area averaging.
    """
    check_ranges(fourier_features, index=index, holdout=holdout, crop=crop, resize=resize)
    file = Path(folder, kind, f"{index:02}.png")
    try:
        found = file.is_file()
    except OSError:
        found = False
    if not found:
        raise UserError(
            f"signal.folder={folder!r} has no {kind}/{file.name}; set COORDNET_DATA to the directory that holds "
            "fourier_features, or signal.folder to that folder itself (see data/README.md)"
        )
    return Image(read_image(file, crop, resize), holdout)
