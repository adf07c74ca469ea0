from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from coordnet.errors import OptionError, UserError, shown
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
from coordnet.signals.spec import SPLITS

FILE_NAME = "transforms.json"
# Hold-out stride of LLFF's scenes.
_TEST_EVERY = 8
# Half the side of the cube over the mean distance of the cameras, as in instant-ngp (0.5 / 0.33 at distance 4).
_HALF_SIZE_SHARE = 0.375
# Smallest spread of the viewing directions for which the point nearest to all optical axes is well defined.
_MIN_SPREAD = 1e-3

Splits = dict[str, list[Frame]]


@validate_ranges
def transforms(
    path: str,
    test_every: Annotated[int | None, Range(0, 4096, "views")] = None,
    downscale: Downscale = 1,
    resize: Resize = None,
    background: Background = "white",
    center: Annotated[Sequence[float] | None, Range(-1e30, 1e30, entries=3)] = None,
    half_size: Annotated[float | None, Range(1e-30, 1e30)] = None,
    train_views: NumFrames = None,
    max_eval_views: NumFrames = None,
    resolution: Resolution = None,
) -> PosedImages:
    """A scene in one transforms.json, the format of instant-ngp and nerfstudio.

    Frames have a camera-to-world matrix with OpenGL's axes and the name of a picture. The file or a frame has fl_x and
    fl_y, cx and cy in pixels, w and h, and OpenCV's k1, k2, p1, p2, k3; or camera_angle_x in radians. Fisheye lenses
    are refused.

    By default, the cube of the scene is centered on the point nearest to all optical axes (least squares), and half the
    side of the cube is 3/8 of the mean distance between the cameras and that point, times aabb_scale where the file has
    aabb_scale. Nothing outside the cube is rendered.

    Args:
        path: The file, or the folder that holds the file.
        test_every: Hold-out stride over the pictures in the order of their names, at least 2; the first picture is held
            out. 0 trains on all pictures. None uses train_filenames, val_filenames and test_filenames of the file, as
            nerfstudio does, and 8 if the file has no such list; frames in no list are left out.
        downscale: Side in pixels of the blocks that pictures are averaged over, in [1, 8192].
        resize: (width, height) in pixels to resize pictures to by area averaging, in place of `downscale`.
        background: Color behind transparent pixels: "white", "black" or "random", as in `PosedImages`.
        center: Center (x, y, z) of the scene's cube, in the units of the file; None uses the default above.
        half_size: Half the side of the scene's cube, in the units of the file; None uses the default above.
        train_views: Number of views to train on, evenly spaced; None takes all.
        max_eval_views: Largest number of views of each held-out split, evenly spaced; None takes all.
        resolution: Number of cells along each axis of the domain, as in `PosedImages`.

    Raises:
        OptionError: An option does not fit the file.
        UserError: The file does not follow these rules; the message names the file and the frame.
    """
    if test_every == 1:
        raise OptionError("test_every", test_every, "must be at least 2, or 0 to train on all pictures")
    file = _find(path)
    frames = read_frames(file)
    splits = split_from_filenames(file, frames) if test_every is None else None
    splits = splits or split_every_nth(_TEST_EVERY if test_every is None else test_every, file, frames)
    frames = [frame for split in splits.values() for frame in split]
    check_pictures(frames)
    if max_eval_views is not None and not (splits["val"] or splits["test"]):
        raise OptionError("max_eval_views", max_eval_views, "must be null where nothing is held out")
    poses = torch.stack([frame.pose() for frame in frames])
    middle = focus(poses, file) if center is None else torch.tensor(center, dtype=torch.float64)
    if half_size is None:
        half_size = _default_half_size(poses, middle, frames[0])

    def views(chosen: Sequence[Frame]) -> Views | None:
        return read_views(chosen, resize, downscale) if chosen else None

    train = views(select_training(splits["train"], train_views))
    assert train is not None
    val, test = (views(select_evenly(splits[split], max_eval_views)) for split in SPLITS[1:])
    return PosedImages(train, val, test, background, resolution, center=middle.tolist(), half_size=half_size)


def split_every_nth(test_every: int, file: Path, frames: Sequence[Frame]) -> Splits:
    """Hold out every `test_every`-th frame, in the order of the picture names, for "val"; 0 trains on all frames.

    Raises:
        OptionError: No frame is left to train on.
    """
    ordered = _by_name(frames)
    val = ordered[::test_every] if test_every else []
    train = [frame for frame in ordered if frame not in val]
    if not train:
        raise OptionError(
            "test_every", test_every, f"leaves none of the {len(frames)} frames of {file} to train on"
        )
    return {"train": train, "val": val, "test": []}


def split_from_filenames(file: Path, frames: Sequence[Frame]) -> Splits | None:
    """Split frames by the lists train_filenames, val_filenames and test_filenames of the file.

    Returns:
        The frames of each split in the order of the picture names; None if the file has no such list.

    Raises:
        UserError: A list is empty for "train", names no frame, or shares a name with another list.
    """
    lists = {split: frames[0].entries.get(f"{split}_filenames") for split in SPLITS}
    if all(names is None for names in lists.values()):
        return None
    if not lists["train"]:
        raise UserError(
            f"{file} has lists of frames, but none in train_filenames; set signal.test_every, which overrides the lists"
        )
    frame_of = {Path(str(frame.entries.get("file_path"))): frame for frame in frames}
    split_of: dict[Frame, str] = {}
    for split, names in lists.items():
        key = f"{split}_filenames"
        if not isinstance(names, list | None):
            raise UserError(f"{file}: {key}={shown(names)} must be a list of the file_path of frames")
        for name in names or []:
            frame = frame_of.get(Path(str(name)))
            if frame is None:
                raise UserError(f"{file}: {key} names {shown(name)}, which is the file_path of no frame")
            if split_of.setdefault(frame, split) != split:
                raise UserError(f"{file}: {key} and {split_of[frame]}_filenames both name {shown(name)}")
    return {split: _by_name([frame for frame in frames if split_of.get(frame) == split]) for split in SPLITS}


def focus(poses: Tensor, file: Path) -> Tensor:
    """The point (3,) with the least sum of squared distances from the optical axes of poses (n, 3, 4).

    Raises:
        UserError: The optical axes are parallel, so no point is nearest; the message names the file.
    """
    axes, positions = poses[..., 2], poses[..., 3]
    projections = torch.eye(3) - axes[:, :, None] * axes[:, None]
    total = projections.sum(dim=0)
    if torch.linalg.eigvalsh(total)[0] < _MIN_SPREAD * len(poses):
        raise UserError(
            f"{file}: the cameras look in parallel, so the center of the scene is unknown; "
            "set signal.center and signal.half_size"
        )
    return torch.linalg.solve(total, torch.einsum("nij,nj->i", projections, positions))


def _default_half_size(poses: Tensor, center: Tensor, frame: Frame) -> float:
    distance = torch.linalg.vector_norm(poses[..., 3] - center, dim=-1).mean()
    scale = frame.number("aabb_scale", 1.0)
    if scale <= 0:
        raise UserError(f"{frame.file}: aabb_scale={scale:g} must be above 0; set signal.half_size")
    half_size = _HALF_SIZE_SHARE * float(distance) * scale
    if not half_size > 1e-30:
        raise UserError(
            f"{frame.file}: all cameras are at the estimated center of the scene; set signal.half_size"
        )
    return half_size


def _by_name(frames: Sequence[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: str(frame.path))


def _find(path: str) -> Path:
    try:
        for file in (Path(path), Path(path, FILE_NAME)):
            if file.is_file():
                return file
    except (OSError, ValueError):
        pass
    raise OptionError("path", path, f"must be a {FILE_NAME}, or a folder that holds one (see docs/scenes.md)")
