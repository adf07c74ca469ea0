"""A flight around a scene, as a video."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from torch.nn import functional as F

from coordnet import viz
from coordnet.cameras import Cameras, estimate_up, orbit_poses
from coordnet.console import bar
from coordnet.errors import OptionError, UserError
from coordnet.export.default_path import default_path
from coordnet.export.video import check_video, write_video
from coordnet.export.view import Scale, scaled_size, scene_of
from coordnet.options import Range, check_number, validate_ranges
from coordnet.rendering.camera import render_view
from coordnet.runs.load import LoadedRun
from coordnet.signals.scenes.frames import read_frames
from coordnet.signals.scenes.view_files import read_cameras
from coordnet.signals.spec import SceneSpec

NUM_FRAMES = 60
# No camera is level at the poles.
MAX_ELEVATION = 89.0
_Sides = Annotated[Sequence[int], Range(1, 4096, "pixels", entries=2)]


@validate_ranges
def export_turntable(
    run: LoadedRun,
    num_frames: Annotated[int | None, Range(1, 100_000)] = None,
    # Browsers play faster GIFs slowly.
    fps: Annotated[float, Range(1, 50, "frames a second")] = 20.0,
    scale: Scale = 1.0,
    size: Sequence[int] | None = None,
    elevation: Annotated[float | None, Range(-MAX_ELEVATION, MAX_ELEVATION, "degrees")] = None,
    camera_path: Path | None = None,
    output: Path | None = None,
) -> Path:
    """Write a video of a scene on the scene's background: a new GIF or MP4 file.

    Args:
        run: A run of a scene.
        num_frames: Number of frames around the scene; None takes 60.
        fps: Frames per second.
        scale: Pixels per pixel of the scene's pictures; ignored where a size is given.
        size: (width, height) of the frames, each in [1, 4096]; the vertical angle of view stays.
        elevation: Elevation of the cameras in degrees; None takes the mean of the training cameras.
        camera_path: A JSON file in Blender format with the cameras of the frames, in the world of the scene's files.
        output: The new file; None takes turntable.gif in the run's directory.

    Returns:
        The file written.

    Raises:
        UserError: The run holds no scene, or the camera path or an option is not allowed.
        OSError: The file cannot be written. A faulty directory raises this error before anything is rendered.
    """
    if camera_path is not None and (num_frames, elevation) != (None, None):
        raise OptionError(
            "camera_path",
            str(camera_path),
            "holds the cameras; --num-frames and --elevation are for cameras around the scene",
        )
    scene = scene_of(run)
    output = output or default_path(run, "turntable.gif")
    check_video("output", output)
    training = scene.cameras["train"]
    width, height = size or scaled_size(training.size, scale)
    check_number("size", (width, height), _Sides)
    if camera_path is not None:
        cameras = cameras_from_file(camera_path, (width, height), scene)
    else:
        cameras = orbit_cameras(training, (width, height), num_frames or NUM_FRAMES, elevation)
    write_video(output, render_frames(cameras, run, scene), fps)
    return output


def render_frames(cameras: Cameras, run: LoadedRun, scene: SceneSpec) -> Iterator[viz.Picture]:
    """Yield the view of each camera, (height, width, 3) uint8."""
    for i in bar(range(len(cameras)), "rendering"):
        yield viz.to_pixels(render_view(cameras, i, scene.background, run.predict)["value"].numpy())


def orbit_cameras(cameras: Cameras, size: tuple[int, int], count: int, elevation: float | None) -> Cameras:
    """Cameras on a circle with the mean distance, elevation and vertical angle of view of other cameras.

    Args:
        cameras: The other cameras, in coordinates with the middle of the scene at 0.
        size: (width, height) of the new images in pixels.
        count: Number of new cameras, at least 1.
        elevation: Elevation of the new cameras in degrees; None takes the mean of the other cameras.
    """
    positions, up = cameras.poses[..., 3], estimate_up(cameras.poses)
    if elevation is None:
        elevation = float(torch.asin((F.normalize(positions, dim=-1) @ up).clamp(-1, 1)).rad2deg().mean())
        elevation = min(max(elevation, -MAX_ELEVATION), MAX_ELEVATION)
    poses = orbit_poses(count, float(positions.norm(dim=-1).mean()), elevation, up)
    focal = cameras.focal.mean(dim=0) * size[1] / cameras.size[1]
    return Cameras(poses, focal.expand(count, 2), torch.tensor(size).expand(count, 2) / 2, size)


def cameras_from_file(path: Path, size: tuple[int, int], scene: SceneSpec) -> Cameras:
    """Read the cameras of a file, in coordinates of a scene's box, for images of (width, height) pixels.

    The vertical angle of view of the file stays. Images of another shape show more or less at the sides.

    Raises:
        UserError: The file cannot be read, or does not say which pixels its focal lengths are in.
    """
    frames = read_frames(path)
    for frame in frames:
        if "fl_x" in frame.entries and not {"w", "h"} <= frame.entries.keys():
            raise UserError(
                f"{frame.name}: fl_x is in pixels of pictures whose w and h the file must have too"
            )
    first = frames[0]
    sides = [first.number(key, side) for key, side in zip("wh", size, strict=True)]
    if not all(side >= 1 and side.is_integer() for side in sides):
        raise UserError(
            f"{first.name}: w={sides[0]:g} and h={sides[1]:g} must be whole numbers of at least 1"
        )
    width, height = map(int, sides)
    cameras = read_cameras(frames, (width, height)).normalized_to(scene.center, scene.half_size)
    scale = size[1] / height
    center = (cameras.center - torch.tensor([width, height]) / 2) * scale + torch.tensor(size) / 2
    return replace(cameras, focal=cameras.focal * scale, center=center, size=size)
