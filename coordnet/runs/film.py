"""The pictures of a run, one after another."""

import importlib.util
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import Image

from coordnet import viz
from coordnet.errors import UserError
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
    if out.suffix not in (".gif", ".mp4"):
        raise UserError(f"--out={out} must end in .gif or .mp4")
    if out.exists():
        raise UserError(f"--out={out} exists already; choose another file")
    if out.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError(f"--out={out} needs imageio-ffmpeg: pip install 'coordnet[video]', or choose a .gif")
    files = sorted((run / "images").glob("target-prediction*-[0-9]*.png"), key=step)
    if not files:
        raise UserError(f"{run} has no pictures yet: {run / 'images'} holds no target-prediction*.png")
    frames = same_size([frame(file) for file in files])
    frames += frames[-1:] * (LAST - 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".gif":
        imageio.imwrite(out, frames, duration=1000 / RATE, loop=0)
    else:
        imageio.imwrite(out, frames, plugin="FFMPEG", fps=RATE, codec="libx264", macro_block_size=2)
    return out


def step(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def frame(file: Path) -> viz.Picture:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return viz.captioned(np.asarray(picture.convert("RGB")), f"step {step(file):,}")
    except (OSError, SyntaxError) as error:
        raise UserError(f"{file} is damaged: {' '.join(str(error).split())}") from None


def same_size(pictures: list[viz.Picture]) -> list[viz.Picture]:
    """Each in the middle of a white one that any fits in; its sides are even, as video has it."""
    height, width = (max(p.shape[axis] for p in pictures) for axis in (0, 1))
    return [viz.padded(picture, height + height % 2, width + width % 2) for picture in pictures]
