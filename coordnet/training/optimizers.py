"""Optimizers of torch, with ranges for their options."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch

from coordnet.options import Range, validate_ranges

# Rates have no scale; the bound is the largest number of float32.
Rate = Annotated[float, Range(0, 1e38)]
Share = Annotated[float, Range(0, 1)]


@validate_ranges
def adam(
    params: Any,
    lr: Rate = 1e-3,
    betas: Annotated[Sequence[float], Range(0, 1, below=True, entries=2)] = (0.9, 0.999),
    eps: Share = 1e-8,
    weight_decay: Rate = 0.0,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = False,
    fused: bool | None = None,
) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015).

    Args:
        params: Parameters, or groups of parameters with options of their own.
        lr: Learning rate.
        betas: Decay rates of the averages of the gradient and of the squared gradient.
        eps: Number that is added to the root of the averaged squared gradient.
        weight_decay: Factor of the L2 penalty.
        amsgrad: True uses the maximum of past averages (Reddi et al. 2018).
        decoupled_weight_decay: True decouples the decay from the gradient (AdamW).
        fused: True updates all parameters by one kernel; None lets torch choose.

    Raises:
        OptionError: An option is outside its range.
    """
    return torch.optim.Adam(
        params,
        lr=lr,
        betas=(betas[0], betas[1]),
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        decoupled_weight_decay=decoupled_weight_decay,
        fused=fused,
    )


@validate_ranges
def sgd(
    params: Any,
    lr: Rate = 1e-3,
    momentum: Share = 0.0,
    dampening: Share = 0.0,
    weight_decay: Rate = 0.0,
    nesterov: bool = False,
    fused: bool | None = None,
) -> torch.optim.SGD:
    """Stochastic gradient descent with momentum.

    Args:
        params: Parameters, or groups of parameters with options of their own.
        lr: Learning rate.
        momentum: Share of the last update in the next update.
        dampening: Share of the gradient that the momentum omits.
        weight_decay: Factor of the L2 penalty.
        nesterov: True takes the gradient after the momentum (Nesterov 1983).
        fused: True updates all parameters by one kernel; None lets torch choose.

    Raises:
        OptionError: An option is outside its range.
    """
    return torch.optim.SGD(
        params,
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        fused=fused,
    )
