"""Rendering the image of a camera in row chunks."""

import pytest
import torch
from torch import Tensor

from coordnet.cameras import Cameras, look_at
from coordnet.rendering import camera
from coordnet.rendering.camera import render_rows, render_view, row_chunks

BLUE = torch.tensor([0.0, 0.0, 1.0])


@pytest.fixture
def cameras() -> Cameras:
    positions = torch.tensor([[3.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    poses = look_at(positions, torch.tensor([0.0, 0.0, 1.0]))
    return Cameras(poses, torch.full((2, 2), 6.0), torch.tensor([[3.5, 2.5]] * 2), (7, 5))


def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The direction as color, and a depth; the other predictions are not rendered."""
    assert torch.equal(batch["background"], BLUE.expand_as(batch["origins"]))
    depth = batch["directions"][:, :1]
    return {"value": batch["directions"], "depth": depth, "weights": depth}


def test_a_view_holds_the_prediction_of_each_pixel(cameras: Cameras) -> None:
    view = render_view(cameras, 1, BLUE, predict)
    _, directions = cameras.rays(torch.ones(35, dtype=torch.long), cameras.pixels())
    assert set(view) == {"value", "depth"} and view["depth"].shape == (5, 7, 1)
    assert torch.equal(view["value"], directions.view(5, 7, 3))


@pytest.mark.parametrize("rays", [1, 7, 15, 1000])
def test_chunks_cover_every_row_once(cameras: Cameras, rays: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render_view(cameras, 0, BLUE, predict)
    monkeypatch.setattr(camera, "RAYS_PER_CHUNK", rays)
    chunks = row_chunks(cameras.size)
    assert [row for rows in chunks for row in range(rows.start, rows.stop)] == list(range(5))
    assert max(rows.stop - rows.start for rows in chunks) == min(5, max(1, rays // 7))
    assert torch.equal(render_view(cameras, 0, BLUE, predict)["value"], whole["value"])


def test_rows_are_a_part_of_the_view(cameras: Cameras) -> None:
    rows = render_rows(cameras, 0, slice(2, 4), BLUE, predict)
    assert torch.equal(rows["value"], render_view(cameras, 0, BLUE, predict)["value"][2:4])
