"""How far a prediction is from the truth. Images are (height, width, channels) in [0, 1]."""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

# What is taken at once: values, and rows of 11 x 11 windows, for which torchmetrics takes many times their bytes.
CHUNK = 2**20
ROWS = 64


def psnr(prediction: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB with data range 1, after clipping the prediction to [0, 1]."""
    error = (prediction.clamp(0, 1) - target).flatten()
    squares = torch.stack([part.double().square().sum() for part in error.split(CHUNK)])
    return float(-10 * torch.log10(squares.sum() / error.numel()))


def ssim(prediction: Tensor, target: Tensor) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window of sigma 1.5) with data range 1, after clipping.

    NaN where the image is smaller than the 11-pixel window.
    """
    height, width = target.shape[:2]
    if min(height, width) < 11:
        return float("nan")
    a, b = (x.permute(2, 0, 1)[None] for x in (prediction.clamp(0, 1), target))
    total = 0.0
    for top in range(0, height - 10, ROWS):
        rows = slice(top, top + ROWS + 10)
        _, similarity = structural_similarity_index_measure(
            a[..., rows, :], b[..., rows, :], data_range=1.0, return_full_image=True
        )
        # Of all windows, only those that lie inside the image count, as in the paper.
        total += float(similarity[..., 5:-5, 5:-5].double().sum())
    return total / ((height - 10) * (width - 10) * a.shape[1])


def nmse(prediction: Tensor, target: Tensor) -> float:
    """Squared error relative to the target's energy: 0 is perfect, 1 is what predicting zero scores."""
    return float(((prediction - target).double() ** 2).sum() / (target.double() ** 2).sum())
