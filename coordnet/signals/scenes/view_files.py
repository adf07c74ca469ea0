"""Reading the views of a scene from files: pictures of one size, and their cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from coordnet.cameras import Cameras, distorted, distortion_jacobian, undistorted
from coordnet.errors import OptionError, UserError, shown
from coordnet.options import Range
from coordnet.signals.scenes.frames import Frame
from coordnet.signals.scenes.posed_images import Views

Downscale = Annotated[int, Range(1, 8192, "pixels")]
Resize = Annotated[Sequence[int] | None, Range(1, 8192, "pixels", entries=2)]
NumFrames = Annotated[int | None, Range(1, 2**20)]
# Pixels along each side of a picture at which the distortion is inverted.
_EDGE_PIXELS = 9


def check_pictures(frames: Sequence[Frame]) -> None:
    """Refuse a file with two poses for a picture: a pose is wrong, and the picture may be in two splits.

    Raises:
        UserError: Two frames have the same picture; the message names both.
    """
    frame_of: dict[Path, Frame] = {}
    for frame in frames:
        if (other := frame_of.setdefault(frame.path.resolve(), frame)) is not frame:
            raise UserError(
                f"{frame.name}: picture {shown(str(frame.path))} is the picture of {other.name}, too"
            )


def select_evenly(frames: Sequence[Frame], max_count: int | None) -> Sequence[Frame]:
    """Select at most `max_count` frames, evenly spaced, the first frame included; None selects all."""
    count = len(frames) if max_count is None else min(max_count, len(frames))
    return [frames[i * len(frames) // count] for i in range(count)]


def select_training(frames: Sequence[Frame], train_views: int | None) -> Sequence[Frame]:
    """Select exactly `train_views` frames, evenly spaced, the first frame included; None selects all.

    Raises:
        OptionError: There are fewer frames.
    """
    if train_views is not None and train_views > len(frames):
        raise OptionError("train_views", train_views, f"must be at most {len(frames)}, or null for all views")
    return select_evenly(frames, train_views)


def read_views(frames: Sequence[Frame], size: Sequence[int] | None, downscale: int) -> Views:
    """Read the pictures and cameras of frames; the cameras are in world units.

    Args:
        frames: At least one frame; all pictures have one size.
        size: (width, height) in pixels to resize pictures to, by area averaging; None keeps the size.
        downscale: Whole factor that divides both sides, in place of `size`.

    Raises:
        OptionError: The size does not fit the pictures.
        UserError: A picture cannot be read, or has another size than the first.
    """
    images: list[Tensor] = []
    full: tuple[int, int] | None = None
    for frame in frames:
        image = frame.image()
        height, width = image.shape[:2]
        full = full or (width, height)
        if (width, height) != full:
            raise UserError(
                f"{frame.name}: the picture has {width} x {height} pixels, the first has {full[0]} x {full[1]}; "
                "all pictures must have one size"
            )
        images.append(area_average(image, _target_size(full, size, downscale)))
    assert full is not None
    cameras = read_cameras(frames, full).resized(_target_size(full, size, downscale))
    return Views(
        _stack(images), cameras, tuple(Path(frame.entries["file_path"]).as_posix() for frame in frames)
    )


def read_cameras(frames: Sequence[Frame], size: tuple[int, int]) -> Cameras:
    """Read the cameras of frames whose pictures have (width, height) pixels, in world units and float64.

    Raises:
        UserError: A pose or a lens is not usable; the message names the frame.
    """
    focal, center, distortion = zip(*(frame.intrinsics(size) for frame in frames), strict=True)
    coefficients = torch.tensor(distortion)
    cameras = Cameras(
        torch.stack([frame.pose() for frame in frames]),
        torch.tensor(focal),
        torch.tensor(center),
        size,
        coefficients if coefficients.any() else None,
    )
    for i, frame in enumerate(frames):
        if not distortion_is_invertible(cameras, i):
            raise UserError(
                f"{frame.name}: some pixels at the edge of the picture have no ray; "
                "k1, k2, p1, p2, k3 do not fit fl_x, fl_y, cx and cy"
            )
    return cameras


def distortion_is_invertible(cameras: Cameras, i: int) -> bool:
    """True if the distortion of camera `i` can be inverted along the edge of the picture.

    Undistorting and distorting a pixel must lead back to the pixel within 0.1 pixels, without crossing a fold of the
    lens, beyond which the picture is mirrored.
    """
    if cameras.distortion is None:
        return True
    share = torch.linspace(0, 1, _EDGE_PIXELS)
    zero, one = torch.zeros(_EDGE_PIXELS), torch.ones(_EDGE_PIXELS)
    sides = ([share, zero], [share, one], [zero, share], [one, share])
    pixels = torch.cat([torch.stack(side, dim=-1) for side in sides]) * torch.tensor(cameras.size)
    plane = (pixels - cameras.center[i]) / cameras.focal[i]
    found = undistorted(plane, cameras.distortion[i])
    missed = (distorted(found, cameras.distortion[i]) - plane) * cameras.focal[i]
    xx, xy, yy = distortion_jacobian(found, cameras.distortion[i])
    return bool((missed.abs() < 0.1).all() and (xx > 0).all() and (xx * yy > xy**2).all())


def area_average(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize pixels (height, width, 3 or 4) uint8 to (width, height) by averaging over areas.

    Colors are premultiplied by opacity and divided afterwards, so transparent pixels lend no color.
    """
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    values = pixels.float() / 255
    values[..., :3] *= values[..., 3:] if values.shape[2] == 4 else 1
    rows, columns = (area_weights(n, m) for n, m in zip(pixels.shape[:2], size[::-1], strict=True))
    values = columns @ (rows @ values.flatten(1)).unflatten(1, values.shape[1:])
    if values.shape[2] == 4:
        values[..., :3] /= values[..., 3:].clamp(min=torch.finfo().tiny)
    return (values.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def area_weights(num_cells: int, num_areas: int) -> Tensor:
    """The matrix (num_areas, num_cells) that averages cells over equal areas; each row sums to 1."""
    edges = np.arange(num_areas + 1) * num_cells / num_areas
    low, high = (
        np.maximum.outer(edges[:-1], np.arange(num_cells)),
        np.minimum.outer(edges[1:], np.arange(num_cells) + 1),
    )
    return torch.from_numpy((high - low).clip(min=0) * num_areas / num_cells).float()


def _stack(images: list[Tensor]) -> Tensor:
    """Stack images to (n, height, width, channels); images without opacity are opaque if others have opacity."""
    channels = max(image.shape[2] for image in images)
    stacked = images[0].new_full((len(images), *images[0].shape[:2], channels), 255)
    for target, image in zip(stacked, images, strict=True):
        target[..., : image.shape[2]] = image
    return stacked


def _target_size(full: tuple[int, int], size: Sequence[int] | None, downscale: int) -> tuple[int, int]:
    """The (width, height) that pictures of (width, height) `full` are resized to."""
    width, height = full
    if size is not None:
        if downscale != 1:
            raise OptionError("downscale", downscale, "must be 1 where resize is given")
        if len(size) != 2 or not (1 <= size[0] <= width and 1 <= size[1] <= height):
            raise OptionError("resize", list(size), f"must be [width, height], at most {width} x {height}")
        return size[0], size[1]
    if downscale < 1 or width % downscale or height % downscale:
        raise OptionError(
            "downscale",
            downscale,
            f"must be at least 1 and divide {width} x {height} pixels; resize takes any smaller size",
        )
    return width // downscale, height // downscale
