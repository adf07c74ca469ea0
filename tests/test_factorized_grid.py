from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.encodings.factorized_grid import FactorizedGrid, plane_product, planes, vector_matrix

CUBE = Domain((9, 9, 9))


def with_values(make: Callable[..., FactorizedGrid], **options: object) -> FactorizedGrid:
    torch.manual_seed(0)
    factors = make(CUBE, num_features=4, **options).double()
    for values in factors.parameters():
        torch.nn.init.normal_(values)
    return factors


def inside(count: int) -> Tensor:
    torch.manual_seed(1)
    return 2 * torch.rand(count, 3, dtype=torch.float64) - 1


def sampled(values: Tensor, coords: Tensor, size: tuple[int, ...]) -> Tensor:
    """PyTorch's own interpolation of a line or a plane of values, whose outer nodes are the outer pixel centers."""
    picture = values.detach().T.reshape(1, -1, *size[::-1])
    if len(size) == 1:
        picture, coords = picture[..., None, :], torch.stack([coords[:, 0], 0 * coords[:, 0]], dim=-1)
    place = (coords * 9 / 8)[None, None]
    return F.grid_sample(picture, place, padding_mode="border", align_corners=True)[0, :, 0].T


def test_planes_are_interpolated_pictures_side_by_side_or_added() -> None:
    coords = inside(50)
    for combine in ("concat", "sum"):
        factors = with_values(planes, combine=combine)
        each = [
            sampled(values, coords[:, axes], (9, 9))
            for values, axes in zip(factors.parameters(), ([0, 1], [0, 2], [1, 2]), strict=True)
        ]
        expected = torch.cat(each, dim=-1) if combine == "concat" else each[0] + each[1] + each[2]
        torch.testing.assert_close(factors(coords), expected, atol=1e-5, rtol=0)


def test_the_plane_product_multiplies_them() -> None:
    coords, factors = inside(50), with_values(plane_product)
    xy, xz, yz = (
        sampled(values, coords[:, axes], (9, 9))
        for values, axes in zip(factors.parameters(), ([0, 1], [0, 2], [1, 2]), strict=True)
    )
    torch.testing.assert_close(factors(coords), xy * xz * yz, atol=1e-5, rtol=0)


def test_vector_matrix_is_a_line_times_the_plane_across_for_each_axis() -> None:
    coords, factors = inside(50), with_values(vector_matrix)
    values = list(factors.parameters())
    expected = [
        sampled(values[2 * axis], coords[:, across], (9, 9))
        * sampled(values[2 * axis + 1], coords[:, [axis]], (9,))
        for axis, across in enumerate(([1, 2], [0, 2], [0, 1]))
    ]
    torch.testing.assert_close(factors(coords), torch.cat(expected, dim=-1), atol=1e-5, rtol=0)


def test_vector_matrix_holds_a_sum_of_products_of_a_line_and_a_plane() -> None:
    """TensoRF's eq. 3 as a tensor: the sum over its features, at the nodes, is sum_m sum_r v^m_r (outer) M^m_r."""
    factors = with_values(vector_matrix)
    tables = list(factors.parameters())
    tensor = torch.zeros(9, 9, 9, dtype=torch.float64)
    for axis, letters in enumerate(("zyr,xr->zyx", "zxr,yr->zyx", "yxr,zr->zyx")):
        plane, line = tables[2 * axis].detach(), tables[2 * axis + 1].detach()
        tensor += torch.einsum(letters, plane.reshape(9, 9, -1), line)
    found = factors(CUBE.grid().double()).sum(dim=-1)
    torch.testing.assert_close(found, tensor, atol=1e-4, rtol=0)


def test_lines_of_a_longer_box_are_as_dense_as_its_longest() -> None:
    factors = vector_matrix(Domain((33, 17, 9)), resolution=17, num_features=1)
    nodes = [grid.nodes for grid in factors.grids]
    assert nodes == [[9, 5], [17], [17, 5], [9], [17, 9], [5]]


@pytest.mark.parametrize("make", [planes, plane_product, vector_matrix])
def test_they_need_axes_to_pair(make: Callable[..., FactorizedGrid]) -> None:
    with pytest.raises(ValueError, match=r"needs 2 to [34] columns, and the domain has 1"):
        make(Domain((8,)))
