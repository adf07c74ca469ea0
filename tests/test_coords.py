import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain, chunks, in_chunks
from coordnet.errors import OptionError, UserError

SIZES = [(1,), (7,), (512,), (4, 4), (3, 2), (2, 5), (640, 427), (3, 4, 5), (2, 3, 4, 5)]


def axis(domain: Domain, i: int) -> Tensor:
    """The coordinates along axis i of a domain, through its first cells."""
    index = torch.zeros(domain.size[i], domain.dim, dtype=torch.long)
    index[:, i] = torch.arange(domain.size[i])
    return domain.index_to_coords(index)[:, i]


def test_centers_of_four_cells() -> None:
    assert Domain((4,)).grid().squeeze(-1).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_an_image_of_height_2_and_width_3_has_x_first_and_rows_outermost() -> None:
    third = 2 / 3
    x = torch.tensor([[-third, 0, third]] * 2)
    y = torch.tensor([[-third / 2] * 3, [third / 2] * 3])
    torch.testing.assert_close(Domain((3, 2)).grid(), torch.stack([x, y], dim=-1))


@pytest.mark.parametrize("size", SIZES)
def test_cells_are_cubes_that_fill_a_symmetric_box(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    assert max(domain.extent) == 1
    for i, extent in enumerate(domain.extent):
        x = axis(domain, i)
        assert torch.equal(x, -x.flip(0))
        # Centers lie within 1 of 0 and are rounded once: their differences are off by at most 2^-23.
        assert x[0].item() - domain.spacing[0] / 2 == pytest.approx(-extent, abs=2**-23)
        torch.testing.assert_close(
            x.diff(), torch.full((len(x) - 1,), domain.spacing[0]), atol=2**-23, rtol=0
        )


@pytest.mark.parametrize("size", SIZES)
def test_grid_is_every_cell_once_with_x_fastest(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    grid = domain.grid()
    assert grid.shape == (*reversed(size), domain.dim)
    assert grid.dtype == torch.float32
    for i in range(domain.dim):
        x = axis(domain, i)
        expected = x.reshape(*[-1 if j == i else 1 for j in reversed(range(domain.dim))])
        assert torch.equal(grid[..., i], expected.expand(grid.shape[:-1]))


@pytest.mark.parametrize("size", SIZES)
def test_unravel_inverts_the_flat_index(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    flat = torch.arange(domain.num_samples)
    index = domain.unravel(flat)
    steps = torch.cumprod(torch.tensor([1, *size[:-1]]), 0)
    assert torch.equal((index * steps).sum(-1), flat)
    assert (index >= 0).all() and (index < torch.tensor(size)).all()


def test_centers_of_512_cells_are_512_numbers() -> None:
    assert len(Domain((512,)).grid().unique()) == 512


@pytest.mark.parametrize(
    "size, stride, nyquist",
    [
        ((512, 512), 1, 256),
        ((512, 512), 2, 128),
        ((200,), 1, 100),
        ((640, 427), 4, 80),
        ((10, 10), 3, 10 / 6),
    ],
)
def test_nyquist_is_half_the_training_samples_of_the_longest_axis(
    size: tuple[int, ...], stride: int, nyquist: float
) -> None:
    assert Domain(size, stride).nyquist == pytest.approx((nyquist,) * len(size))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_at_nyquist_training_samples_only_change_sign(stride: int) -> None:
    domain = Domain((64,), stride)
    x = domain.grid()[::stride, 0].double()
    wave = torch.cos(torch.pi * max(domain.nyquist) * (x - x[0]))
    torch.testing.assert_close(wave, (-1.0) ** torch.arange(len(x)).double())


@pytest.mark.parametrize("size", SIZES)
def test_position_is_the_number_of_the_sample(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    index = domain.unravel(torch.arange(domain.num_samples))
    # A center is rounded by 2^-25 of the domain, which is n 2^-25 samples, and the product as much again.
    torch.testing.assert_close(
        domain.coords_to_index(domain.index_to_coords(index)), index.float(), atol=max(size) * 2**-23, rtol=0
    )


def test_position_between_and_beyond_the_samples() -> None:
    """Half-way between two centers is a half; the edges of the box lie half a sample beyond the outermost."""
    domain = Domain((4, 2))
    coords = torch.tensor([[-1.0, -0.5], [0.0, 0.0], [1.0, 0.5], [2.0, -1.0]])
    assert domain.coords_to_index(coords).tolist() == [[-0.5, -0.5], [1.5, 0.5], [3.5, 1.5], [5.5, -1.5]]


def test_position_keeps_the_shape_the_dtype_and_the_gradient() -> None:
    domain = Domain((6, 3))
    coords = torch.zeros(5, 7, 2, dtype=torch.float64, requires_grad=True)
    position = domain.coords_to_index(coords)
    assert position.shape == (5, 7, 2) and position.dtype == torch.float64
    (slope,) = torch.autograd.grad(position.sum(), coords)
    assert (slope == 3).all()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "size, axes", [((6, 4), [0]), ((6, 4), [1]), ((3, 5, 8), [0, 2]), ((3, 5, 8), [1]), ((3, 5, 8), [2, 0])]
)
def test_a_part_has_the_coordinates_and_frequencies_of_the_whole(
    size: tuple[int, ...], axes: list[int], stride: int
) -> None:
    whole = Domain(size, stride)
    part = whole.select_axes(axes)
    assert part.size == tuple(size[i] for i in axes)
    for j, i in enumerate(axes):
        assert torch.equal(axis(part, j), axis(whole, i))
        assert part.extent[j] == whole.extent[i]
        assert (part.spacing[j], part.nyquist[j]) == (whole.spacing[i], whole.nyquist[i])
    assert part.train_stride == whole.train_stride
    index = torch.tensor([0] * len(axes))
    torch.testing.assert_close(
        part.coords_to_index(part.index_to_coords(index)), index.float(), atol=1e-6, rtol=0
    )


def test_a_part_of_a_part_is_a_part_of_the_whole() -> None:
    whole = Domain((8, 5, 3), 2)
    assert whole.select_axes([2, 1]).select_axes([1]) == whole.select_axes([1])
    assert whole.select_axes([0, 1, 2]) == whole


def test_a_part_shorter_than_the_stride_is_still_a_part() -> None:
    assert Domain((64, 2), 4).select_axes([1]).nyquist == (8,)


@pytest.mark.parametrize("resolution", [8, 20])
def test_across_sets_the_spacing(resolution: int) -> None:
    domain = Domain((8,), resolution=resolution)
    assert domain.spacing == (2 / resolution,) and domain.extent == (8 / resolution,)
    torch.testing.assert_close(axis(domain, 0).diff(), torch.full((7,), 2 / resolution))


def test_across_is_that_of_the_longest_axis_by_default() -> None:
    assert Domain((3, 7)).resolution == (7, 7)
    assert Domain((3, 7)) == Domain((3, 7), resolution=7) != Domain((3, 7), resolution=8)


@pytest.mark.parametrize("size, stride", [((), 1), ((0,), 1), ((4, 0), 1), ((4,), 0), ((4, 3), 5)])
def test_impossible_domains_are_refused(size: tuple[int, ...], stride: int) -> None:
    with pytest.raises(UserError):
        Domain(size, stride)


@pytest.mark.parametrize("total, size", [(10, 3), (9, 3), (2, 3), (1, 1), (0, 3)])
def test_chunks_cover_in_order_and_stay_small(total: int, size: int) -> None:
    parts = [list(range(total))[part] for part in chunks(total, size)]
    assert [i for part in parts for i in part] == list(range(total))
    assert max(map(len, parts)) <= size


@pytest.mark.parametrize("shape", [(5, 7, 2), (35, 2), (2,), (0, 2), (3, 0, 2)])
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_in_chunks_equals_the_whole(shape: tuple[int, ...], size: int) -> None:
    seen = []

    def field(coords: Tensor) -> Tensor:
        seen.append(len(coords))
        return torch.stack([coords.sum(-1), coords.prod(-1), coords[..., 0]], dim=-1)

    coords = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(in_chunks(field, coords, size), field(coords.reshape(-1, 2)).reshape(*shape[:-1], 3))
    assert max(seen[:-1]) <= size


VIDEO = Domain((8, 6, 300), 2, (8, 8, 300))


def test_an_axis_of_its_own_spans_the_box_and_has_its_own_nyquist_frequency() -> None:
    assert VIDEO.extent == (1, 0.75, 1) and VIDEO.nyquist == (2, 2, 75) and not VIDEO.is_cubic
    assert VIDEO.spacing == (0.25, 0.25, 2 / 300)
    for i in range(3):
        x = axis(VIDEO, i)
        assert torch.equal(x, -x.flip(0)) and x[-1] == pytest.approx(VIDEO.extent[i] - VIDEO.spacing[i] / 2)


def test_indices_and_coordinates_of_unequal_axes_are_inverse() -> None:
    index = VIDEO.unravel(torch.arange(0, VIDEO.num_samples, 7))
    found = VIDEO.coords_to_index(VIDEO.index_to_coords(index))
    torch.testing.assert_close(found, index.float(), atol=300 * 2**-23, rtol=0)


def test_each_axis_of_a_domain_is_a_domain() -> None:
    time, picture = VIDEO.select_axes([2]), VIDEO.select_axes([0, 1])
    assert time == Domain((300,), 2) and picture == Domain((8, 6), 2)
    assert torch.equal(axis(time, 0), axis(VIDEO, 2)) and torch.equal(axis(picture, 1), axis(VIDEO, 1))


@pytest.mark.parametrize("resolution", [7, (8, 5), (8,), (8, 8, 8)])
def test_a_resolution_below_the_size_of_an_axis_is_refused(resolution: int | tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"^resolution=.* must be at least the size \(8, 6\) of each axis$"):
        Domain((8, 6), resolution=resolution)
