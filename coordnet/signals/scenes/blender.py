from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from coordnet.errors import OptionError, UserError
from coordnet.options import Range, validate_ranges
from coordnet.signals.scenes.frames import Frame, read_frames
from coordnet.signals.scenes.posed_images import Background, PosedImages, Resolution, Views
from coordnet.signals.scenes.view_files import (
    Downscale,
    NumFrames,
    Resize,
    check_pictures,
    read_views,
    select_evenly,
    select_training,
)

# Half the side of the cube that holds each scene of NeRF's synthetic data.
HALF_SIZE = 1.5


@validate_ranges
def blender(
    path: str,
    downscale: Downscale = 1,
    resize: Resize = None,
    background: Background = "white",
    center: Annotated[Sequence[float], Range(-1e30, 1e30, entries=3)] = (0.0, 0.0, 0.0),
    half_size: Annotated[float, Range(1e-30, 1e30)] = HALF_SIZE,
    train_views: NumFrames = None,
    max_eval_views: NumFrames = None,
    resolution: Resolution = None,
) -> PosedImages:
    """A scene in the format of NeRF's synthetic data.

    The folder holds transforms_train.json and, for held-out views, transforms_val.json or transforms_test.json. Each
    file has camera_angle_x, the horizontal angle of view in radians, and frames: a camera-to-world matrix with OpenGL's
    axes, and the name of a picture with or without the extension.

    Args:
        path: The folder.
        downscale: Side in pixels of the blocks that pictures are averaged over, in [1, 8192].
        resize: (width, height) in pixels to resize pictures to by area averaging, in place of `downscale`.
        background: Color behind transparent pixels: "white", "black" or "random", as in `PosedImages`.
        center: Center (x, y, z) of the cube that holds the scene, in the units of the files.
        half_size: Half the side of the cube, in the units of the files, in [1e-30, 1e30].
        train_views: Number of views to train on, evenly spaced; None takes all.
        max_eval_views: Largest number of views of each held-out file, evenly spaced; None takes all.
        resolution: Number of cells along each axis of the domain, as in `PosedImages`.

    Raises:
        OptionError: An option does not fit the files.
        UserError: A file does not follow these rules; the message names the file and the frame.
    """

    def frames(split: str) -> Sequence[Frame]:
        file = Path(path, f"transforms_{split}.json")
        return read_frames(file) if file.is_file() else ()

    def views(chosen: Sequence[Frame]) -> Views | None:
        check_pictures(chosen)
        return read_views(chosen, resize, downscale) if chosen else None

    try:
        train = views(select_training(frames("train"), train_views))
        val, test = (views(select_evenly(frames(split), max_eval_views)) for split in ("val", "test"))
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise OptionError("path", path, f"cannot be opened: {error}") from None
    if train is None:
        raise OptionError(
            "path",
            path,
            "has no transforms_train.json; give the folder of a scene in Blender format "
            "(see docs/scenes.md), or set COORDNET_DATA to the directory that holds nerf_synthetic",
        )
    return PosedImages(train, val, test, background, resolution, center=center, half_size=half_size)
