from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.encodings.grid import Grid
from coordnet.errors import UserError
from coordnet.fields.field import Field
from coordnet.fields.interpolation import Interpolation
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.image import Image

every_box = pytest.mark.parametrize("size", [(9,), (8, 5), (4, 6, 3), (3, 4, 2, 5)], ids=str)


def with_values(domain: Domain, resolution: int | None = None, num_features: int = 3) -> Grid:
    """A grid in float64 whose values are of the size that training gives them."""
    torch.manual_seed(0)
    grid = Grid(domain, resolution, num_features).double()
    torch.nn.init.normal_(grid.values)
    return grid


def inside(domain: Domain, count: int) -> Tensor:
    """Points anywhere in the box, (count, d) float64."""
    torch.manual_seed(1)
    return (2 * torch.rand(count, domain.dim, dtype=torch.float64) - 1) * torch.tensor(domain.extent)


@every_box
def test_a_node_is_at_each_training_sample_and_has_its_own_value(size: tuple[int, ...]) -> None:
    domain = Domain(size, train_stride=2)
    grid = with_values(domain)
    samples = domain.grid().double()[(slice(None, None, 2),) * domain.dim]
    assert len(grid.values) == samples[..., 0].numel()
    # Places in float32: within 2^-24 of a box that is at most 2 wide, and slopes of at most 4 per node.
    torch.testing.assert_close(grid(samples).reshape(-1, 3), grid.values.detach(), atol=1e-5, rtol=0)


@every_box
def test_weights_are_a_partition_of_unity(size: tuple[int, ...]) -> None:
    grid = with_values(Domain(size))
    torch.nn.init.ones_(grid.values)
    coords = inside(Domain(size), 200)
    torch.testing.assert_close(grid(coords), torch.ones(200, 3, dtype=torch.float64), atol=1e-12, rtol=0)


@every_box
def test_a_multilinear_function_is_kept(size: tuple[int, ...]) -> None:
    """f(x) = prod_k (a_k + b_k x_k), sampled at the nodes, is found again between them."""
    domain = Domain(size)
    grid = with_values(domain, num_features=1)

    def function(coords: Tensor) -> Tensor:
        factors = [0.5 + (k + 1) * coords[..., k] / 2 for k in range(domain.dim)]
        return torch.stack(factors).prod(dim=0)

    grid.values.data = function(domain.grid().double()).reshape(-1, 1)
    first = torch.tensor(domain.extent) * (1 - 1 / torch.tensor(size))
    coords = inside(domain, 200).clamp(-first, first)
    torch.testing.assert_close(grid(coords)[:, 0], function(coords), atol=1e-6, rtol=0)


def test_it_is_what_grid_sample_computes() -> None:
    """In two dimensions, outside of the outermost nodes too."""
    domain = Domain((7, 5))
    grid = with_values(domain)
    coords = 1.2 * inside(domain, 500)
    planes = grid.values.detach().reshape(1, 5, 7, 3).permute(0, 3, 1, 2)
    reach = torch.tensor([6 / 7, 4 / 7])
    expected = F.grid_sample(
        planes, (coords / reach)[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    torch.testing.assert_close(grid(coords), expected[0, :, 0].T, atol=1e-5, rtol=0)


@every_box
def test_gradients_of_the_values_are_the_true_ones(size: tuple[int, ...]) -> None:
    grid = with_values(Domain(size), num_features=2)
    coords = inside(Domain(size), 6)

    def features(values: Tensor) -> Tensor:
        return torch.func.functional_call(grid, {"values": values}, (coords,))

    assert torch.autograd.gradcheck(features, grid.values)


def test_gradients_of_the_coordinates_are_the_true_ones() -> None:
    grid = with_values(Domain((8, 5)))
    assert torch.autograd.gradcheck(grid, 0.5 * inside(Domain((8, 5)), 20).requires_grad_())


def test_the_gradient_is_nonzero_at_the_nodes_around_a_point_only() -> None:
    grid = with_values(Domain((8, 8)))
    centers = Domain((8, 8)).index_to_coords(torch.tensor([[2, 5], [3, 6]]))
    grid(centers.double().mean(dim=0)).sum().backward()
    assert grid.values.grad is not None
    touched = grid.values.grad[:, 0].nonzero()[:, 0].tolist()
    assert touched == [8 * y + x for y, x in product((5, 6), (2, 3))]


@pytest.mark.parametrize(
    "size, stride, resolution, nodes",
    [
        ((512, 512), 2, None, [256, 256]),
        ((9, 4), 2, None, [5, 2]),
        ((9, 4), 2, 9, [9, 3]),
        ((512, 256), 2, 64, [64, 33]),
        ((8, 1), 1, 4, [4, 1]),
        ((1,), 1, 16, [1]),
    ],
)
def test_resolution_counts_the_nodes_of_the_longest_axis(
    size: tuple[int, ...], stride: int, resolution: int | None, nodes: list[int]
) -> None:
    grid = Grid(Domain(size, stride), resolution)
    assert grid.nodes == nodes and len(grid.values) == torch.tensor(nodes).prod()
    assert grid(Domain(size).grid()).isfinite().all()


@pytest.mark.parametrize(
    "options, key", [({"resolution": 1}, "resolution"), ({"num_features": 0}, "num_features")]
)
def test_impossible_options_are_refused_by_name(options: dict[str, int], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}=[^\n]*$"):
        Grid(Domain((16, 16)), **options)


def test_fitted_to_the_training_pixels_it_is_bilinear_interpolation_of_them() -> None:
    """By least squares over all of them, with nothing behind the grid but a linear layer."""
    torch.manual_seed(0)
    image = Image(torch.rand(10, 14, 3), train_stride=2)
    grid = Grid(image.domain, num_features=3)
    field = Field(grid, Mlp(3, 3, depth=0, output="linear"), image.value_range)
    batch = image.get_batch(torch.arange(image.num_observations))
    optimizer = torch.optim.LBFGS(field.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = F.mse_loss(field(batch["coords"]), batch["value"])
        error.backward()
        return error

    optimizer.step(loss)  # type: ignore[arg-type]
    everywhere = image.domain.grid()
    expected = Interpolation(*image.training_samples(), "bilinear")(everywhere)
    assert (field(everywhere) - expected).abs().max() < 1e-3
    assert expected.std() > 0.1


@pytest.mark.parametrize("samples", [8, 25, 513])
def test_the_longest_axis_has_exactly_the_nodes_asked_for(samples: int) -> None:
    for resolution in range(2, 200):
        assert Grid(Domain((samples,)), resolution, 1).nodes == [resolution]
