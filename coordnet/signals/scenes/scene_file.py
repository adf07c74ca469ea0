"""Writing views in the format of NeRF's synthetic data."""

import json
import math
from pathlib import Path

import imageio.v3 as imageio
import torch

from coordnet.signals.scenes.blender import HALF_SIZE
from coordnet.signals.scenes.posed_images import Views


def write_views(folder: Path, split: str, views: Views) -> None:
    """Write transforms_{split}.json and {split}/r_0.png, {split}/r_1.png, ... into a folder.

    The box [-1, 1]^3 becomes a cube with half a side of 1.5 in the world of the file. The format has one angle of view
    and no center, so the cameras must be alike, with square pixels and a centered optical axis.
    """
    cameras = views.cameras.normalized_to(torch.zeros(3), 1 / HALF_SIZE)
    angle = 2 * math.atan(cameras.size[0] / 2 / float(cameras.focal[0, 0]))
    (folder / split).mkdir()
    frames = []
    for i, (image, pose) in enumerate(zip(views.images, cameras.poses, strict=True)):
        imageio.imwrite(folder / split / f"r_{i}.png", image.numpy())
        matrix = [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": matrix})
    document = {"camera_angle_x": angle, "frames": frames}
    (folder / f"transforms_{split}.json").write_text(json.dumps(document, indent=1))
