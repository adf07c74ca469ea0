import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain, chunks, in_chunks
from coordnet.errors import UserError

SIZES = [(1,), (7,), (512,), (4, 4), (3, 2), (2, 5), (640, 427), (3, 4, 5), (2, 3, 4, 5)]


def axis(domain: Domain, i: int) -> Tensor:
    """The coordinates along axis i of a domain, through its first cells."""
    index = torch.zeros(domain.size[i], domain.dim, dtype=torch.long)
    index[:, i] = torch.arange(domain.size[i])
    return domain.centres(index)[:, i]


def test_centres_of_four_cells() -> None:
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
        # Centres lie within 1 of 0 and are rounded once: their differences are off by at most 2^-23.
        assert x[0].item() - domain.spacing / 2 == pytest.approx(-extent, abs=2**-23)
        torch.testing.assert_close(x.diff(), torch.full((len(x) - 1,), domain.spacing), atol=2**-23, rtol=0)


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


def test_centres_of_512_cells_are_512_numbers() -> None:
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
    assert Domain(size, stride).nyquist == pytest.approx(nyquist)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_at_nyquist_training_samples_only_change_sign(stride: int) -> None:
    domain = Domain((64,), stride)
    x = domain.grid()[::stride, 0].double()
    wave = torch.cos(torch.pi * domain.nyquist * (x - x[0]))
    torch.testing.assert_close(wave, (-1.0) ** torch.arange(len(x)).double())


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
