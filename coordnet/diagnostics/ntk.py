"""The empirical neural tangent kernel of a field, and what gradient descent would do if it stood still.

With J the derivative of the field's values by its weights, Theta = J J^T (Jacot et al. 2018). A small step of gradient
descent on squared error changes the values by -rate Theta (values - target), so each eigenvector of Theta is learned at
a speed of its own, its eigenvalue: the spectral bias as a matrix.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from coordnet.coords import chunks

# Numbers of a Jacobian that are held at once.
BUDGET = 2**24


class EigenDecomposition(NamedTuple):
    """Of a kernel matrix.

    Attributes:
        eigenvalues: (n,) float64, falling; those below 0 by rounding are 0.
        eigenvectors: (n, n) float64, one per column, of length 1.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor


class LayerCall(NamedTuple):
    """One call of a linear layer.

    Attributes:
        layer: Its weight and bias belong to no other module.
        inputs: (n, in), a row per point.
        outputs: (n, out), still part of the graph.
    """

    layer: nn.Linear
    inputs: Tensor
    outputs: Tensor


def tangent_kernel(field: nn.Module, *points: Tensor, full: bool = False, budget: int = BUDGET) -> Tensor:
    """Theta = J J^T of the field as it is called, its output activation included.

    A linear layer that is called once gives (h h^T + 1) * (delta delta^T), h what it reads and delta the derivative of
    the values by what it gives; the 1 is its bias. The sum over layers is exact and never makes J. Weights that are no
    such layer's (frequencies, grids, layers called twice) are added by their Jacobian, a block of points at a time.

    Args:
        field: Maps points to values (n, C), each row of them by itself. Only weights with requires_grad count.
        points: What the field is called with, each (n, ...).
        full: Keep the channels apart.
        budget: Numbers of a Jacobian that are held at once.

    Returns:
        float64, computed in the precision of the weights: float32 leaves errors of 1e-7 of the largest eigenvalue.
        By default (n, n), the mean over channels of Theta_cc, which is the kernel of each channel where they are alike.
        With `full` (n, C, n, C); only this predicts training where there are several channels, because they share
        hidden layers.
    """
    with torch.enable_grad():
        values, reads = call(field, points)
        kernel = layer_wise(values, reads, full)
        done = {id(parameter) for read in reads for parameter in read.layer.parameters()}
        rest = {
            name: parameter.detach()
            for name, parameter in field.named_parameters()
            if parameter.requires_grad and id(parameter) not in done
        }
    return (
        kernel + jacobian_kernel(field, rest, *points, full=full, budget=budget) if rest else kernel
    ).detach()


def call(field: nn.Module, points: Sequence[Tensor]) -> tuple[Tensor, list[LayerCall]]:
    """The values (n, C), and the calls of those linear layers that the layer-wise form fits."""
    uses = Counter(id(p) for module in field.modules() for p in module._parameters.values() if p is not None)
    found: list[LayerCall] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        found.append(LayerCall(layer, inputs[0].detach(), outputs))

    layers = [module for module in field.modules() if type(module) is nn.Linear]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        values = field(*points)
    finally:
        for hook in hooks:
            hook.remove()
    calls = Counter(read.layer for read in found)
    own = {layer for layer in calls if all(uses[id(p)] == 1 for p in layer.parameters())}
    fitting = [
        read
        for read in found
        if calls[read.layer] == 1
        and read.layer in own
        and read.inputs.shape[:-1] == values.shape[:1]
        and any(p.requires_grad for p in read.layer.parameters())
    ]
    return values, fitting


def layer_wise(values: Tensor, reads: Sequence[LayerCall], full: bool) -> Tensor:
    """The part of Theta that is of the weights of these layers, from values (n, C)."""
    n, channels = values.shape
    kernel = torch.zeros((n, channels) * 2 if full else (n, n), dtype=torch.float64, device=values.device)
    if not reads:
        return kernel
    outputs = [read.outputs for read in reads]
    slopes = [
        torch.autograd.grad(values[:, c].sum(), outputs, retain_graph=True, materialize_grads=True)
        for c in range(channels)
    ]
    for (layer, inputs, _), *delta in zip(reads, *slopes, strict=True):
        gram = inputs.new_zeros(n, n)
        if layer.weight.requires_grad:
            gram += inputs @ inputs.T
        if layer.bias is not None and layer.bias.requires_grad:
            gram += 1
        deltas = torch.stack(delta, dim=1)
        kernel += (gram[:, None, :, None] if full else gram) * products(deltas, deltas, full)
    return kernel


def products(left: Tensor, right: Tensor, full: bool) -> Tensor:
    """Of derivatives (n, C, p) and (m, C, p): (n, C, m, C), or (n, m) of the same channel, the mean over channels."""
    if full:
        return torch.einsum("icp,jdp->icjd", left, right)
    return torch.einsum("icp,jcp->ij", left, right) / left.shape[1]


def jacobian_kernel(
    field: nn.Module,
    weights: Mapping[str, Tensor],
    *points: Tensor,
    full: bool = False,
    budget: int = BUDGET,
) -> Tensor:
    """The part of Theta that is of these weights by name, from blocks of their Jacobian: as `tangent_kernel`."""

    def value(weights: Mapping[str, Tensor], *point: Tensor) -> Tensor:
        return functional_call(field, dict(weights), tuple(part[None] for part in point))[0]

    rows = vmap(jacrev(value), in_dims=(None, *(0 for _ in points)))

    def jacobian(part: slice) -> Tensor:
        slopes = rows(dict(weights), *(tensor[part] for tensor in points))
        return torch.cat([slope.flatten(2) for slope in slopes.values()], dim=-1)

    n = len(points[0])
    with torch.no_grad():
        channels = field(*(tensor[:1] for tensor in points)).shape[1]
    block = max(1, budget // (channels * sum(weight.numel() for weight in weights.values())))
    shape = (n, channels) * 2 if full else (n, n)
    kernel = torch.zeros(shape, dtype=torch.float64, device=points[0].device)
    for i in chunks(n, block):
        left = jacobian(i)
        for j in chunks(i.stop, block):
            product = products(left, left if j == i else jacobian(j), full).double()
            if full:
                kernel[i, :, j] = product
                kernel[j, :, i] = product.permute(2, 3, 0, 1)
            else:
                kernel[i, j] = product
                kernel[j, i] = product.T
    return kernel


def eigendecomposition(kernel: Tensor) -> EigenDecomposition:
    """Of a symmetric kernel, (n, n) or (n, C, n, C), by eigenvalues that fall."""
    size = math.isqrt(kernel.numel())
    matrix = kernel.reshape(size, size).double()
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return EigenDecomposition(values.flip(0).clamp(min=0), vectors.flip(1))


def effective_rank(eigenvalues: Tensor) -> float:
    """The participation ratio (sum of eigenvalues)^2 / (sum of their squares): n if all are equal, 1 if one is left."""
    return float(eigenvalues.sum() ** 2 / eigenvalues.square().sum())


def entropy_rank(eigenvalues: Tensor) -> float:
    """exp(-sum p log p) with p each eigenvalue's share of their sum (Roy & Vetterli 2007)."""
    share = eigenvalues / eigenvalues.sum()
    return float(torch.special.entr(share).sum().exp())


def condition_number(eigenvalues: Tensor) -> float:
    """The largest of falling eigenvalues over the smallest; infinite where that is within rounding (n eps) of 0."""
    rounding = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues[0]
    return float(eigenvalues[0] / eigenvalues[-1]) if eigenvalues[-1] > rounding else math.inf


def energy_shares(eigenvectors: Tensor, target: Tensor) -> Tensor:
    """The share of the target's energy along each eigenvector, (n,); they add up to 1.

    Args:
        eigenvectors: (n, n), one per column.
        target: (n, C); the mean of each channel is taken off, as in Yuce et al. 2022. Not constant.
    """
    centered = (target - target.mean(dim=0)).double()
    return (eigenvectors.T @ centered).square().sum(dim=1) / centered.square().sum()


def num_for_share(shares: Tensor, share: float) -> int:
    """How many of the shares (n,), from the first on, add up to at least `share` of their sum."""
    total = shares.cumsum(dim=0)
    return int((total < share * total[-1] * (1 - 1e-12)).sum()) + 1


def predicted_residuals(
    kernel: Tensor, residual: Tensor, rate: float, steps: Tensor, trained: Tensor | None = None
) -> Tensor:
    """Residuals after `steps` steps of residual -= rate Theta residual: gradient descent with Theta standing still.

    With Q and lambda of the trained points, Q^T r(t) = (1 - rate lambda)^t Q^T r(0), exact for discrete steps; at
    points that are not trained, r(t) = r(0) - Theta Q (1 - (1 - rate lambda)^t) / lambda Q^T r(0).

    Args:
        kernel: (n, n).
        residual: (n,) values minus target before training.
        rate: Learning rate for the loss sum(r^2) / 2; for the mean of m squares it is the learning rate times 2 / m.
        steps: (s,) whole numbers.
        trained: Index or mask of the points that are trained on; all of them if not given.

    Returns:
        (s, n) float64.

    Raises:
        ValueError: The rate is above 2 / (largest eigenvalue), where descent diverges and Theta cannot stand still.
    """
    index = torch.arange(len(residual)) if trained is None else torch.arange(len(residual))[trained]
    values, vectors = eigendecomposition(kernel[index][:, index])
    if rate * values[0] > 2:
        raise ValueError(
            f"the rate {rate:.3g} is above 2 / (largest eigenvalue) = {2 / float(values[0]):.3g}, "
            "where gradient descent diverges"
        )
    start = residual.double()
    along = vectors.T @ start[index]
    left = (1 - rate * values) ** steps.double()[:, None]
    # The sum of the first t powers of (1 - rate lambda), which is t where lambda is 0.
    tiny = values <= len(values) * torch.finfo(torch.float64).eps * values[0]
    powers = torch.where(tiny, steps.double()[:, None], (1 - left) / (rate * values).masked_fill(tiny, 1.0))
    return start - rate * (powers * along) @ (kernel[:, index].double() @ vectors).T


def predicted_loss(kernel: Tensor, residual: Tensor, learning_rate: float, steps: Tensor) -> Tensor:
    """Mean squared error after `steps` steps of plain gradient descent on it, with a kernel that stands still.

    Valid only for descent without momentum on the mean of all squares, all of them at every step. With several
    channels it takes the full kernel.

    Args:
        kernel: (n, n) or, of C channels, (n, C, n, C).
        residual: As many values as the kernel has rows: values minus target before training.
        learning_rate: Constant.
        steps: (s,) whole numbers.

    Returns:
        (s,) float64.

    Raises:
        ValueError: The learning rate is beyond the stable one, or residual and kernel differ in size.
    """
    flat = residual.flatten()
    if kernel.numel() != len(flat) ** 2:
        raise ValueError(f"a kernel of {math.isqrt(kernel.numel())} rows does not fit {len(flat)} residuals")
    square = kernel.reshape(len(flat), len(flat))
    rate = 2 * learning_rate / len(flat)
    return predicted_residuals(square, flat, rate, steps).square().mean(dim=1)
