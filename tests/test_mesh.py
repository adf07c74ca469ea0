from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import RADIUS, Solid, loaded_scene
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.evaluation.media import Mesh
from coordnet.export import mesh_file
from coordnet.export.mesh import density_grid, export_mesh, extract_surface, vertex_colors
from coordnet.forward_maps.hierarchical import HierarchicalRenderer
from coordnet.forward_maps.occupancy_grid import OccupancyGridRenderer
from coordnet.runs.load import LoadedRun
from coordnet.signals.spec import SceneSpec, SignalSpec

CENTER = torch.tensor([0.3, -0.2, 0.1])
CELL = 2 / 48


class Ball:
    """A ball of radius 1/2 around CENTER: its density falls through 20 there, and its colors tell who looks."""

    def __call__(self, coords: Tensor) -> Tensor:
        return self.density(coords)[0]

    def density(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        outside = (coords - CENTER).norm(dim=-1, keepdim=True) - RADIUS
        return 40 * torch.sigmoid(-outside / 0.03), coords

    def color(
        self, coords: Tensor, directions: Tensor, features: Tensor, ray_indices: Tensor | None = None
    ) -> Tensor:
        return (1 - directions) / 2


def volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Positive where triangles are counter-clockwise seen from outside (divergence theorem)."""
    a, b, c = (vertices[corner].astype(np.float64) for corner in triangles.T)
    return float((a * np.cross(b, c)).sum() / 6)


def characteriztic(triangles: np.ndarray) -> int:
    """Euler's: 2 for whatever is closed and without holes."""
    sides = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    edges, count = np.unique(sides, axis=0, return_counts=True)
    assert (count == 2).all(), "each edge is of two triangles"
    return len(np.unique(triangles)) - len(edges) + len(triangles)


@pytest.mark.parametrize("field, level, error", [(Ball(), 20.0, 0.1), (Solid(), 11.0, 0.6)])
def test_a_ball_is_closed_round_and_outside_out(field: Ball | Solid, level: float, error: float) -> None:
    """Within a small part of a cell where the density is smooth, and half a cell where it jumps."""
    vertices, normals, triangles = extract_surface(density_grid(field, 48), level)
    center = CENTER if isinstance(field, Ball) else torch.zeros(3)
    arms = torch.from_numpy(vertices) - center
    assert (arms.norm(dim=-1) - RADIUS).abs().max() < error * CELL
    assert characteriztic(triangles) == 2
    assert volume(vertices, triangles) == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.04)
    cosines = (torch.from_numpy(normals) * F.normalize(arms, dim=-1)).sum(dim=-1)
    assert cosines.min() > (0.98 if isinstance(field, Ball) else 0.6)


def test_vertices_have_the_colors_that_are_seen_straight_from_outside() -> None:
    field = Ball()
    vertices, normals, _ = extract_surface(density_grid(field, 48), 20.0)
    expected = (F.normalize(torch.from_numpy(vertices) - CENTER, dim=-1) + 1) / 2
    assert np.abs(vertex_colors(field, vertices, normals) / 255 - expected.numpy()).max() < 0.07


def test_sides_have_their_own_colors() -> None:
    """The ball whose color is its normal: red toward +x, green toward +y, blue toward +z."""
    field = Solid()
    vertices, normals, _ = extract_surface(density_grid(field, 48), 11.0)
    colors = vertex_colors(field, vertices, normals)
    for axis in range(3):
        assert colors[vertices[:, axis].argmax(), axis] > 250 and colors[vertices[:, axis].argmin(), axis] < 5


def test_what_goes_beyond_the_box_is_closed_at_its_faces() -> None:
    def density(coords: Tensor) -> Tensor:
        return 100.0 * (coords[:, :1] > 0)

    vertices, _, triangles = extract_surface(density_grid(density, 16), 11.0)
    assert characteriztic(triangles) == 2
    assert np.abs(vertices).max() == pytest.approx(1, abs=1e-3)
    assert volume(vertices, triangles) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("low, high", [(0.0, 5.0), (20.0, 50.0)])
def test_without_a_surface_the_densities_are_told(low: float, high: float) -> None:
    density = np.linspace(low, high, 64, dtype=np.float32).reshape(4, 4, 4)
    with pytest.raises(UserError, match=rf"^level=11\.0 must lie between {low:g} and {high:g}, [^\n]*$"):
        extract_surface(density, 11.0)


@pytest.mark.parametrize("density", [0.0, 50.0, np.nan, np.inf])
def test_a_density_that_is_the_same_everywhere_or_no_number_has_no_surface(density: float) -> None:
    with pytest.raises(UserError, match=rf"^the density is {density:g} to {density:g} all over the box"):
        extract_surface(np.full((4, 4, 4), density, np.float32), 11.0)


def test_cells_known_to_be_empty_have_no_surface() -> None:
    rays = OccupancyGridRenderer(num_samples=32, resolution=2)
    # Cells run through x first: those of x < 0 are empty.
    rays.occupancy_grid.occupied[[0, 2, 4, 6]] = False
    coords = torch.tensor([[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0], [0.1, 0.9, 0.0]])
    assert rays.density(Solid(), coords)[:, 0].tolist() == [0, 1e4, 0]
    assert HierarchicalRenderer().density(Solid(), coords)[:, 0].tolist() == [1e4, 1e4, 0]
    vertices, _, _ = extract_surface(density_grid(lambda places: rays.density(Solid(), places), 32), 11.0)
    assert vertices[:, 0].min() > -1 / 16


MESH = Mesh(
    # In float32 the last would be 5000000.
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1.5], [0, 0, 5000000.25]]),
    np.array([[0, 0, 0], [255, 0, 0], [0, 51, 0], [0, 0, 102], [0, 0, 0]], np.uint8),
    np.array([[0, 1, 2], [0, 3, 1]]),
)


def test_ply_holds_places_colors_and_triangles(tmp_path: Path) -> None:
    mesh_file.write_mesh(tmp_path / "a.ply", MESH)
    header, data = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "element vertex 5",
        *("property double x", "property double y", "property double z"),
        *("property uchar red", "property uchar green", "property uchar blue"),
        "element face 2",
        "property list uchar int vertex_indices",
    ]
    vertices = np.frombuffer(data, np.dtype([("place", "<f8", 3), ("color", "u1", 3)]), 5)
    faces = np.frombuffer(data[5 * 27 :], np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    assert np.array_equal(vertices["place"], MESH.vertices) and np.array_equal(vertices["color"], MESH.colors)
    assert (faces["count"] == 3).all() and np.array_equal(faces["corners"], MESH.triangles)


def test_obj_holds_places_colors_and_triangles_counted_from_1(tmp_path: Path) -> None:
    mesh_file.write_mesh(tmp_path / "a.obj", MESH)
    assert (tmp_path / "a.obj").read_text().splitlines() == [
        "v 0 0 0 0 0 0",
        "v 1 0 0 1 0 0",
        "v 0 1 0 0 0.2 0",
        "v 0 0 -1.5 0 0 0.4",
        "v 0 0 5000000.25 0 0 0",
        "f 1 2 3",
        "f 1 4 2",
    ]


@pytest.fixture
def run(tmp_path: Path) -> LoadedRun:
    """Holds the ball, in a world whose box is around (10, 20, 30) with half a side of 2."""
    center = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    scene = SceneSpec(center, 2.0, torch.ones(3), {}, {})
    spec = SignalSpec(Domain((8, 8, 8)), 3, (0.0, 1.0), scene)
    return loaded_scene(tmp_path, spec, num_samples=8, field=Ball())


def test_vertices_are_in_the_world(run: LoadedRun) -> None:
    path = export_mesh(run, resolution=32, level=20.0, output=run.directory / "new" / "a.obj")
    vertices = np.array(
        [line.split()[1:4] for line in path.read_text().splitlines() if line[0] == "v"], float
    )
    arms = vertices - (np.array([10, 20, 30]) + 2 * CENTER.numpy())
    assert np.linalg.norm(arms, axis=1) == pytest.approx(2 * RADIUS, abs=0.02)


def test_nothing_is_overwritten_or_left(run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    assert export_mesh(run, resolution=8) == run.directory / "mesh.ply"
    before = (run.directory / "mesh.ply").read_bytes()
    with pytest.raises(UserError, match=r"^output=[^\n]*mesh\.ply' exists already[^\n]*$"):
        export_mesh(run, resolution=8)

    def interrupted(mesh: Mesh) -> list[bytes]:
        assert len(list(run.directory.iterdir())) == 2
        raise KeyboardInterrupt

    monkeypatch.setitem(mesh_file.WRITERS, ".obj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_mesh(run, resolution=8, output=run.directory / "b.obj")
    assert [file.name for file in run.directory.iterdir()] == ["mesh.ply"] and (
        run.directory / "mesh.ply"
    ).read_bytes() == before


@pytest.mark.parametrize(
    "options, message",
    [
        ({"resolution": 1}, r"resolution=1 must be a whole number from 2 to 512"),
        ({"resolution": 1000}, r"resolution=1000 must"),
        ({"level": 0.0}, r"level=0\.0 must be a number above 0"),
        ({"level": float("nan")}, r"level=nan must"),
        ({"level": 41.0}, r"level=41\.0 must lie between 6\.429e-19 and 40"),
        ({"output": Path("mesh.stl")}, r"output='mesh\.stl' must end in \.ply or \.obj"),
    ],
)
def test_options_that_cannot_be_met_are_one_line(
    run: LoadedRun, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=rf"^{message}[^\n]*$"):
        export_mesh(run, **{"resolution": 8, **options})  # type: ignore[arg-type]
    assert not list(run.directory.iterdir())
