import torch
from torch import Tensor

# Number of values that are squared at a time, so that memory stays bounded.
_VALUES_PER_CHUNK = 2**20


def psnr(prediction: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB with data range 1, after clipping the prediction to [0, 1].

    Args:
        prediction: Values of any shape.
        target: Values in [0, 1] of the same shape.
    """
    error = (prediction.clamp(0, 1) - target).flatten()
    squares = torch.stack([part.double().square().sum() for part in error.split(_VALUES_PER_CHUNK)])
    return float(-10 * torch.log10(squares.sum() / error.numel()))
