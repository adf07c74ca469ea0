"""The heart of every grid: weighted sums of a few rows of a table, and all their derivatives, fast on a CPU.

They come from one form, S = sum over n and k of w[n, k] (v[i[n, k]] . g[n]), which is linear in the table v (t, c), the
weights w (n, k) and the gradients g (n, c). Its derivative in one of the three is a function of the other two, and
that one's derivatives are of the same kind: `Blend` is the derivative in g, `Spread` in v, `Dot` in w.

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
FEW_CHANNELS = 8


def blend(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """sum_k weights[n, k] values[index[n, k]], (n, c).

    Args:
        values: (t, c).
        index: (n, k), whole numbers in [0, t).
        weights: (n, k).
    """
    result: Tensor = Blend.apply(values, index, weights.to(values.dtype))
    return result


def split(place: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The node below each place, int32, and how far beyond it the place is, in [0, 1].

    Args:
        place: In units of nodes, from 0 to nodes - 1.
        nodes: Along each axis, int32; broadcasts with `place`. Of a single node, that one is below.
    """
    # What is not a number has a node, too, and stays what it is in the weights.
    low = place.detach().int().minimum(nodes - 2).clamp(min=0)
    return low, place - low


def corners(pairs: Sequence[Tensor], combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine the two ends of a cell along each axis, (*, 2, n), to its corners: (*, n, 2^d), first axis fastest."""
    result = pairs[0]
    for pair in pairs[1:]:
        result = combine(pair[..., :, None, :], result[..., None, :, :]).flatten(-3, -2)
    return result.movedim(-1, -2).contiguous()


def corner_weights(beyond: Tensor) -> Tensor:
    """Weights of the corners of a cell, (*, n, 2^d), of points at `beyond` (d, *, n) in it."""
    return corners([torch.stack([1 - t, t], dim=-2) for t in beyond], torch.mul)


class Blend(Function):
    @staticmethod
    def forward(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        return F.embedding_bag(index, values, mode="sum", per_sample_weights=weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, index, weights = ctx.saved_tensors
        to_values, _, to_weights = ctx.needs_input_grad
        return (
            Spread.apply(gradients, index, weights, len(values)) if to_values else None,
            None,
            Dot.apply(values, index, gradients) if to_weights else None,
        )

    @staticmethod
    def jvp(ctx: Any, to_values: Tensor | None, _: None, to_weights: Tensor | None) -> Tensor:
        values, index, weights = ctx.saved_tensors
        return total(
            None if to_values is None else Blend.apply(to_values, index, weights),
            None if to_weights is None else Blend.apply(values, index, to_weights),
        )

    @staticmethod
    def vmap(info: Any, dims: Any, values: Tensor, index: Tensor, weights: Tensor) -> tuple[Tensor, int]:
        table, (index, weights), shape = side_by_side(info.batch_size, dims, values, index, weights)
        return Blend.apply(table, index, weights).unflatten(0, shape), 0


class Spread(Function):
    @staticmethod
    def forward(gradients: Tensor, index: Tensor, weights: Tensor, count: int) -> Tensor:
        return sum_of_rows(gradients, index, weights, count)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        gradients, index, weights, ctx.count = inputs
        ctx.save_for_backward(gradients, index, weights)
        ctx.save_for_forward(gradients, index, weights)

    @staticmethod
    def backward(ctx: Any, values: Tensor) -> tuple[Tensor | None, ...]:
        gradients, index, weights = ctx.saved_tensors
        to_gradients, _, to_weights, _ = ctx.needs_input_grad
        return (
            Blend.apply(values, index, weights) if to_gradients else None,
            None,
            Dot.apply(values, index, gradients) if to_weights else None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, to_gradients: Tensor | None, _: None, to_weights: Tensor | None, __: None) -> Tensor:
        gradients, index, weights = ctx.saved_tensors
        return total(
            None if to_gradients is None else Spread.apply(to_gradients, index, weights, ctx.count),
            None if to_weights is None else Spread.apply(gradients, index, to_weights, ctx.count),
        )

    @staticmethod
    def vmap(
        info: Any, dims: Any, gradients: Tensor, index: Tensor, weights: Tensor, count: int
    ) -> tuple[Tensor, int]:
        size = info.batch_size
        gradients, index, weights = (
            batched(size, dim, tensor)
            for dim, tensor in zip(dims[:3], (gradients, index, weights), strict=True)
        )
        tables = Spread.apply(
            gradients.flatten(0, 1), apart(index, count), weights.flatten(0, 1), size * count
        )
        return tables.unflatten(0, (size, count)), 0


class Dot(Function):
    @staticmethod
    def forward(values: Tensor, index: Tensor, gradients: Tensor) -> Tensor:
        return (F.embedding(index, values) * gradients[:, None]).sum(dim=-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        values, index, gradients = ctx.saved_tensors
        to_values, _, to_gradients = ctx.needs_input_grad
        return (
            Spread.apply(gradients, index, weights, len(values)) if to_values else None,
            None,
            Blend.apply(values, index, weights) if to_gradients else None,
        )

    @staticmethod
    def jvp(ctx: Any, to_values: Tensor | None, _: None, to_gradients: Tensor | None) -> Tensor:
        values, index, gradients = ctx.saved_tensors
        return total(
            None if to_values is None else Dot.apply(to_values, index, gradients),
            None if to_gradients is None else Dot.apply(values, index, to_gradients),
        )

    @staticmethod
    def vmap(info: Any, dims: Any, values: Tensor, index: Tensor, gradients: Tensor) -> tuple[Tensor, int]:
        table, (index, gradients), shape = side_by_side(info.batch_size, dims, values, index, gradients)
        return Dot.apply(table, index, gradients).unflatten(0, shape), 0


def total(*terms: Tensor | None) -> Tensor:
    """Of those that are there; at least one is."""
    return reduce(torch.add, [term for term in terms if term is not None])


def sum_of_rows(gradients: Tensor, index: Tensor, weights: Tensor, count: int) -> Tensor:
    """A table (count, c) in which row i is the sum of weights[n, k] gradients[n] over all index[n, k] = i."""
    channels = gradients.shape[-1]
    where = index.reshape(-1).long()
    table = gradients.new_zeros(count, channels)
    if channels > FEW_CHANNELS:
        return table.index_add_(0, where, (weights[..., None] * gradients[:, None]).reshape(-1, channels))
    columns, sums = in_pairs(gradients), in_pairs(table)
    for k in range(sums.shape[-1]):
        sums[:, k].scatter_add_(0, where, (weights * columns[:, k, None]).reshape(-1))
    return table


def in_pairs(columns: Tensor) -> Tensor:
    """Two columns as one complex one, where their number is even: one pass adds both."""
    if columns.shape[-1] % 2:
        return columns
    return torch.view_as_complex(columns.contiguous().unflatten(-1, (-1, 2)))


def side_by_side(
    size: int, dims: Any, values: Tensor, index: Tensor, others: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[int, int]]:
    """`size` cases as one: their table, index and other (b n, k), and (b, n). One table for all is not copied."""
    index, others = batched(size, dims[1], index), batched(size, dims[2], others)
    shape = (index.shape[0], index.shape[1])
    if dims[0] is None:
        return values, (index.flatten(0, 1), others.flatten(0, 1)), shape
    values = values.movedim(dims[0], 0)
    return values.flatten(0, 1), (apart(index, values.shape[1]), others.flatten(0, 1)), shape


def batched(size: int, dim: int | None, tensor: Tensor) -> Tensor:
    """With a first dimension of `size`: moved there, or made where there is none."""
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def apart(index: Tensor, count: int) -> Tensor:
    """Index (b, n, k) into b tables of `count` rows, as one into the tables below one another: (b n, k)."""
    offset = count * torch.arange(len(index), device=index.device)
    return (index + offset[:, None, None]).flatten(0, 1)
