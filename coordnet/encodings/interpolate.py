"""Interpolation in a table of values: weighted sums of a few rows, and all their derivatives, fast on a CPU.

All derivatives come from one form, S = sum over n and k of w[n, k] (v[i[n, k]] . g[n]). S is linear in the table
v (t, c), the weights w (n, k) and the gradients g (n, c). `GatherInterpolate` is the derivative of S in g, `ScatterAdd`
in v and `WeightGradient` in w, and the derivatives of these three functions are these functions again.

On a CPU, no result depends on the order in which threads run, so a run repeats bit for bit.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

# Largest number of channels for which adding single columns is quicker than adding rows.
_FEW_COLUMNS = 8


def gather_interpolate(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """sum_k weights[n, k] values[index[n, k]], (n, c).

    Args:
        values: Table (t, c).
        index: Rows of the table, (n, k), in [0, t).
        weights: Weights of these rows, (n, k).
    """
    result: Tensor = GatherInterpolate.apply(values, index, weights.to(values.dtype))
    return result


def cell_and_fraction(position: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The node below each position, int32, and the distance of the position from that node, in [0, 1].

    Args:
        position: Positions in units of nodes, from 0 to nodes - 1.
        nodes: Number of nodes along each axis, int32; broadcasts with `position`. On an axis with a single node the
            node below is this node.
    """
    # NaN has a node, too, and stays NaN in the fraction.
    low = position.detach().int().minimum(nodes - 2).clamp(min=0)
    return low, position - low


def cell_corners(pairs: Sequence[Tensor], combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the two ends of a cell along each axis, (*, 2, n), to its corners: (*, n, 2^d), first axis fastest."""
    result = pairs[0]
    for pair in pairs[1:]:
        result = combine(pair[..., :, None, :], result[..., None, :, :]).flatten(-3, -2)
    return result.movedim(-1, -2).contiguous()


def corner_weights(fraction: Tensor) -> Tensor:
    """Weights of the corners of a cell, (*, n, 2^d), for points at `fraction` (d, *, n) of the cell."""
    return cell_corners([torch.stack([1 - t, t], dim=-2) for t in fraction], torch.mul)


class _SavesInputs(Function):
    """A function that saves its first three inputs for its derivatives."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.save_for_forward(*inputs[:3])


class GatherInterpolate(_SavesInputs):
    """Derivative of S in the gradients: sum_k w[n, k] v[i[n, k]], (n, c)."""

    @staticmethod
    def forward(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        return F.embedding_bag(index, values, mode="sum", per_sample_weights=weights)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, index, weights = ctx.saved_tensors
        to_values, _, to_weights = ctx.needs_input_grad
        return (
            ScatterAdd.apply(gradients, index, weights, len(values)) if to_values else None,
            None,
            WeightGradient.apply(values, index, gradients) if to_weights else None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _multilinear_jvp(GatherInterpolate, ctx.saved_tensors, tangents)

    @staticmethod
    def vmap(info: Any, dims: Any, *tensors: Tensor) -> tuple[Tensor, int]:
        return _as_one_table(GatherInterpolate, info.batch_size, dims, *tensors), 0


class ScatterAdd(_SavesInputs):
    """Derivative of S in the table of `count` rows: (count, c)."""

    @staticmethod
    def forward(gradients: Tensor, index: Tensor, weights: Tensor, count: int) -> Tensor:
        return _scatter_rows(gradients, index, weights, count)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        _SavesInputs.setup_context(ctx, inputs, output)
        ctx.count = inputs[3]

    @staticmethod
    def backward(ctx: Any, values: Tensor) -> tuple[Tensor | None, ...]:
        gradients, index, weights = ctx.saved_tensors
        to_gradients, _, to_weights, _ = ctx.needs_input_grad
        return (
            GatherInterpolate.apply(values, index, weights) if to_gradients else None,
            None,
            WeightGradient.apply(values, index, gradients) if to_weights else None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _multilinear_jvp(ScatterAdd, (*ctx.saved_tensors, ctx.count), tangents)

    @staticmethod
    def vmap(info: Any, dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        size, count = info.batch_size, inputs[3]
        gradients, index, weights = map(_with_batch, [size] * 3, dims[:3], inputs[:3])
        tables = ScatterAdd.apply(
            gradients.flatten(0, 1), _batch_offsets(index, count), weights.flatten(0, 1), size * count
        )
        return tables.unflatten(0, (size, count)), 0


class WeightGradient(_SavesInputs):
    """Derivative of S in the weights: v[i[n, k]] . g[n], (n, k)."""

    @staticmethod
    def forward(values: Tensor, index: Tensor, gradients: Tensor) -> Tensor:
        return (F.embedding(index, values) * gradients[:, None]).sum(dim=-1)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        values, index, gradients = ctx.saved_tensors
        to_values, _, to_gradients = ctx.needs_input_grad
        return (
            ScatterAdd.apply(gradients, index, weights, len(values)) if to_values else None,
            None,
            GatherInterpolate.apply(values, index, weights) if to_gradients else None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        return _multilinear_jvp(WeightGradient, ctx.saved_tensors, tangents)

    @staticmethod
    def vmap(info: Any, dims: Any, *tensors: Tensor) -> tuple[Tensor, int]:
        return _as_one_table(WeightGradient, info.batch_size, dims, *tensors), 0


def _multilinear_jvp(
    form: type[Function], inputs: Sequence[Any], tangents: Sequence[Tensor | None]
) -> Tensor:
    """The derivative along tangents of a function that is linear in each input; at least one tangent is given."""
    terms = [
        form.apply(*inputs[:i], tangent, *inputs[i + 1 :])
        for i, tangent in enumerate(tangents)
        if tangent is not None
    ]
    return reduce(torch.add, terms)


def _scatter_rows(gradients: Tensor, index: Tensor, weights: Tensor, count: int) -> Tensor:
    """A table (count, c) in which row i is the sum of weights[n, k] gradients[n] over all index[n, k] = i."""
    channels = gradients.shape[-1]
    where = index.reshape(-1).long()
    table = gradients.new_zeros(count, channels)
    if channels > _FEW_COLUMNS:
        return table.index_add_(0, where, (weights[..., None] * gradients[:, None]).reshape(-1, channels))
    columns, sums = _as_complex(gradients), _as_complex(table)
    for k in range(sums.shape[-1]):
        sums[:, k].scatter_add_(0, where, (weights * columns[:, k, None]).reshape(-1))
    return table


def _as_complex(columns: Tensor) -> Tensor:
    """Pairs of columns as complex columns if their number is even: one pass then adds both columns of a pair."""
    if columns.shape[-1] % 2:
        return columns
    columns = columns.contiguous()
    if columns.storage_offset() % 2:
        columns = columns.clone()
    return torch.view_as_complex(columns.unflatten(-1, (-1, 2)))


def _as_one_table(
    form: type[Function], size: int, dims: Any, values: Tensor, index: Tensor, others: Tensor
) -> Tensor:
    """`size` cases of GatherInterpolate or WeightGradient as one, (b, n, *); one table is not copied."""
    index, others = _with_batch(size, dims[1], index), _with_batch(size, dims[2], others)
    flat = index.flatten(0, 1)
    if dims[0] is not None:
        values = values.movedim(dims[0], 0)
        values, flat = values.flatten(0, 1), _batch_offsets(index, values.shape[1])
    return form.apply(values, flat, others.flatten(0, 1)).unflatten(0, index.shape[:2])


def _with_batch(size: int, dim: int | None, tensor: Tensor) -> Tensor:
    """The tensor with a first dimension of `size`, moved to the front or expanded."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _batch_offsets(index: Tensor, count: int) -> Tensor:
    """Index (b, n, k) into b tables of `count` rows as an index (b n, k) into the concatenated tables."""
    offset = count * torch.arange(len(index), device=index.device)
    return (index + offset[:, None, None]).flatten(0, 1)
