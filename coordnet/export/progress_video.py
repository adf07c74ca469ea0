"""The pictures of a run, one after another."""

from pathlib import Path

import numpy as np
from PIL import Image

from coordnet import viz
from coordnet.errors import UserError
from coordnet.export import video
from coordnet.runs.directory import read_status

# Pictures each second; the last one stays for some more.
RATE = 2
LAST = 4


def film(run: Path, out: Path | None = None) -> Path:
    """Write the progress pictures of a run, each under its step, as a film: a new GIF or MP4 file.

    Raises:
        UserError: There is no run, it has no pictures, or the file exists or is of another kind.
    """
    read_status(run)
    out = out or run / "film.gif"
    video.check_video(out)
    files = sorted((run / "images").glob("target-prediction*-[0-9]*.png"), key=step)
    if not files:
        raise UserError(f"{run} has no pictures yet: {run / 'images'} holds no target-prediction*.png")
    frames = same_size([frame(file) for file in files])
    frames += frames[-1:] * (LAST - 1)
    video.write(out, frames, RATE)
    return out


def step(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def frame(file: Path) -> viz.Picture:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return viz.add_caption(np.asarray(picture.convert("RGB")), f"step {step(file):,}")
    except (OSError, SyntaxError) as error:
        raise UserError(f"{file} is damaged: {' '.join(str(error).split())}") from None


def same_size(pictures: list[viz.Picture]) -> list[viz.Picture]:
    """Each in the middle of a white one that any fits in."""
    height, width = (max(p.shape[axis] for p in pictures) for axis in (0, 1))
    return [viz.pad_to(picture, height, width) for picture in pictures]
