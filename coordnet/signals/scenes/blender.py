from collections.abc import Sequence
from pathlib import Path

from coordnet.errors import UserError
from coordnet.ranges import check_ranges
from coordnet.signals.scenes.frames import read_frames
from coordnet.signals.scenes.posed_images import Background, PosedImages, Views
from coordnet.signals.scenes.view_files import check_pictures, evenly, read_views

# Of the cube that holds each of the scenes of NeRF's synthetic data.
HALF_SIZE = 1.5


def blender(
    path: str,
    downscale: int = 1,
    resize: Sequence[int] | None = None,
    background: Background = "white",
    center: Sequence[float] = (0.0, 0.0, 0.0),
    half_size: float = HALF_SIZE,
    train_views: int | None = None,
    scored_views: int | None = None,
    resolution: int | None = None,
) -> PosedImages:
    """A folder with transforms_train.json, and transforms_val.json or transforms_test.json, as NeRF's synthetic data.

    Each holds camera_angle_x, the horizontal angle of view in radians, and frames: a camera-to-world matrix with
    OpenGL's axes, and the name of a picture with or without its extension.

    Args:
        path: The folder.
        downscale: Pictures are averaged over blocks of this many pixels on a side.
        resize: Or over areas, to (width, height).
        background: As of `PosedImages`.
        center: Of the cube that holds the scene, in the files' units.
        half_size: Half its side, in the files' units, in [1e-30, 1e30].
        train_views: To train on, evenly spaced; None takes all.
        scored_views: Of the val and of the test files, likewise.
        resolution: As of `PosedImages`.

    Raises:
        UserError: Something cannot be read by these rules; the message names the file and the frame.
    """
    check_ranges(
        blender,
        downscale=downscale,
        resize=resize,
        center=center,
        half_size=half_size,
        train_views=train_views,
        scored_views=scored_views,
        resolution=resolution,
    )

    def views(split: str, key: str, count: int | None) -> Views | None:
        file = Path(path, f"transforms_{split}.json")
        if not file.is_file():
            return None
        frames = evenly(read_frames(file), count, key)
        check_pictures(frames)
        return read_views(frames, resize, downscale)

    try:
        train = views("train", "train_views", train_views)
        val, test = (views(split, "scored_views", scored_views) for split in ("val", "test"))
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"signal.path={path!r} cannot be looked up: {error}") from None
    if train is None:
        raise UserError(
            f"signal.path={path!r} has no transforms_train.json; give the folder of a scene in Blender format "
            "(see docs/scenes.md), or set COORDNET_DATA to the directory that holds nerf_synthetic"
        )
    return PosedImages(train, val, test, background, resolution, center=center, half_size=half_size)
