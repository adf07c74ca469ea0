"""A flight around a scene, as a video."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from coordnet import viz
from coordnet.cameras import Cameras, estimate_up, orbit_poses
from coordnet.console import bar
from coordnet.errors import UserError
from coordnet.export import video
from coordnet.export.view import load_scene, scaled
from coordnet.ranges import Range
from coordnet.rendering.camera import render_view
from coordnet.signals.scenes.frames import read_frames
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.signals.scenes.view_files import read_cameras
from coordnet.training.module import FieldModule

FRAMES = 60
COUNT = Range(1, 100_000, whole=True)
# Browsers slow GIFs down that are faster.
RATE = Range(1, 50, "pictures a second")
SIDES = Range(1, 4096, "pixels", whole=True, entries=2)
# At the poles no camera is level.
ELEVATION = Range(-89, 89, "degrees")


def turntable(
    run: Path,
    frames: int | None = None,
    rate: float = 20.0,
    scale: float = 1.0,
    size: Sequence[int] | None = None,
    elevation: float | None = None,
    path: Path | None = None,
    out: Path | None = None,
    which: str = "last",
    allow: Sequence[str] = (),
) -> Path:
    """Write a video of a run's scene, on its background: a new GIF or MP4 file.

    Args:
        run: The run's directory.
        frames: Pictures around the scene, in [1, 100000]; 60 by default.
        rate: Pictures each second, in [1, 50].
        scale: Pixels per pixel of the signal's pictures, if no size is given.
        size: (width, height) of the pictures, each in [1, 4096]; the vertical angle of view stays.
        elevation: Of the cameras, in degrees, in [-89, 89]; the mean of those trained on by default.
        path: A JSON file in Blender format with the cameras instead, in the world of the signal's own files.
        out: The file; turntable.gif in the run by default.
        which: "last" or "best" checkpoint.
        allow: As for `build`.

    Raises:
        UserError: The run, the path or an option does not allow it.
        OSError: The file cannot be written. Where the directory is at fault, nothing has been rendered yet.
    """
    if frames is not None:
        COUNT.check("--frames", frames)
    RATE.check("--fps", rate)
    if elevation is not None:
        ELEVATION.check("--elevation", elevation)
    if path is not None and (frames, elevation) != (None, None):
        raise UserError(
            f"--path={path} has the cameras; --frames and --elevation are for those around the scene"
        )
    out = out or run / "turntable.gif"
    video.check_video(out)
    signal, model = load_scene(run, which, allow)
    width, height = size or scaled(signal.train.cameras.size, scale)
    SIDES.check("--size", (width, height))
    if path is not None:
        cameras = along(path, (width, height), signal)
    else:
        cameras = around(signal.train.cameras, (width, height), frames or FRAMES, elevation)
    video.write(out, pictures(cameras, signal, model), rate)
    return out


@torch.no_grad()
def pictures(cameras: Cameras, signal: PosedImages, model: FieldModule) -> Iterator[viz.Picture]:
    for i in bar(range(len(cameras)), "rendering"):
        yield viz.to_pixels(render_view(cameras, i, signal.eval_background, model.predict)["value"].numpy())


def around(cameras: Cameras, size: tuple[int, int], count: int, elevation: float | None) -> Cameras:
    """`count` cameras on a circle at the mean distance and elevation of others, with their mean vertical angle of view.

    Args:
        cameras: In coordinates that have the middle of the scene at 0.
        size: (width, height) of the new ones, whose axis is in the middle, in pixels.
        count: At least 1.
        elevation: Instead of the mean, in degrees.
    """
    positions, up = cameras.poses[..., 3], estimate_up(cameras.poses)
    if elevation is None:
        elevation = float(torch.asin((F.normalize(positions, dim=-1) @ up).clamp(-1, 1)).rad2deg().mean())
        elevation = min(max(elevation, ELEVATION.low), ELEVATION.high)
    poses = orbit_poses(count, float(positions.norm(dim=-1).mean()), elevation, up)
    focal = cameras.focal.mean(dim=0) * size[1] / cameras.size[1]
    return Cameras(poses, focal.expand(count, 2), torch.tensor(size).expand(count, 2) / 2, size)


def along(path: Path, size: tuple[int, int], signal: PosedImages) -> Cameras:
    """The cameras of a file, brought to the box of a signal, with pictures of (width, height).

    Where the file's have another shape, the vertical angle of view stays, and more or less is seen at the sides.
    """
    frames = read_frames(path)
    for frame in frames:
        if "fl_x" in frame.entries and not {"w", "h"} <= frame.entries.keys():
            raise UserError(
                f"{frame.name}: fl_x is in pixels of pictures whose w and h the file must have too"
            )
    first = frames[0]
    said = [first.number(key, side) for key, side in zip("wh", size, strict=True)]
    if not all(side >= 1 and side.is_integer() for side in said):
        raise UserError(f"{first.name}: w={said[0]:g} and h={said[1]:g} must be whole numbers of at least 1")
    width, height = map(int, said)
    cameras = read_cameras(frames, (width, height)).normalized_to(signal.center, signal.half_size)
    scale = size[1] / height
    center = (cameras.center - torch.tensor([width, height]) / 2) * scale + torch.tensor(size) / 2
    return replace(cameras, focal=cameras.focal * scale, center=center, size=size)
