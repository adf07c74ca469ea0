from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

_WINDOW = 11
_BORDER = _WINDOW // 2
# Number of rows of windows at a time: torchmetrics holds many times the bytes of these rows.
_ROWS_PER_CHUNK = 64


def ssim(prediction: Tensor, target: Tensor) -> float:
    """Structural similarity (Wang et al. 2004: Gaussian window of sigma 1.5) with data range 1, after clipping.

    Args:
        prediction: Image (height, width, channels).
        target: Image in [0, 1] of the same shape.

    Returns:
        The mean over all windows that lie inside the image, as in the paper. The mean is NaN if the values are no
        image, or if the image is smaller than the 11-pixel window.
    """
    if target.ndim != 3 or min(target.shape[:2]) < _WINDOW:
        return float("nan")
    height, width = target.shape[0] - 2 * _BORDER, target.shape[1] - 2 * _BORDER
    a, b = (x.permute(2, 0, 1)[None] for x in (prediction.clamp(0, 1), target))
    total = 0.0
    for top in range(0, height, _ROWS_PER_CHUNK):
        rows = slice(top, top + _ROWS_PER_CHUNK + 2 * _BORDER)
        _, similarity = structural_similarity_index_measure(
            a[..., rows, :], b[..., rows, :], data_range=1.0, return_full_image=True
        )
        total += float(similarity[..., _BORDER:-_BORDER, _BORDER:-_BORDER].double().sum())
    return total / (height * width * a.shape[1])
