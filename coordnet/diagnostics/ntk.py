"""The empirical neural tangent kernel of a field, and gradient descent under a constant kernel.

With J the derivative of the field's values by the weights, Theta = J J^T (Jacot et al. 2018). A small step of gradient
descent on squared error changes the values by -rate Theta (values - target). So the eigenvalue of each eigenvector of
Theta is the speed at which that eigenvector is learned: the spectral bias as a matrix.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from coordnet.coords import chunks

# Largest number of Jacobian entries in memory at once.
MAX_ENTRIES = 2**24


class EigenDecomposition(NamedTuple):
    """Eigendecomposition of a kernel matrix.

    Attributes:
        eigenvalues: Eigenvalues (n,), float64, falling; negative values, which are rounding errors, are set to 0.
        eigenvectors: Eigenvectors (n, n), float64, one per column, of length 1.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor


class _LayerCall(NamedTuple):
    """One call of a linear layer.

    Attributes:
        layer: Linear layer that shares neither weight nor bias with another module.
        inputs: Inputs (n, in), one row per point.
        outputs: Outputs (n, out), still part of the autograd graph.
    """

    layer: nn.Linear
    inputs: Tensor
    outputs: Tensor


def tangent_kernel(
    field: nn.Module, *points: Tensor, full: bool = False, max_entries: int = MAX_ENTRIES
) -> Tensor:
    """Compute Theta = J J^T of the field, its output activation included.

    A linear layer that is called once contributes (h h^T + 1) * (delta delta^T). Here h is the input of the layer,
    delta is the derivative of the values by the output of the layer, and the 1 is the bias. The sum over layers is
    exact and never builds J. All other weights (frequencies, grids, layers that are called twice) contribute through
    their Jacobian, one block of points at a time.

    Args:
        field: Module that maps points to values (n, C), each point independently. Only weights with requires_grad
            count.
        points: Arguments of the field, each (n, ...).
        full: Keep the channels apart.
        max_entries: Largest number of Jacobian entries in memory at once.

    Returns:
        The kernel in float64, computed in the precision of the weights: float32 leaves errors of 1e-7 of the largest
        eigenvalue. The default is (n, n), the mean over channels of Theta_cc, which equals the kernel of each channel
        if the channels are alike. With `full` the shape is (n, C, n, C). Only the full kernel predicts the training of
        several channels, because the channels share hidden layers.
    """
    with torch.enable_grad():
        values, calls = _call_layers(field, points)
        kernel = _layer_kernel(values, calls, full)
        done = {id(parameter) for call in calls for parameter in call.layer.parameters()}
        rest = {
            name: parameter.detach()
            for name, parameter in field.named_parameters()
            if parameter.requires_grad and id(parameter) not in done
        }
    return (
        kernel + jacobian_kernel(field, rest, *points, full=full, max_entries=max_entries) if rest else kernel
    ).detach()


def _call_layers(field: nn.Module, points: Sequence[Tensor]) -> tuple[Tensor, list[_LayerCall]]:
    """Evaluate the field; returns the values (n, C) and the calls of the layers that `_layer_kernel` handles."""
    uses = Counter(id(p) for module in field.modules() for p in module._parameters.values() if p is not None)
    found: list[_LayerCall] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        assert isinstance(layer, nn.Linear)
        found.append(_LayerCall(layer, inputs[0].detach(), outputs))

    layers = [module for module in field.modules() if type(module) is nn.Linear]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        values = field(*points)
    finally:
        for hook in hooks:
            hook.remove()
    counts = Counter(call.layer for call in found)
    own = {layer for layer in counts if all(uses[id(p)] == 1 for p in layer.parameters())}
    fitting = [
        call
        for call in found
        if counts[call.layer] == 1
        and call.layer in own
        and call.inputs.shape[:-1] == values.shape[:1]
        and any(p.requires_grad for p in call.layer.parameters())
    ]
    return values, fitting


def _layer_kernel(values: Tensor, calls: Sequence[_LayerCall], full: bool) -> Tensor:
    """Compute the part of Theta that belongs to the weights of these layers, from values (n, C)."""
    n, channels = values.shape
    kernel = torch.zeros((n, channels) * 2 if full else (n, n), dtype=torch.float64, device=values.device)
    if not calls:
        return kernel
    outputs = [call.outputs for call in calls]
    slopes = [
        torch.autograd.grad(values[:, c].sum(), outputs, retain_graph=True, materialize_grads=True)
        for c in range(channels)
    ]
    for (layer, inputs, _), *delta in zip(calls, *slopes, strict=True):
        gram = inputs.new_zeros(n, n)
        if layer.weight.requires_grad:
            gram += inputs @ inputs.T
        if layer.bias is not None and layer.bias.requires_grad:
            gram += 1
        deltas = torch.stack(delta, dim=1)
        kernel += (gram[:, None, :, None] if full else gram) * _products(deltas, deltas, full)
    return kernel


def _products(left: Tensor, right: Tensor, full: bool) -> Tensor:
    """Multiply derivatives (n, C, p) and (m, C, p): (n, C, m, C) with `full`, else the mean over channels (n, m)."""
    if full:
        return torch.einsum("icp,jdp->icjd", left, right)
    return torch.einsum("icp,jcp->ij", left, right) / left.shape[1]


def jacobian_kernel(
    field: nn.Module,
    weights: Mapping[str, Tensor],
    *points: Tensor,
    full: bool = False,
    max_entries: int = MAX_ENTRIES,
) -> Tensor:
    """Compute the part of Theta that belongs to these named weights, from blocks of their Jacobian.

    Arguments and result are those of `tangent_kernel`.
    """

    def value(weights: Mapping[str, Tensor], *point: Tensor) -> Tensor:
        return functional_call(field, dict(weights), tuple(part[None] for part in point))[0]

    rows = vmap(jacrev(value), in_dims=(None, *(0 for _ in points)))

    def jacobian(part: slice) -> Tensor:
        slopes = rows(dict(weights), *(tensor[part] for tensor in points))
        return torch.cat([slope.flatten(2) for slope in slopes.values()], dim=-1)

    n = len(points[0])
    with torch.no_grad():
        channels = field(*(tensor[:1] for tensor in points)).shape[1]
    block = max(1, max_entries // (channels * sum(weight.numel() for weight in weights.values())))
    shape = (n, channels) * 2 if full else (n, n)
    kernel = torch.zeros(shape, dtype=torch.float64, device=points[0].device)
    for i in chunks(n, block):
        left = jacobian(i)
        for j in chunks(i.stop, block):
            product = _products(left, left if j == i else jacobian(j), full).double()
            if full:
                kernel[i, :, j] = product
                kernel[j, :, i] = product.permute(2, 3, 0, 1)
            else:
                kernel[i, j] = product
                kernel[j, i] = product.T
    return kernel


def eigendecomposition(kernel: Tensor) -> EigenDecomposition:
    """Decompose a symmetric kernel (n, n) or (n, C, n, C); eigenvalues fall."""
    size = math.isqrt(kernel.numel())
    matrix = kernel.reshape(size, size).double()
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return EigenDecomposition(values.flip(0).clamp(min=0), vectors.flip(1))


def effective_rank(eigenvalues: Tensor) -> float:
    """Return the participation ratio (sum of eigenvalues)^2 / (sum of squares): n for equal eigenvalues."""
    return float(eigenvalues.sum() ** 2 / eigenvalues.square().sum())


def entropy_rank(eigenvalues: Tensor) -> float:
    """Return exp(-sum p log p) with p the share of each eigenvalue in their sum (Roy & Vetterli 2007)."""
    share = eigenvalues / eigenvalues.sum()
    return float(torch.special.entr(share).sum().exp())


def condition_number(eigenvalues: Tensor) -> float:
    """Divide the first of falling eigenvalues by the last; infinite if the last is within rounding (n eps) of 0."""
    rounding = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues[0]
    return float(eigenvalues[0] / eigenvalues[-1]) if eigenvalues[-1] > rounding else math.inf


def energy_shares(eigenvectors: Tensor, target: Tensor) -> Tensor:
    """Return the share (n,) of the target's energy along each eigenvector; the shares add up to 1.

    Args:
        eigenvectors: Eigenvectors (n, n), one per column.
        target: Target values (n, C), not constant. The mean of each channel is subtracted (Yuce et al. 2022).
    """
    centered = (target - target.mean(dim=0)).double()
    return (eigenvectors.T @ centered).square().sum(dim=1) / centered.square().sum()


def num_for_share(shares: Tensor, share: float) -> int:
    """Count the first shares (n,) that together reach at least `share` of the sum of all shares."""
    total = shares.cumsum(dim=0)
    return int((total < share * total[-1] * (1 - 1e-12)).sum()) + 1


def predicted_residuals(
    kernel: Tensor, residual: Tensor, rate: float, steps: Tensor, trained: Tensor | None = None
) -> Tensor:
    """Predict residuals after `steps` steps of residual -= rate Theta residual: gradient descent with constant Theta.

    With Q and lambda of the trained points, Q^T r(t) = (1 - rate lambda)^t Q^T r(0), which is exact for discrete steps.
    At all other points, r(t) = r(0) - Theta Q (1 - (1 - rate lambda)^t) / lambda Q^T r(0).

    Args:
        kernel: Kernel Theta (n, n).
        residual: Values minus target (n,) before training.
        rate: Learning rate for the loss sum(r^2) / 2. For the mean of m squares: the learning rate times 2 / m.
        steps: Numbers of steps (s,), whole.
        trained: Index or mask of the training points; None for all points.

    Returns:
        Residuals (s, n), float64.

    Raises:
        ValueError: The rate is above 2 / (largest eigenvalue), and gradient descent diverges.
    """
    index = torch.arange(len(residual)) if trained is None else torch.arange(len(residual))[trained]
    values, vectors = eigendecomposition(kernel[index][:, index])
    if rate * values[0] > 2:
        raise ValueError(
            f"the rate {rate:.3g} is above 2 / (largest eigenvalue) = {2 / float(values[0]):.3g}, "
            "where gradient descent diverges"
        )
    start = residual.double()
    projected = vectors.T @ start[index]
    left = (1 - rate * values) ** steps.double()[:, None]
    # The sum of the first t powers of (1 - rate lambda) is t if lambda is 0.
    tiny = values <= len(values) * torch.finfo(torch.float64).eps * values[0]
    powers = torch.where(tiny, steps.double()[:, None], (1 - left) / (rate * values).masked_fill(tiny, 1.0))
    return start - rate * (powers * projected) @ (kernel[:, index].double() @ vectors).T


def predicted_loss(kernel: Tensor, residual: Tensor, learning_rate: float, steps: Tensor) -> Tensor:
    """Predict the mean squared error after `steps` steps of gradient descent with a constant kernel.

    The prediction holds for full-batch gradient descent on the mean squared error without momentum. Several channels
    require the full kernel.

    Args:
        kernel: Kernel (n, n), or (n, C, n, C) for C channels.
        residual: Values minus target before training, as many as the kernel has rows.
        learning_rate: Constant learning rate.
        steps: Numbers of steps (s,), whole.

    Returns:
        Mean squared errors (s,), float64.

    Raises:
        ValueError: The learning rate is above the largest stable rate, or residual and kernel differ in size.
    """
    flat = residual.flatten()
    if kernel.numel() != len(flat) ** 2:
        raise ValueError(f"a kernel of {math.isqrt(kernel.numel())} rows does not fit {len(flat)} residuals")
    square = kernel.reshape(len(flat), len(flat))
    rate = 2 * learning_rate / len(flat)
    return predicted_residuals(square, flat, rate, steps).square().mean(dim=1)
