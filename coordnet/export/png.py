"""PNG files of any size, written band by band (PNG specification, 3rd edition, W3C 2025)."""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coordnet.files import atomic_file
from coordnet.viz import Picture

# By the number of channels: gray, RGB, RGBA.
COLOR_TYPES = {1: 0, 3: 2, 4: 6}
SUB = 1


def write(path: Path, shape: tuple[int, int, int], bands: Iterable[Picture]) -> None:
    """Write a new file. It stands at `path` once it is whole, and whatever happens nothing else is left.

    Args:
        path: That it can be written to is known before the first band is asked for.
        shape: (height, width, channels) of the picture; 1, 3 or 4 channels.
        bands: From top to bottom, each (rows, width, channels).

    Raises:
        OSError: It cannot be written, or a file at `path` has appeared meanwhile.
    """
    with writing(path, shape) as add:
        for band in bands:
            add(band)


@contextmanager
def writing(path: Path, shape: tuple[int, int, int]) -> Iterator[Callable[[Picture], None]]:
    """`write` for whoever has several files to write at once: takes a band at each call."""
    height, width, channels = shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOR_TYPES[channels], 0, 0, 0)
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        write_chunk(file, b"IHDR", header)
        compressor = zlib.compressobj()
        yield lambda band: write_chunk(file, b"IDAT", compressor.compress(filtered(band)))
        write_chunk(file, b"IDAT", compressor.flush())
        write_chunk(file, b"IEND", b"")


def write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def filtered(band: Picture) -> bytes:
    """Rows of a band, each after its filter's number: every pixel less its left neighbor, modulo 256."""
    differences = np.diff(band, axis=1, prepend=np.uint8(0)).reshape(len(band), -1)
    return np.pad(differences, ((0, 0), (1, 0)), constant_values=SUB).tobytes()
