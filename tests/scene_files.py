"""Tiny scenes on disk, for the tests of the readers."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np

ANGLE = 0.8


def orbit(azimuth: float, radius: float = 4.0, height: float = 1.0) -> list[list[float]]:
    """The camera-to-world matrix, with OpenGL's axes, of a camera on a circle that looks at the origin with z up."""
    position = np.array([radius * math.cos(azimuth), radius * math.sin(azimuth), height])
    back = position / np.linalg.norm(position)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    columns = [right, np.cross(back, right), back, position]
    return [*np.stack(columns, axis=1).tolist(), [0, 0, 0, 1]]


def picture(seed: int, size: tuple[int, int] = (8, 6), channels: int = 4) -> np.ndarray:
    """Random pixels (height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)


def write_split(
    folder: Path, split: str, pictures: Sequence[np.ndarray], extension: str = ""
) -> dict[str, Any]:
    """Write transforms_{split}.json and its pictures; returns the content of the file."""
    (folder / split).mkdir(parents=True)
    frames = []
    for i, pixels in enumerate(pictures):
        imageio.imwrite(folder / split / f"r_{i}.png", pixels)
        matrix = orbit(i + len(split) / 10)
        frames.append({"file_path": f"./{split}/r_{i}{extension}", "transform_matrix": matrix})
    document = {"camera_angle_x": ANGLE, "frames": frames}
    write(folder, split, document)
    return document


def write(folder: Path, split: str, document: object) -> None:
    (folder / f"transforms_{split}.json").write_text(json.dumps(document))


def write_scene(folder: Path, train: int = 3, val: int = 2, **options: Any) -> Path:
    for split, count in (("train", train), ("val", val)):
        write_split(folder, split, [picture(i + 10 * len(split), **options) for i in range(count)])
    return folder
