"""How far a prediction is from the truth. Images are (height, width, channels) in [0, 1]."""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def psnr(prediction: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB with data range 1, after clipping the prediction to [0, 1]."""
    error = torch.mean((prediction.clamp(0, 1) - target).double() ** 2)
    return float(-10 * torch.log10(error))


def ssim(prediction: Tensor, target: Tensor) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window of sigma 1.5) with data range 1, after clipping.

    NaN where the image is smaller than the 11-pixel window.
    """
    if min(target.shape[:2]) < 11:
        return float("nan")
    a, b = (x.permute(2, 0, 1)[None] for x in (prediction.clamp(0, 1), target))
    # Of all windows, only those that lie inside the image count, as in the paper.
    _, similarity = structural_similarity_index_measure(a, b, data_range=1.0, return_full_image=True)
    return float(similarity[..., 5:-5, 5:-5].mean())


def nmse(prediction: Tensor, target: Tensor) -> float:
    """Squared error relative to the target's energy: 0 is perfect, 1 is what predicting zero scores."""
    return float(((prediction - target).double() ** 2).sum() / (target.double() ** 2).sum())
