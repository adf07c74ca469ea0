"""GIF and MP4 files from a sequence of pictures."""

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

SUFFIXES = (".gif", ".mp4")


def check_video(option: str, path: Path) -> None:
    """Refuse a path for a new video.

    Args:
        option: The name of the option that holds the path, for the message.
        path: The path.

    Raises:
        OptionError: The path exists, has another ending, or needs an encoder that is not installed.
    """
    check_new(option, path, SUFFIXES)
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise OptionError(
            option, str(path), "needs imageio-ffmpeg: pip install 'coordnet[video]', or choose a .gif"
        )


def write_video(path: Path, pictures: Iterable[Picture], fps: float) -> None:
    """Write a new file, picture by picture.

    Args:
        path: The new file, with an ending in `SUFFIXES`.
        pictures: One or more pictures of one size. MP4 needs even sides: an odd last row or column is repeated.
        fps: Pictures per second. GIF rounds the duration of a picture to hundredths of a second, and keeps one byte per
            pixel in memory until the end.

    Raises:
        OSError: The file cannot be written, or a file at `path` has appeared meanwhile.
    """
    with atomic_file(path) as partial:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(partial, iter(pictures), fps)


def _write_gif(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    images = map(Image.fromarray, pictures)
    with path.open("wb") as file:
        next(images).save(file, "GIF", save_all=True, append_images=images, duration=1000 / fps, loop=0)


def _write_mp4(path: Path, pictures: Iterator[Picture], fps: float) -> None:
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
        f"{fps}",
    ]
    # The partial file's name does not end in .mp4.
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23", "-f", "mp4", "-y", str(path.absolute())]
    command = [get_ffmpeg_exe(), "-v", "error", *raw, "-i", "-", *coded]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        # An encoder that ended early prints the reason.
        with suppress(BrokenPipeError):
            for picture in chain([first], even):
                encoder.stdin.write(picture.tobytes())
        message = encoder.communicate()[1].decode(errors="replace")
    if encoder.returncode:
        raise OSError(f"{path.parent}: ffmpeg could not write the video: {' '.join(message.split())[-300:]}")
