from itertools import product

import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.hash_grid import PRIMES, HashGrid, level_resolutions
from coordnet.errors import UserError

BOXES = [(40,), (40, 24), (24, 32, 16), (8, 6, 4, 7)]
every_box = pytest.mark.parametrize("size", BOXES, ids=str)


def small(size: tuple[int, ...], **options: object) -> HashGrid:
    """A grid in float64 of four levels, the finest of them hashed, with values of the size that training gives."""
    torch.manual_seed(0)
    chosen = {
        "num_levels": 4,
        "features_per_level": 3,
        "log2_hashmap_size": 2 * len(size),
        "base_resolution": 3,
        "max_resolution": 24,
    } | options
    grid = HashGrid(Domain(size), **chosen).double()  # type: ignore[arg-type]
    torch.nn.init.normal_(grid.values)
    return grid


def inside(domain: Domain, count: int) -> Tensor:
    torch.manual_seed(1)
    return (2 * torch.rand(count, domain.dim, dtype=torch.float64) - 1) * torch.tensor(domain.extent)


def written_out(grid: HashGrid, domain: Domain, coords: Tensor) -> Tensor:
    """The encoding point by point, corner by corner, in whole numbers of any size (Müller et al. 2022, sec. 3)."""
    table, start, features = 2**grid.log2_hashmap_size, 0, []
    for cells in grid.resolutions:
        nodes = [1 + -int(-cells * e // 1) for e in domain.extent]
        count = 1
        for n in nodes:
            count *= n
        rows = []
        for point in coords.tolist():
            place = [cells * (x + e) / 2 for x, e in zip(point, domain.extent, strict=True)]
            low = [int(p // 1) for p in place]
            total = torch.zeros(grid.values.shape[1], dtype=torch.float64)
            for corner in product((0, 1), repeat=domain.dim):
                node = [i + c for i, c in zip(low, corner, strict=True)]
                weight = 1.0
                for p, i in zip(place, node, strict=True):
                    weight *= 1 - abs(p - i)
                entry = 0
                if count <= table:
                    stride = 1
                    for i, n in zip(node, nodes, strict=True):
                        entry += i * stride
                        stride *= n
                else:
                    primes = (1, 2654435761, 805459861, 3674653429)
                    for i, prime in zip(node, primes, strict=False):
                        entry ^= i * prime
                    entry %= table
                total += weight * grid.values[start + entry].detach()
            rows.append(total)
        features.append(torch.stack(rows))
        start += min(count, table)
    return torch.cat(features, dim=-1)


@every_box
def test_it_is_the_sum_over_corners_of_the_paper(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    grid = small(size)
    assert 0 < grid.num_unhashed < 4
    coords = inside(domain, 30)
    # Extents and numbers of cells are float32 in the one, and float64 in the other.
    torch.testing.assert_close(grid(coords), written_out(grid, domain, coords), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("node", "log2_hashmap_size", "entry"), [((3, 5, 7), 19, 329061), ((3, 5), 14, 8310)]
)
def test_hashes_are_the_published_ones(node: tuple[int, ...], log2_hashmap_size: int, entry: int) -> None:
    hashed = torch.zeros((), dtype=torch.int32)
    for i, prime in zip(node, PRIMES, strict=False):
        hashed = hashed ^ (torch.tensor(i, dtype=torch.int32) * prime)
    assert int(hashed & (2**log2_hashmap_size - 1)) == entry


def test_the_resolutions_of_the_paper_come_out() -> None:
    expected = [16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256, 322, 406, 512]
    assert level_resolutions(16, 16, 512) == expected


@pytest.mark.parametrize(
    ("base_resolution", "max_resolution"),
    [(16, 1024), (16, 2048), (12, 256), (10, 512), (16, 524288), (7, 7)],
)
def test_the_last_level_is_the_finest_asked_for(base_resolution: int, max_resolution: int) -> None:
    """A growth factor that is rounded before its power is taken leaves one cell less."""
    for levels in range(2, 33):
        found = level_resolutions(levels, base_resolution, max_resolution)
        assert (found[0], found[-1]) == (base_resolution, max_resolution)
        assert found == sorted(found)
    assert level_resolutions(1, base_resolution, max_resolution) == [base_resolution]


def test_the_paper_s_table_has_its_size() -> None:
    """16 levels from 16 to 2048 cells in a cube: five are whole, (N + 1)^3 nodes, and eleven have 2^19 entries."""
    grid = HashGrid(Domain((2048,) * 3), features_per_level=2)
    whole = [(n + 1) ** 3 for n in (16, 22, 30, 42, 58)]
    assert grid.sizes == whole + [2**19] * 11


@every_box
def test_weights_are_a_partition_of_unity_at_every_level(size: tuple[int, ...]) -> None:
    for interpolation in ("linear", "smoothstep"):
        grid = small(size, interpolation=interpolation)
        torch.nn.init.ones_(grid.values)
        features = grid(inside(Domain(size), 100))
        torch.testing.assert_close(features, torch.ones_like(features), atol=1e-12, rtol=0)


def test_smooth_features_have_no_kinks_at_nodes() -> None:
    """Slopes just before and behind a node of the only level: equal (and 0) if smooth, different if linear."""
    for interpolation in ("linear", "smoothstep"):
        grid = small((8,), num_levels=1, base_resolution=4, max_resolution=4, interpolation=interpolation)
        coords = torch.tensor([[-1e-7], [1e-7]], dtype=torch.float64, requires_grad=True)
        (slopes,) = torch.autograd.grad(grid(coords)[:, 0].sum(), coords)
        same = bool((slopes[0] - slopes[1]).abs() < 1e-4)
        assert same == (interpolation == "smoothstep")


def test_smooth_weights_are_3t2_minus_2t3() -> None:
    """A quarter of the way from a node of value 0 to one of value 1: 3 / 16 - 2 / 64."""
    grid = small(
        (8,),
        num_levels=1,
        features_per_level=1,
        base_resolution=1,
        max_resolution=1,
        interpolation="smoothstep",
    )
    grid.values.data = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert grid(torch.tensor([[-0.5]], dtype=torch.float64)).item() == 0.15625


def test_beyond_the_box_the_border_is_repeated() -> None:
    grid = small((8, 8))
    beyond = torch.tensor([[-3.0, 0.2], [1.7, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(grid(beyond), grid(beyond.clamp(-1, 1)))


@pytest.mark.parametrize(
    "options",
    [
        *(
            {"num_levels": 0},
            {"num_levels": 65},
            {"features_per_level": 0},
            {"log2_hashmap_size": 0},
            {"log2_hashmap_size": 25},
        ),
        *({"base_resolution": 0}, {"base_resolution": 20, "max_resolution": 10}, {"max_resolution": 2**17}),
        {
            "num_levels": 64,
            "log2_hashmap_size": 24,
            "features_per_level": 2,
            "base_resolution": 4096,
            "max_resolution": 65536,
        },
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"^\w+=[^\n]*$"):
        HashGrid(Domain((64, 64)), **options)  # type: ignore[arg-type]
