"""The heart of every grid: weighted sums of a few rows of a table, and all their derivatives, fast on a CPU.

They come from one form, S = sum over n and k of w[n, k] (v[i[n, k]] . g[n]), which is linear in the table v (t, c), the
weights w (n, k) and the gradients g (n, c). Its derivative in one of the three is a function of the other two, and
that one's derivatives are of the same kind: `GatherInterpolate` is the derivative in g, `ScatterAdd` in v,
`WeightGradient` in w.

On a CPU, nothing here depends on the order in which threads run, so a run repeats bit for bit.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

# Channels up to which adding single columns is quicker than adding rows.
_FEW_COLUMNS = 8


def gather_interpolate(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """sum_k weights[n, k] values[index[n, k]], (n, c).

    Args:
        values: (t, c).
        index: (n, k), whole numbers in [0, t).
        weights: (n, k).
    """
    result: Tensor = GatherInterpolate.apply(values, index, weights.to(values.dtype))
    return result


def cell_and_fraction(place: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The node below each place, int32, and how far beyond it the place is, in [0, 1].

    Args:
        place: In units of nodes, from 0 to nodes - 1.
        nodes: Along each axis, int32; broadcasts with `place`. Of a single node, that one is below.
    """
    # What is not a number has a node, too, and stays what it is in the weights.
    low = place.detach().int().minimum(nodes - 2).clamp(min=0)
    return low, place - low


def cell_corners(pairs: Sequence[Tensor], combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the two ends of a cell along each axis, (*, 2, n), to its corners: (*, n, 2^d), first axis fastest."""
    result = pairs[0]
    for pair in pairs[1:]:
        result = combine(pair[..., :, None, :], result[..., None, :, :]).flatten(-3, -2)
    return result.movedim(-1, -2).contiguous()


def corner_weights(beyond: Tensor) -> Tensor:
    """Weights of the corners of a cell, (*, n, 2^d), of points at `beyond` (d, *, n) in it."""
    return cell_corners([torch.stack([1 - t, t], dim=-2) for t in beyond], torch.mul)


class _SavesInputs(Function):
    """Keeps the three tensors that come first among its inputs."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.save_for_forward(*inputs[:3])


class GatherInterpolate(_SavesInputs):
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
    """The derivative along tangents of what is linear in each input: at least one has a tangent."""
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
    """Two columns as one complex one, where their number is even: one pass adds both."""
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
    """With a first dimension of `size`: moved there, or made where there is none."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _batch_offsets(index: Tensor, count: int) -> Tensor:
    """Index (b, n, k) into b tables of `count` rows, as one into the tables below one another: (b n, k)."""
    offset = count * torch.arange(len(index), device=index.device)
    return (index + offset[:, None, None]).flatten(0, 1)
