"""The renderers: stratified, hierarchical and with an occupancy grid."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from scenes import Balls, Solid, ball, rays, small_field
from support import make_config
from torch import Tensor

from coordnet.config.check import check_config
from coordnet.errors import UserError
from coordnet.forward_maps.hierarchical import HierarchicalRenderer
from coordnet.forward_maps.occupancy_grid import OccupancyGridRenderer
from coordnet.forward_maps.volume_renderer import VolumeRenderer
from coordnet.losses.mse import mse
from coordnet.rendering import volume
from coordnet.rendering.occupancy_grid import OccupancyGrid
from coordnet.rendering.rays import RayBundle, near_far
from coordnet.rendering.sampling import interval_edges, stratified
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.checkpoint import same
from coordnet.runs.directory import write_status
from coordnet.training.assemble import assemble
from coordnet.training.run import resume, start

SCENE = (
    "radiance=small",
    "network.depth=1",
    "network.width=16",
    "radiance.color_network.depth=1",
    "radiance.color_network.width=16",
    "optimizer.lr=0.01",
    "trainer.batch_size=64",
    "threads=1",
)
ALLOW = ("scenes.",)
OCCUPANCY_GRID = (
    "forward_map=occupancy_grid",
    "forward_map.update_every=4",
    "forward_map.update_after=8",
    "forward_map.resolution=8",
    "forward_map.target_samples=4096",
)
HIERARCHICAL = (
    "forward_map=hierarchical",
    "forward_map.num_samples=16",
    "forward_map.num_fine=8",
    "forward_map.coarse=true",
)


def config(
    *overrides: str, encoding: tuple[str, ...] = ("vector_matrix", "num_features=4")
) -> dict[str, Any]:
    name, *options = encoding
    chosen = (f"encoding={name}", *(f"encoding.{option}" for option in options))
    made = make_config(*chosen, *SCENE, *overrides)
    return made | {"signal": {"_target_": "scenes.Balls"}}


def batch(count: int = 200) -> dict[str, Tensor]:
    return dict(zip(("origins", "directions"), rays(count), strict=True))


def maps() -> list[VolumeRenderer]:
    return [
        HierarchicalRenderer(num_samples=48),
        HierarchicalRenderer(num_samples=16, num_fine=16),
        OccupancyGridRenderer(
            resolution=16, num_samples=64, target_samples=2**14, update_every=1, update_after=0
        ),
    ]


each = pytest.mark.parametrize("make", [0, 1, 2], ids=["stratified", "hierarchical", "occupancy_grid"])


# Properties of every renderer


@each
def test_a_solid_ball_is_seen_where_it_is(make: int) -> None:
    forward_map, given = maps()[make].eval(), batch(2000)
    color, distance = ball(**given)
    seen = forward_map(Solid(), given)
    hit = distance.isfinite()
    assert seen["value"].shape == (2000, 3) and seen["depth"].shape == seen["opacity"].shape == (2000, 1)
    clear = (seen["opacity"] - hit.float()).abs() < 1e-3
    assert clear.float().mean() > 0.97
    # Half an interval of a chord of at most 2 sqrt(3) is the most that a surface can be off by, and one more.
    step = 2 * 3**0.5 / {0: 48, 1: 16, 2: 32}[make]
    close = (clear & hit)[:, 0]
    assert (seen["depth"] - distance)[close].abs().max() <= 1.5 * step
    assert (seen["value"] - color)[close].abs().mean() < 0.1
    missed = (clear & ~hit)[:, 0]
    assert torch.allclose(seen["value"][missed], torch.ones(3)) and not seen["depth"][missed].any()


@each
def test_opacity_lies_in_0_to_1_and_all_is_finite(make: int) -> None:
    field = small_field(density_bias=2.0, density_scale=10.0)
    for training in (False, True):
        seen = maps()[make].train(training)(field, batch())
        assert all(tensor.isfinite().all() for tensor in seen.values())
        assert (seen["opacity"] >= 0).all() and (seen["opacity"] <= 1 + 1e-5).all()


@each
def test_rays_that_miss_the_box_see_the_background(make: int) -> None:
    away = {"origins": torch.full((5, 3), 3.0), "directions": torch.eye(3)[[0] * 5]}
    seen = maps()[make].eval()(small_field(), away)
    assert torch.equal(seen["value"], torch.ones(5, 3)) and not seen["opacity"].any()


@each
def test_evaluation_is_not_random_and_training_goes_by_seed_and_step(make: int) -> None:
    field, given = small_field(density_bias=1.0), batch()

    def value(step: int, training: bool) -> Tensor:
        forward_map = maps()[make].train(training)
        forward_map.on_step(step, 100)
        return forward_map(field, given)["value"]

    assert torch.equal(value(3, False), value(4, False))
    assert torch.equal(value(3, True), value(3, True))
    assert not torch.equal(value(3, True), value(4, True))


@each
def test_evaluation_does_not_depend_on_how_rays_come(make: int) -> None:
    field, given, forward_map = small_field(density_bias=1.0), batch(), maps()[make].eval()
    whole = forward_map(field, given)
    parts = [
        forward_map(field, {name: tensor[rows] for name, tensor in given.items()})
        for rows in (slice(0, 1), slice(1, 200))
    ]
    for name, tensor in whole.items():
        torch.testing.assert_close(tensor, torch.cat([part[name] for part in parts]))
    nothing = forward_map(field, batch(0))
    assert nothing["value"].shape == (0, 3)


@each
def test_gradients_reach_every_parameter(make: int) -> None:
    field = small_field(density_bias=1.0)
    maps()[make](field, batch())["value"].square().sum().backward()
    for parameter in field.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any()


@each
def test_a_step_that_sees_nothing_still_steps(make: int) -> None:
    away = {"origins": torch.full((5, 3), 3.0), "directions": torch.eye(3)[[0] * 5]}
    maps()[make](small_field(), away)["value"].sum().backward()


def test_a_full_occupancy_grid_renders_as_stratified_sampling_does() -> None:
    """With every cell occupied and as many samples."""
    field, given = small_field(density_bias=1.0), batch()
    renderer, stratified_renderer = (
        OccupancyGridRenderer(min_weight=0.0).eval(),
        HierarchicalRenderer(num_samples=32).eval(),
    )
    seen, expected = renderer(field, given), stratified_renderer(field, given)
    for name, tensor in expected.items():
        torch.testing.assert_close(seen[name], tensor, atol=1e-5, rtol=1e-4)


@each
def test_behind_everything_is_the_background_of_the_batch(make: int) -> None:
    away = {"origins": torch.full((5, 3), 3.0), "directions": torch.eye(3)[[0] * 5]}
    behind = torch.rand(5, 3)
    seen = maps()[make](small_field(), away | {"background": behind})
    assert torch.equal(seen["value"], behind)


def test_samples_that_training_leaves_out_change_little() -> None:
    """After the warm-up a first pass leaves out the samples with small weights."""
    field, given = small_field(density_bias=2.0, density_scale=10.0), batch()
    values = []
    for warmup in (0, 100):
        renderer = OccupancyGridRenderer(update_every=1000, update_after=warmup)
        renderer.on_step(1, 1000)
        values.append(renderer(field, given)["value"])
    difference = (values[0] - values[1]).abs().max()
    assert 0 < difference <= 32 * 1e-4


def test_evaluation_leaves_out_what_training_does() -> None:
    """Samples of small weight are as nothing: those behind them are not dimmed, wherever they are."""
    field, given = small_field(density_bias=2.0, density_scale=10.0), batch()
    renderer = OccupancyGridRenderer(num_samples=192, min_weight=0.02).eval()
    renderer.samples_per_ray.fill_(192)
    bundle = RayBundle(given["origins"], given["directions"], torch.ones(200, 3))
    near, far = near_far(*bundle[:2])
    distance = stratified(near, far, 192)
    points = bundle.points(distance).flatten(0, 1)
    density, features = field.density(points)
    density = density.view_as(distance)
    length = (far - near).expand_as(distance) / 192
    kept = volume.weights(density, length) > renderer.min_weight
    weight = volume.weights(density * kept, length)
    color = field.color(points, bundle.directions, features, torch.arange(200).repeat_interleave(192))
    expected = volume.composite(weight, color.unflatten(0, distance.shape), distance, bundle.background)
    seen = renderer(field, given)
    assert 0 < kept.float().mean() < 0.5
    for name, tensor in expected._asdict().items():
        torch.testing.assert_close(seen[name], tensor, atol=1e-5, rtol=1e-4)


def test_intervals_cover_the_ray() -> None:
    edges = interval_edges(torch.tensor([[1.0]]), torch.tensor([[1.5, 2.0, 4.0]]), torch.tensor([[5.0]]))
    torch.testing.assert_close(edges, torch.tensor([[1.0, 1.75, 3.0, 5.0]]))


def test_fine_samples_gather_where_the_ball_is() -> None:
    """With as many queries of the field, importance samples find the surface more exactly."""
    given = batch(1000)
    _, distance = ball(**given)
    hit = distance.isfinite()[:, 0]
    errors = [
        (forward_map.eval()(Solid(), given)["depth"] - distance)[hit].abs().median()
        for forward_map in (
            HierarchicalRenderer(num_samples=32),
            HierarchicalRenderer(num_samples=16, num_fine=16),
        )
    ]
    assert errors[1] < 0.7 * errors[0]


def test_a_coarse_field_learns_from_its_own_colors() -> None:
    forward_map = HierarchicalRenderer(num_samples=8, num_fine=8, coarse=True)
    coarse = small_field(density_bias=1.0)
    forward_map.build_auxiliary_fields(lambda: coarse)
    prediction = forward_map(small_field(density_bias=1.0), batch())
    loss = mse(prediction, {"value": torch.zeros(200, 3)}, None)
    expected = sum(prediction[name].square().mean() for name in ("value", "coarse_value"))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in coarse.parameters())


# The occupancy grid


def grid(**options: Any) -> OccupancyGrid:
    return OccupancyGrid(
        **({"resolution": 16, "render_step_size": 0.05, "ema_decay": 0.9, "threshold": 0.01} | options)
    )


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def centers(resolution: int) -> Tensor:
    axis = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([x, y, z], dim=-1).view(-1, 3)


def test_a_grid_finds_the_ball_and_nothing_else() -> None:
    occupancy = grid()
    assert occupancy.occupied.all()
    occupancy.update(Solid(), draws(), update_all_cells=True)
    distance = centers(16).norm(dim=-1)
    reach = 3**0.5 / 16
    assert occupancy.occupied[distance < 0.5 - reach].all()
    assert not occupancy.occupied[distance > 0.5 + reach].any()


def test_the_cells_along_a_ray_are_found() -> None:
    occupancy = grid(resolution=4)
    occupancy.occupied.zero_()
    # The cell x from 0.5 to 1, y from -1 to -0.5, z from 0 to 0.5.
    occupancy.occupied[3 + 4 * 0 + 16 * 2] = True
    origins, directions = torch.tensor([[-2, -0.75, 0.25]]), torch.tensor([[1.0, 0, 0]])
    distance = torch.tensor([[1.0, 1.6, 2.4, 2.6, 2.9, 3.0]])
    assert occupancy.is_occupied(origins, directions, distance).tolist() == [
        [False, False, False, True, True, True]
    ]


def test_a_cell_is_given_up_when_its_density_fades() -> None:
    occupancy = grid(ema_decay=0.5)
    occupancy.update(Solid(), draws(), update_all_cells=True)
    before = occupancy.occupied.sum()
    for step in range(40):
        occupancy.update(lambda x: torch.zeros(len(x), 1), draws(step), update_all_cells=True)
    assert before > 0 and occupancy.densities.max() < 1e-6


def test_where_all_is_faint_some_cells_stay() -> None:
    occupancy = grid()
    occupancy.update(lambda x: 1e-6 * (x[:, :1] + 1), draws(), update_all_cells=True)
    assert 0.3 < occupancy.occupied.float().mean() < 0.7


def test_a_few_cells_at_a_time_come_to_the_same() -> None:
    """Density that appears in empty cells is found, although each update visits an eighth of all cells."""
    occupancy = grid()
    occupancy.update(lambda x: torch.zeros(len(x), 1), draws(), update_all_cells=True)
    assert not occupancy.occupied.any()
    for step in range(60):
        occupancy.update(Solid(), draws(step), update_all_cells=False)
    distance = centers(16).norm(dim=-1)
    assert occupancy.occupied[distance < 0.5 - 3**0.5 / 16].float().mean() > 0.99


def test_samples_per_ray_grow_as_cells_are_found_empty() -> None:
    renderer = OccupancyGridRenderer(
        num_samples=128, target_samples=4096, resolution=16, update_every=1, update_after=0
    )
    counts = []
    for step in range(3):
        renderer.on_step(step, 100)
        renderer(Solid(), batch(256))
        counts.append(int(renderer.samples_per_ray))
    # A ray through the whole box has 32 parts of which the ball takes a fifth.
    assert counts[0] >= 64
    assert all(32 <= count <= 128 for count in counts)
    everything = OccupancyGridRenderer(num_samples=128, target_samples=1024, update_every=1, update_after=10)
    everything.on_step(0, 100)
    everything(Solid(), batch(256))
    assert everything.samples_per_ray == 32


def test_the_grid_is_not_updated_before_training_sets_the_step() -> None:
    """The estimate of memory runs a training step before the first step of a run."""
    renderer = OccupancyGridRenderer(resolution=8, update_every=1, update_after=0)
    renderer(Solid(), batch())
    assert renderer.occupancy_grid.occupied.all()
    renderer.on_step(0, 10)
    renderer.eval()(Solid(), batch())
    assert renderer.occupancy_grid.occupied.all()
    renderer.train()(Solid(), batch())
    assert not renderer.occupancy_grid.occupied.all()


def test_a_coarse_field_needs_fine_samples() -> None:
    with pytest.raises(UserError, match=r"^num_fine=0 must be at least 1 with coarse=true$"):
        HierarchicalRenderer(coarse=True)


# Runs


@pytest.mark.parametrize("options", [OCCUPANCY_GRID, HIERARCHICAL], ids=["occupancy_grid", "hierarchical"])
@pytest.mark.reliability("T01")
def test_resumed_equals_uninterrupted(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The grid and the second field included."""
    whole = config(*options, "max_steps=30", "eval_every=10", "schedule=constant")
    start(whole, tmp_path / "run", ALLOW)
    start(config(*options, "max_steps=18", "eval_every=10", "schedule=constant"), tmp_path / "part", ALLOW)
    folder = tmp_path / "resumed" / "checkpoints"
    shutil.copytree(tmp_path / "run", tmp_path / "resumed")
    early = checkpoint.load_checkpoint(tmp_path / "part" / "checkpoints" / "last.ckpt")
    early["config"] = checkpoint.load_checkpoint(folder / "last.ckpt")["config"]
    checkpoint.save(early, folder / "last.ckpt")
    write_status(tmp_path / "resumed", "killed")
    resume(tmp_path / "resumed", ALLOW)
    straight, resumed = (
        checkpoint.load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        for name in ("run", "resumed")
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        assert same(straight[part], resumed[part]), part
    rows = [metrics_file.read(tmp_path / name / "metrics.csv")[-1] for name in ("run", "resumed")]
    assert rows[0]["train/psnr"] == rows[1]["train/psnr"]


def test_a_ball_is_learned(tmp_path: Path) -> None:
    options = ("max_steps=150", "eval_every=150", "trainer.batch_size=256", "optimizer.encoding_lr=0.05")
    final = start(config(*OCCUPANCY_GRID, *options), tmp_path / "run", ALLOW)
    # White alone scores 7 to 8 dB.
    assert final["train/psnr"] > 18


def test_encodings_learn_at_their_own_rate() -> None:
    model = assemble(config("forward_map=hierarchical", "optimizer.encoding_lr=0.2"), ALLOW)
    groups = model.configure_optimizers()["optimizer"].param_groups
    encoding = {parameter.data_ptr() for parameter in model.field.encoding.parameters()}
    assert [group["lr"] for group in groups] == [0.01, 0.2]
    assert {parameter.data_ptr() for parameter in groups[1]["params"]} == encoding
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    fixed = assemble(
        config("forward_map=hierarchical", "optimizer.encoding_lr=0.2", encoding=("positional",)), ALLOW
    )
    assert len(fixed.configure_optimizers()["optimizer"].param_groups) == 1


@pytest.mark.parametrize("rate", ["-1", "fast", "true"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(UserError, match=r"^optimizer\.encoding_lr="):
        check_config(config("forward_map=hierarchical", f"optimizer.encoding_lr={rate}"), ALLOW)


def test_a_signal_without_rays_is_refused() -> None:
    with pytest.raises(
        UserError,
        match=r"^forward_map=HierarchicalRenderer needs origins, directions, but the signal observes",
    ):
        assemble(
            make_config("signal=sphere", "radiance=small", "forward_map=hierarchical", "encoding=identity")
        )


def test_balls_are_a_signal() -> None:
    """The signal of these tests and a rendering of the ball's field agree."""
    signal = Balls(64)
    given = signal.get_batch(torch.arange(64))
    seen = HierarchicalRenderer(num_samples=512).eval()(Solid(), given)
    assert (seen["value"] - given["value"]).abs().median() < 0.02


def test_a_step_that_accumulates_batches_updates_the_grid_once(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, field = OccupancyGridRenderer(update_every=2, update_after=0), small_field()
    updated: list[int] = []
    monkeypatch.setattr(
        renderer.occupancy_grid, "update", lambda *_, **__: updated.append(renderer.step or 0)
    )
    for step in range(4):
        renderer.on_step(step, 10)
        for _ in range(3):
            renderer(field, batch())
    assert updated == [0, 2]
