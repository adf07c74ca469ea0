"""Pictures of a scene from files: one stack of one size, and their cameras."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from coordnet.cameras import Cameras, distorted, jacobian, undistorted
from coordnet.errors import UserError, shown
from coordnet.signals.scenes.frames import Frame
from coordnet.signals.scenes.posed_images import Views

# Pixels on each side that a lens is tried at.
EDGE = 9


def check_pictures(frames: Sequence[Frame]) -> None:
    """Of one file: a picture with two poses has a wrong one, and may be held out and trained on at once."""
    seen: dict[Path, Frame] = {}
    for frame in frames:
        if (first := seen.setdefault(frame.path.resolve(), frame)) is not frame:
            raise UserError(f"{frame.name}: its picture {shown(str(frame.path))} is that of {first.name} too")


def evenly(items: Sequence[Frame], count: int | None, key: str) -> Sequence[Frame]:
    """`count` of them, evenly spaced and the first among them; None takes all."""
    if count is None:
        return items
    if not 1 <= count <= len(items):
        raise UserError(f"signal.{key}={count} must lie between 1 and {len(items)}, or be null for all")
    return [items[i * len(items) // count] for i in range(count)]


def read_views(frames: Sequence[Frame], size: Sequence[int] | None, downscale: int) -> Views:
    """The pictures of frames, all of one size, averaged over areas to a smaller one; cameras in world units.

    Args:
        frames: At least one.
        size: (width, height) to bring pictures to; None keeps it.
        downscale: Or a whole factor that divides both sides.
    """
    images: list[Tensor] = []
    whole: tuple[int, int] | None = None
    for frame in frames:
        image = frame.image()
        height, width = image.shape[:2]
        whole = whole or (width, height)
        if (width, height) != whole:
            raise UserError(
                f"{frame.name}: the picture has {width} x {height} pixels, the first has {whole[0]} x {whole[1]}; "
                "all must have one size"
            )
        images.append(averaged(image, target_size(whole, size, downscale)))
    assert whole is not None
    return Views(stack(images), read_cameras(frames, whole).resized(target_size(whole, size, downscale)))


def read_cameras(frames: Sequence[Frame], size: tuple[int, int]) -> Cameras:
    """The cameras of frames whose pictures have (width, height), in world units and float64."""
    focal, center, lens = zip(*(frame.intrinsics(size) for frame in frames), strict=True)
    distortion = torch.tensor(lens)
    cameras = Cameras(
        torch.stack([frame.pose() for frame in frames]),
        torch.tensor(focal),
        torch.tensor(center),
        size,
        distortion if distortion.any() else None,
    )
    for i, frame in enumerate(frames):
        if not clear(cameras, i):
            raise UserError(
                f"{frame.name}: no ray leads to some pixels at the edge of the picture; "
                "its k1, k2, p1, p2, k3 do not fit its fl_x, fl_y, cx and cy"
            )
    return cameras


def clear(cameras: Cameras, i: int) -> bool:
    """Whether the rays of pixels around the edge of the picture of camera i lead back to them, to a tenth of one,
    without crossing a fold of the lens."""
    if cameras.distortion is None:
        return True
    share = torch.linspace(0, 1, EDGE)
    zero, one = torch.zeros(EDGE), torch.ones(EDGE)
    sides = ([share, zero], [share, one], [zero, share], [one, share])
    pixels = torch.cat([torch.stack(side, dim=-1) for side in sides]) * torch.tensor(cameras.size)
    plane = (pixels - cameras.center[i]) / cameras.focal[i]
    found = undistorted(plane, cameras.distortion[i])
    missed = (distorted(found, cameras.distortion[i]) - plane) * cameras.focal[i]
    xx, xy, yy = jacobian(found, cameras.distortion[i])
    # Beyond the fold of a lens the picture is turned over.
    return bool((missed.abs() < 0.1).all() and (xx > 0).all() and (xx * yy > xy**2).all())


def stack(images: list[Tensor]) -> Tensor:
    """(n, height, width, channels); those without opacity are opaque where others have it."""
    channels = max(image.shape[2] for image in images)
    stacked = images[0].new_full((len(images), *images[0].shape[:2], channels), 255)
    for place, image in zip(stacked, images, strict=True):
        place[..., : image.shape[2]] = image
    return stacked


def target_size(whole: tuple[int, int], size: Sequence[int] | None, downscale: int) -> tuple[int, int]:
    width, height = whole
    if size is not None:
        if downscale != 1:
            raise UserError(f"signal.downscale={downscale} must be 1 where signal.resize is given")
        if len(size) != 2 or not (1 <= size[0] <= width and 1 <= size[1] <= height):
            raise UserError(f"signal.resize={list(size)} must be [width, height], at most {width} x {height}")
        return size[0], size[1]
    if downscale < 1 or width % downscale or height % downscale:
        raise UserError(
            f"signal.downscale={downscale} must be at least 1 and divide {width} x {height} pixels; "
            "signal.resize takes any smaller size"
        )
    return width // downscale, height // downscale


def averaged(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (height, width, 3 or 4) uint8, averaged over areas to (width, height).

    Colors are multiplied by opacity before and divided after, so that what is transparent lends no color.
    """
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    values = pixels.float() / 255
    values[..., :3] *= values[..., 3:] if values.shape[2] == 4 else 1
    rows, columns = (shares(n, m) for n, m in zip(pixels.shape[:2], size[::-1], strict=True))
    values = columns @ (rows @ values.flatten(1)).unflatten(1, values.shape[1:])
    if values.shape[2] == 4:
        values[..., :3] /= values[..., 3:].clamp(min=torch.finfo().tiny)
    return (values.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def shares(cells: int, wanted: int) -> Tensor:
    """(wanted, cells): the share that each cell has in the average over each of `wanted` equal stretches."""
    edges = np.arange(wanted + 1) * cells / wanted
    low, high = (
        np.maximum.outer(edges[:-1], np.arange(cells)),
        np.minimum.outer(edges[1:], np.arange(cells) + 1),
    )
    return torch.from_numpy((high - low).clip(min=0) * wanted / cells).float()
