"""Pictures, one after another, as a GIF or MP4 file."""

import importlib.util
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from coordnet.errors import OptionError
from coordnet.files import atomic_file, check_new
from coordnet.viz import Picture

KINDS = (".gif", ".mp4")


def check_video(path: Path) -> None:
    """Refuse a path for a new video.

    Raises:
        OptionError: The path exists, has another ending, or needs an encoder that is not installed.
    """
    check_new("output", path, KINDS)
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise OptionError(
            "output", str(path), "needs imageio-ffmpeg: pip install 'coordnet[video]', or choose a .gif"
        )


def write(path: Path, pictures: Iterable[Picture], rate: float) -> None:
    """Write a new file, picture by picture.

    Args:
        path: Of one of `KINDS`.
        pictures: At least one, all of one size. MP4 needs even sides: there a last row or column is repeated.
        rate: Pictures each second. GIF rounds their time to hundredths of a second, and keeps a byte of each pixel in
            memory until the end.

    Raises:
        OSError: It cannot be written, or a file at `path` has appeared meanwhile.
    """
    with atomic_file(path) as partial:
        (write_gif if path.suffix == ".gif" else write_mp4)(partial, iter(pictures), rate)


def write_gif(path: Path, pictures: Iterator[Picture], rate: float) -> None:
    images = map(Image.fromarray, pictures)
    with path.open("wb") as file:
        next(images).save(file, "GIF", save_all=True, append_images=images, duration=1000 / rate, loop=0)


def write_mp4(path: Path, pictures: Iterator[Picture], rate: float) -> None:
    from imageio_ffmpeg import get_ffmpeg_exe

    even = (np.pad(p, [(0, p.shape[0] % 2), (0, p.shape[1] % 2), (0, 0)], "edge") for p in pictures)
    first = next(even)
    raw = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{first.shape[1]}x{first.shape[0]}",
        "-r",
        f"{rate}",
    ]
    # The file's own name does not end in .mp4 yet.
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23", "-f", "mp4", "-y", str(path.absolute())]
    command = [get_ffmpeg_exe(), "-v", "error", *raw, "-i", "-", *coded]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        # What ended it says it itself.
        with suppress(BrokenPipeError):
            for picture in chain([first], even):
                encoder.stdin.write(picture.tobytes())
        said = encoder.communicate()[1].decode(errors="replace")
    if encoder.returncode:
        raise OSError(f"{path.parent}: ffmpeg could not write the video: {' '.join(said.split())[-300:]}")
