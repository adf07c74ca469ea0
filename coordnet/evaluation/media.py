"""Typed media of an evaluation: a logger shows the types that it can show."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Picture(NamedTuple):
    """An image.

    Attributes:
        pixels: (height, width, 3) uint8.
    """

    pixels: NDArray[np.uint8]


class Sound(NamedTuple):
    """Samples of a sound.

    Attributes:
        samples: (n, channels) in [-1, 1].
        rate: Samples per second.
    """

    samples: NDArray[np.floating]
    rate: int


class Mesh(NamedTuple):
    """Triangles between vertices.

    Attributes:
        vertices: (v, 3) float64, in units of the world.
        colors: (v, 3) uint8.
        triangles: (f, 3) indices of vertices, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.floating]
    colors: NDArray[np.uint8]
    triangles: NDArray[np.integer]


class Table(NamedTuple):
    """Rows of values under named columns.

    Attributes:
        columns: One name per column.
        rows: Rows of numbers or text, each as long as `columns`.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[float | str]]


Media = Picture | Sound | Mesh | Table
