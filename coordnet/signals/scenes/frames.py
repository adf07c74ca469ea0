"""Reading the frames of a scene: a JSON file with camera poses and picture names. Errors name file and frame."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coordnet.errors import OptionError, UserError, shown
from coordnet.signals.images.image_file import read_image

_EXTENSIONS = ("", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
# Camera models of nerfstudio and COLMAP that focal lengths, center and five coefficients describe.
_CAMERA_MODELS = (None, "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_DISTORTION_KEYS = ("k1", "k2", "p1", "p2", "k3")
# A frame that has one of these keys inherits none of them from the file, as in instant-ngp.
_FOCAL_KEYS = {"fl_x", "fl_y", "camera_angle_x", "camera_angle_y"}
# Tolerance of a rotation matrix: files hold few digits.
_ROTATION_TOLERANCE = 1e-3
_MAX_BYTES = 2**28
# Focal lengths in pixels that float32 can represent usefully.
_FOCAL_RANGE = (1e-3, 1e9)
# Largest coordinate of a camera that float32 can represent usefully, in units of the file.
_MAX_COORDINATE = 1e15


def read_document(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object with a list of frames.

    Raises:
        UserError: The file cannot be read, or has another structure.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UserError(f"{file} has more than {_MAX_BYTES} bytes; a file of poses is far smaller")
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} is not a JSON file: {error}") from None
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise UserError(f"{file} must hold an object with a list of objects, frames")
    if not frames:
        raise UserError(f"{file} has no frames; at least one frame is needed")
    return document


def read_frames(file: Path) -> list["Frame"]:
    """Read all frames of a file; the pictures are opened later."""
    document = read_document(file)
    return [Frame(file, i, document) for i in range(len(document["frames"]))]


class Frame:
    """One entry of "frames". Entries that the frame lacks are inherited from the file.

    A frame with a focal length or an angle of view of its own inherits neither.

    Args:
        file: The JSON file.
        number: Index of the frame in the list, from 0.
        document: Content of the file.

    Attributes:
        entries: The entries of the frame and of the file.
        name: The file and the index, for messages.
    """

    def __init__(self, file: Path, number: int, document: Mapping[str, Any]) -> None:
        self.file = file
        own = document["frames"][number]
        self.entries = {**document, **own}
        if not own.keys().isdisjoint(_FOCAL_KEYS):
            for key in _FOCAL_KEYS - own.keys():
                self.entries.pop(key, None)
        self.name = f"{file} frame {number}"

    def number(self, key: str, default: float | None = None) -> float:
        """The finite number under a key.

        Raises:
            UserError: The entry is missing and has no default, or the entry is not a finite number.
        """
        value = self.entries.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise UserError(f"{self.name}: {key}={shown(value)} must be a finite number")
        return float(value)

    def pose(self) -> Tensor:
        """The camera-to-world pose (3, 4) in float64. A scale of the rotation is divided out: it moves no pixel.

        Raises:
            UserError: The matrix is not a scaled rotation beside a position.
        """
        try:
            matrix = torch.tensor(self.entries.get("transform_matrix"), dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            matrix = torch.empty(0)
        if matrix.shape not in ((4, 4), (3, 4)):
            raise UserError(f"{self.name}: transform_matrix must be 4 rows of 4 numbers")
        if not (matrix.abs() < _MAX_COORDINATE).all():
            raise UserError(
                f"{self.name}: transform_matrix must hold numbers below {_MAX_COORDINATE:g}, and no NaN"
            )
        if matrix[3:].tolist() not in ([], [[0, 0, 0, 1]]):
            raise UserError(f"{self.name}: transform_matrix must have 0, 0, 0, 1 as its fourth row")
        rotation, position = matrix[:3].split([3, 1], dim=-1)
        determinant = float(torch.linalg.det(rotation))
        if abs(determinant) <= 1e-12 * float(rotation.abs().max()) ** 3:
            raise UserError(f"{self.name}: transform_matrix is singular")
        rotation = rotation / abs(determinant) ** (1 / 3)
        error = (rotation @ rotation.T - torch.eye(3)).abs().max()
        if determinant < 0 or error > _ROTATION_TOLERANCE:
            raise UserError(
                f"{self.name}: transform_matrix must hold a rotation, "
                "which may be scaled but neither sheared nor mirrored"
            )
        return torch.cat([rotation, position], dim=-1)

    @property
    def path(self) -> Path:
        """The picture; the name in the file may lack the extension.

        Raises:
            UserError: The picture does not exist.
        """
        name = self.entries.get("file_path")
        if not isinstance(name, str) or "\0" in name:
            raise UserError(f"{self.name}: file_path={shown(name)} must be the name of a picture")
        bare = self.file.parent / name
        for extension in _EXTENSIONS:
            try:
                if (found := bare.with_name(bare.name + extension)).is_file():
                    return found
            except (OSError, ValueError):
                break
        raise UserError(
            f"{self.name}: file_path={shown(str(bare))} must name a picture, with or without .png or .jpg"
        )

    def image(self) -> Tensor:
        """The pixels (height, width, 3 or 4) uint8, as stored: poses and focal lengths ignore the EXIF orientation.

        Raises:
            UserError: The picture cannot be read.
        """
        path = self.path
        try:
            pixels = read_image(path, background=None, upright=False)
        except OptionError as error:
            raise UserError(f"{self.name}: {shown(error.value)} {error.allowed}") from None
        except UserError as error:
            raise UserError(f"{self.name}: {str(error).removeprefix('signal.path=')}") from None
        return pixels.expand(-1, -1, 3) if pixels.shape[2] == 1 else pixels

    def intrinsics(self, size: tuple[int, int]) -> tuple[list[float], list[float], list[float]]:
        """Focal lengths (2) and center (2) in pixels, and distortion (5), for a picture of (width, height) pixels.

        Raises:
            UserError: The camera model is not supported, or an entry does not fit the picture.
        """
        self._check_model()
        width, height = self.number("w", size[0]), self.number("h", size[1])
        if (width, height) != size:
            raise UserError(
                f"{self.name}: w and h are {width:g} x {height:g}, but the picture has {size[0]} x {size[1]} pixels"
            )
        fx = self._focal("x", size[0])
        focal = [fx, self._focal("y", size[1], fx)]
        low, high = _FOCAL_RANGE
        if not low <= min(focal) <= max(focal) <= high:
            raise UserError(
                f"{self.name}: fl_x={focal[0]:g} and fl_y={focal[1]:g} must be from {low} to {high:g} pixels"
            )
        center = [self.number("cx", size[0] / 2), self.number("cy", size[1] / 2)]
        return focal, center, [self.number(key, 0.0) for key in _DISTORTION_KEYS]

    def _focal(self, axis: str, side: int, default: float | None = None) -> float:
        """The focal length of an axis in pixels.

        Args:
            axis: "x" or "y".
            side: Length of the picture along the axis, in pixels.
            default: Focal length if the frame has neither a focal length nor an angle of view for the axis.
        """
        focal_key, angle_key = f"fl_{axis}", f"camera_angle_{axis}"
        if focal_key in self.entries:
            return self.number(focal_key)
        if angle_key not in self.entries and default is not None:
            return default
        if angle_key not in self.entries:
            raise UserError(f"{self.name} has neither {focal_key}, in pixels, nor {angle_key}, in radians")
        angle = self.number(angle_key)
        if not 0 < angle < math.pi:
            raise UserError(f"{self.name}: {angle_key}={angle} must lie between 0 and pi radians")
        return side / 2 / math.tan(angle / 2)

    def _check_model(self) -> None:
        model = self.entries.get("camera_model")
        if model not in _CAMERA_MODELS:
            raise UserError(
                f"{self.name}: camera_model={shown(model)} must be one of {', '.join(map(str, _CAMERA_MODELS[1:]))}"
            )
        higher = [key for key in ("k4", "k5", "k6") if self.number(key, 0.0)]
        if higher or self.entries.get("is_fisheye"):
            raise UserError(
                f"{self.name}: {', '.join(higher) or 'is_fisheye'} must be absent; "
                "fisheye lenses are not supported"
            )
