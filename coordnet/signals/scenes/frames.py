"""Reading the frames of a scene: a JSON file with poses that names pictures. What is wrong names file and frame."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coordnet.errors import UserError, shown
from coordnet.signals.images.image_file import read_image

EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
# Of nerfstudio and COLMAP: those that focal lengths, center and these coefficients describe.
MODELS = (None, "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
LENS = ("k1", "k2", "p1", "p2", "k3")
# As for instant-ngp, a frame that says one of these has all of its own.
FOCALS = {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y"}
# Files hold few digits: how far a rotation may be from one.
ROUNDING = 1e-3
MOST_BYTES = 2**28
# In pixels, and in units of the file: what float32 can work with.
FOCAL = (1e-3, 1e9)
FARTHEST = 1e15


def read_document(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object with a list of frames."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"{file} has more than {MOST_BYTES} bytes; poses take far less")
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is no JSON file: {error}") from None
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{file} must hold an object with a list of objects, frames")
    if not frames:
        raise UserError(f"{file} has no frames; at least one is needed")
    return document


def read_frames(file: Path) -> list["Frame"]:
    """All of a file; pictures are looked up later."""
    document = read_document(file)
    return [Frame(file, i, document) for i in range(len(document["frames"]))]


class Frame:
    """One entry of "frames", numbered as in the file; what it lacks is looked up in the file's own entries.

    Where it has a focal length or an angle of view of its own, none is looked up.

    Args:
        file: The JSON file.
        number: In its list, from 0.
        document: What the file holds.
    """

    def __init__(self, file: Path, number: int, document: Mapping[str, Any]) -> None:
        self.file = file
        own = document["frames"][number]
        self.entries = {**document, **own}
        if not own.keys().isdisjoint(FOCALS):
            for key in FOCALS - own.keys():
                self.entries.pop(key, None)
        self.name = f"{file} frame {number}"

    def number(self, key: str, default: float | None = None) -> float:
        value = self.entries.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise UserError(f"{self.name}: {key}={shown(value)} must be a finite number")
        return float(value)

    def pose(self) -> Tensor:
        """(3, 4) in float64. A scale that multiplies the rotation is taken out: it moves no pixel."""
        try:
            matrix = torch.tensor(self.entries.get("transform_matrix"), dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            matrix = torch.empty(0)
        if matrix.shape not in ((4, 4), (3, 4)):
            raise UserError(f"{self.name}: transform_matrix must be 4 rows of 4 numbers")
        if not (matrix.abs() < FARTHEST).all():
            raise UserError(
                f"{self.name}: transform_matrix holds NaN or numbers that are not below {FARTHEST:g}"
            )
        if matrix[3:].tolist() not in ([], [[0, 0, 0, 1]]):
            raise UserError(f"{self.name}: transform_matrix must have 0, 0, 0, 1 as its fourth row")
        rotation, position = matrix[:3].split([3, 1], dim=-1)
        volume = float(torch.linalg.det(rotation))
        if abs(volume) <= 1e-12 * float(rotation.abs().max()) ** 3:
            raise UserError(f"{self.name}: transform_matrix is singular")
        rotation = rotation / abs(volume) ** (1 / 3)
        if volume < 0 or (rotation @ rotation.T - torch.eye(3)).abs().max() > ROUNDING:
            raise UserError(
                f"{self.name}: transform_matrix must hold a rotation, "
                "which may be scaled but neither sheared nor mirrored"
            )
        return torch.cat([rotation, position], dim=-1)

    @property
    def path(self) -> Path:
        name = self.entries.get("file_path")
        if not isinstance(name, str) or "\0" in name:
            raise UserError(f"{self.name}: file_path={shown(name)} must be the name of a picture")
        bare = self.file.parent / name
        for extension in EXTENSIONS:
            try:
                if (found := bare.with_name(bare.name + extension)).is_file():
                    return found
            except (OSError, ValueError):
                break
        raise UserError(f"{self.name}: there is no picture {shown(str(bare))}, nor with .png or .jpg")

    def image(self) -> Tensor:
        """(height, width, 3 or 4) uint8."""
        path = self.path
        try:
            # Poses and focal lengths are those of the pixels as stored.
            pixels = read_image(path, background=None, upright=False)
        except UserError as error:
            raise UserError(f"{self.name}: {str(error).removeprefix('signal.path=')}") from None
        return pixels.expand(-1, -1, 3) if pixels.shape[2] == 1 else pixels

    def intrinsics(self, size: tuple[int, int]) -> tuple[list[float], list[float], list[float]]:
        """Focal lengths, center and distortion in a picture of (width, height), all in its pixels."""
        self.check_model()
        said = self.number("w", size[0]), self.number("h", size[1])
        if said != size:
            raise UserError(
                f"{self.name}: w and h are {said[0]:g} x {said[1]:g}, but the picture has {size[0]} x {size[1]} pixels"
            )
        fx = self.focal("x", size[0])
        focal = [fx, self.focal("y", size[1], fx)]
        if not FOCAL[0] <= min(focal) <= max(focal) <= FOCAL[1]:
            raise UserError(
                f"{self.name}: fl_x={focal[0]:g} and fl_y={focal[1]:g} must be from {FOCAL[0]} to {FOCAL[1]:g} pixels"
            )
        center = [self.number("cx", size[0] / 2), self.number("cy", size[1] / 2)]
        return focal, center, [self.number(key, 0.0) for key in LENS]

    def focal(self, axis: str, side: int, default: float | None = None) -> float:
        """Along an axis, said as such or by the angle under which that side, in pixels, is seen; else the default."""
        said, angle_key = f"fl_{axis}", f"camera_angle_{axis}"
        if said in self.entries:
            return self.number(said)
        if angle_key not in self.entries and default is not None:
            return default
        if angle_key not in self.entries:
            raise UserError(f"{self.name} has neither {said}, in pixels, nor {angle_key}, in radians")
        angle = self.number(angle_key)
        if not 0 < angle < math.pi:
            raise UserError(f"{self.name}: {angle_key}={angle} must lie between 0 and pi radians")
        return side / 2 / math.tan(angle / 2)

    def check_model(self) -> None:
        model = self.entries.get("camera_model")
        if model not in MODELS:
            raise UserError(
                f"{self.name}: camera_model={shown(model)} must be one of {', '.join(map(str, MODELS[1:]))}"
            )
        higher = [key for key in ("k4", "k5", "k6") if self.number(key, 0.0)]
        if higher or self.entries.get("is_fisheye"):
            raise UserError(
                f"{self.name}: lenses with {', '.join(higher) or 'is_fisheye'} are not known here"
            )
