"""PNG files of any size, written some rows at a time (PNG specification, 3rd edition, W3C 2025)."""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from coordnet.files import atomic_file
from coordnet.viz import Picture

# Color types of the specification by the number of channels: gray, RGB, RGBA.
COLOR_TYPES = {1: 0, 3: 2, 4: 6}
# The number of the filter that subtracts the left neighbor.
_SUB = 1


def write_png(path: Path, shape: tuple[int, int, int], chunks: Iterable[Picture]) -> None:
    """Write a new file, which appears at `path` once the file is whole. An error leaves nothing behind.

    Args:
        path: The new file; write access is checked before the first chunk is asked for.
        shape: (height, width, channels) of the picture; 1, 3 or 4 channels.
        chunks: Rows from top to bottom, each (rows, width, channels) uint8.

    Raises:
        OSError: The file cannot be written, or a file at `path` has appeared meanwhile.
    """
    with open_png(path, shape) as add_rows:
        for chunk in chunks:
            add_rows(chunk)


@contextmanager
def open_png(path: Path, shape: tuple[int, int, int]) -> Iterator[Callable[[Picture], None]]:
    """Open a new file for rows, as `write_png` does, for callers that write several files at once.

    Yields:
        A function that adds rows (rows, width, channels) uint8 below the rows before.
    """
    height, width, channels = shape
    header = struct.pack(">IIBBBBB", width, height, 8, COLOR_TYPES[channels], 0, 0, 0)
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(file, b"IHDR", header)
        compressor = zlib.compressobj()
        yield lambda rows: _write_chunk(file, b"IDAT", compressor.compress(_filter_rows(rows)))
        _write_chunk(file, b"IDAT", compressor.flush())
        _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _filter_rows(rows: Picture) -> bytes:
    """Rows after the number of their filter: every pixel less its left neighbor, modulo 256."""
    differences = np.diff(rows, axis=1, prepend=np.uint8(0)).reshape(len(rows), -1)
    return np.pad(differences, ((0, 0), (1, 0)), constant_values=_SUB).tobytes()
