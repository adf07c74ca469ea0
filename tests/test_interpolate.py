import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from coordnet.encodings.interpolate import (
    _FEW_COLUMNS,
    GatherInterpolate,
    ScatterAdd,
    WeightGradient,
    cell_and_fraction,
    gather_interpolate,
)

# Odd, even and beyond the number of channels that are added one by one.
every_width = pytest.mark.parametrize("channels", [1, 2, 3, 4, _FEW_COLUMNS, _FEW_COLUMNS + 3])

# Torch warns the first time that forward mode is used.
forward_mode = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def case(channels: int, rows: int = 7, points: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """A table, the rows of it that each point reads, some of them twice, and their weights."""
    generator = torch.Generator().manual_seed(channels)
    values = torch.randn(rows, channels, dtype=torch.float64, generator=generator)
    index = torch.randint(rows, (points, 4), dtype=torch.int32, generator=generator)
    weights = torch.randn(points, 4, dtype=torch.float64, generator=generator)
    return values, index, weights


def matrix(index: Tensor, weights: Tensor, rows: int) -> Tensor:
    """The linear map from the table to the points as a matrix (points, rows)."""
    dense = torch.zeros(len(index), rows, dtype=torch.float64)
    for n, (row, weight) in enumerate(zip(index.tolist(), weights.tolist(), strict=True)):
        for i, w in zip(row, weight, strict=True):
            dense[n, i] += w
    return dense


@every_width
def test_the_blend_is_its_matrix_times_the_table(channels: int) -> None:
    values, index, weights = case(channels)
    torch.testing.assert_close(gather_interpolate(values, index, weights), matrix(index, weights, 7) @ values)


@every_width
def test_its_derivative_is_the_transposed_matrix(channels: int) -> None:
    _, index, weights = case(channels)
    gradients = torch.randn(40, channels, dtype=torch.float64)
    spread = ScatterAdd.apply(gradients, index, weights, 7)
    torch.testing.assert_close(spread, matrix(index, weights, 7).T @ gradients)


def test_gradients_may_begin_anywhere_in_their_memory() -> None:
    _, index, weights = case(2)
    gradients = torch.randn(41 * 2, dtype=torch.float64)[1:81].view(40, 2)
    spread = ScatterAdd.apply(gradients, index, weights, 7)
    torch.testing.assert_close(spread, matrix(index, weights, 7).T @ gradients)


@every_width
def test_three_derivatives_of_one_form_agree(channels: int) -> None:
    """S is linear in each of its three arguments, so each derivative times its argument is S again."""
    values, index, weights = case(channels)
    gradients = torch.randn(40, channels, dtype=torch.float64)
    form = (gather_interpolate(values, index, weights) * gradients).sum()
    torch.testing.assert_close((ScatterAdd.apply(gradients, index, weights, 7) * values).sum(), form)
    torch.testing.assert_close((WeightGradient.apply(values, index, gradients) * weights).sum(), form)


@every_width
@forward_mode
def test_first_and_second_derivatives_are_those_of_finite_differences(channels: int) -> None:
    values, index, weights = case(channels, rows=3, points=2)
    inputs = (values.requires_grad_(), weights.requires_grad_())
    assert gradcheck(lambda v, w: gather_interpolate(v, index, w), inputs)
    assert gradgradcheck(lambda v, w: gather_interpolate(v, index, w), inputs)
    assert gradcheck(
        lambda v, w: gather_interpolate(v, index, w), inputs, check_forward_ad=True, check_backward_ad=False
    )


@every_width
@forward_mode
def test_hessians_by_forward_mode_are_those_by_reverse_mode(channels: int) -> None:
    values, index, weights = case(channels, rows=3, points=2)

    def cubic(v: Tensor, w: Tensor) -> Tensor:
        return gather_interpolate(v, index, w).pow(3).sum()

    twice = torch.func.jacrev(torch.func.jacrev(cubic, (0, 1)), (0, 1))(values, weights)
    forward = torch.func.hessian(cubic, (0, 1))(values, weights)
    torch.testing.assert_close(forward, twice)


@pytest.mark.parametrize("channels", [2, _FEW_COLUMNS + 1])
def test_gradients_of_many_points_on_few_rows_repeat_bit_for_bit(channels: int) -> None:
    index = torch.randint(5, (20_000, 8), dtype=torch.int32)
    gradients, weights = torch.randn(20_000, channels), torch.rand(20_000, 8)
    threads = torch.get_num_threads()
    first = ScatterAdd.apply(gradients, index, weights, 5)
    try:
        torch.set_num_threads(4)
        assert all(torch.equal(first, ScatterAdd.apply(gradients, index, weights, 5)) for _ in range(5))
    finally:
        torch.set_num_threads(threads)


@every_width
def test_jacobians_of_many_points_at_once_are_those_of_each(channels: int) -> None:
    values, index, weights = case(channels, points=6)
    jacobian = torch.func.jacrev(gather_interpolate)
    many = torch.func.vmap(jacobian, in_dims=(None, 0, 0))(values, index[:, None], weights[:, None])
    each = torch.stack([jacobian(values, index[n : n + 1], weights[n : n + 1]) for n in range(6)])
    torch.testing.assert_close(many, each)


def test_one_table_is_not_copied_for_each_of_many_points() -> None:
    values, index, weights = case(2)
    pointers = []
    forward = GatherInterpolate.forward

    def seen(table: Tensor, *others: Tensor) -> Tensor:
        pointers.append((table.data_ptr(), len(table)))
        return forward(table, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GatherInterpolate, "forward", staticmethod(seen))
        torch.func.vmap(gather_interpolate, in_dims=(None, 0, 0))(values, index[:, None], weights[:, None])
    assert pointers == [(values.data_ptr(), 7)]


def test_no_points_are_no_rows() -> None:
    values, index, weights = case(2, points=0)
    assert gather_interpolate(values, index, weights).shape == (0, 2)
    assert not ScatterAdd.apply(torch.zeros(0, 2), index, weights.float(), 7).any()


def test_nodes_below_are_int32_and_exist_for_any_number() -> None:
    place = torch.tensor([[0.0, 0.0], [2.5, 0.5], [3.0, 1.0], [float("nan"), 0.0]])
    low, beyond = cell_and_fraction(place, torch.tensor([4, 1], dtype=torch.int32))
    assert low.dtype == torch.int32 and low.tolist() == [[0, 0], [2, 0], [2, 0], [0, 0]]
    assert beyond[:3].tolist() == [[0, 0], [0.5, 0.5], [1, 1]] and beyond[3, 0].isnan()
