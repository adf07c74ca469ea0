"""A video of the pictures that a run drew while it trained."""

from pathlib import Path

import numpy as np
from PIL import Image

from coordnet import viz
from coordnet.errors import UserError
from coordnet.export.video import check_video, write_video
from coordnet.runs.directory import read_status

# Pictures per second.
FPS = 2
# The last picture is shown for as long as this many pictures.
LAST = 4


def export_progress_video(run: Path, output: Path | None = None) -> Path:
    """Write the progress pictures of a run, each under its step, as a new GIF or MP4 file.

    Args:
        run: The run's directory.
        output: The new file; None takes film.gif in the run's directory.

    Returns:
        The file written.

    Raises:
        UserError: The directory is no run or holds no pictures, or the path is not allowed.
    """
    read_status(run)
    output = output or run / "film.gif"
    check_video("output", output)
    files = sorted((run / "images").glob("target-prediction*-[0-9]*.png"), key=_step)
    if not files:
        raise UserError(f"{run} has no pictures yet: {run / 'images'} holds no target-prediction*.png")
    frames = _pad_to_one_size([_frame(file) for file in files])
    frames += frames[-1:] * (LAST - 1)
    write_video(output, frames, FPS)
    return output


def _step(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


def _frame(file: Path) -> viz.Picture:
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return viz.add_caption(np.asarray(picture.convert("RGB")), f"step {_step(file):,}")
    except (OSError, SyntaxError) as error:
        raise UserError(f"{file} is damaged: {' '.join(str(error).split())}") from None


def _pad_to_one_size(pictures: list[viz.Picture]) -> list[viz.Picture]:
    """The pictures in the middle of white pictures that all have the largest height and width."""
    height, width = (max(p.shape[axis] for p in pictures) for axis in (0, 1))
    return [viz.pad_to(picture, height, width) for picture in pictures]
