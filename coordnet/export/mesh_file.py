"""Writing meshes: PLY (binary) and Wavefront OBJ, both with a color at each vertex."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from coordnet.evaluation.media import Mesh
from coordnet.files import atomic_file


def _ply(mesh: Mesh) -> Iterator[bytes]:
    vertices = np.empty(len(mesh.vertices), [("place", "<f8", 3), ("color", "u1", 3)])
    vertices["place"], vertices["color"] = mesh.vertices, mesh.colors
    triangles = np.empty(len(mesh.triangles), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, mesh.triangles
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property double {axis}" for axis in "xyz"),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    yield "\n".join(header).encode()
    yield vertices.tobytes()
    yield triangles.tobytes()


def _obj(mesh: Mesh) -> Iterator[bytes]:
    """`v x y z red green blue` with colors in [0, 1]: an extension that most programs read."""
    for place, color in zip(mesh.vertices.tolist(), (mesh.colors / 255).tolist(), strict=True):
        yield ("v" + "".join(f" {number:.12g}" for number in place + color) + "\n").encode()
    for corners in (mesh.triangles + 1).tolist():
        yield "f {} {} {}\n".format(*corners).encode()


# Bytes of a file by its ending.
WRITERS = {".ply": _ply, ".obj": _obj}


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write a new file, whose ending is one of `WRITERS`.

    Raises:
        OSError: The file cannot be written, or a file at `path` has appeared meanwhile.
    """
    with atomic_file(path) as partial, partial.open("wb") as file:
        file.writelines(WRITERS[path.suffix](mesh))
