import torch
from torch import Tensor

from coordnet.diagnostics.mtf import gain
from coordnet.evaluation.base import GridComparison, Predict
from coordnet.metrics.psnr import psnr
from coordnet.signals.synthetic.top_down import TopDownView


def score_top_down(
    view: TopDownView, predict: Predict, background: Tensor
) -> tuple[dict[str, float], GridComparison]:
    """Render the view of a synthetic scene from above and compare the rendering with the exact view.

    Args:
        view: The exact view, with n x n rays.
        predict: Maps a batch of rays to "value" and "depth".
        background: Color (3,) where a ray hits nothing.

    Returns:
        "top_down/psnr" in dB; "top_down/contrast", the contrast recovered on the surfaces; "top_down/depth_error", the
        mean absolute error of the depth on the surfaces, in half sides of the box. The grid holds (n, n, 3) samples.
    """
    n = len(view.depth)
    origins, directions = view.rays()
    prediction = predict(
        {"origins": origins, "directions": directions, "background": background.expand_as(origins)}
    )
    hit = view.depth.isfinite()
    target = torch.where(hit, view.color, background)
    value = prediction["value"].view_as(target).clamp(0, 1)
    hit = hit[..., 0]
    depth_error = prediction["depth"].view_as(view.depth)[hit] - view.depth[hit]
    metrics = {
        "top_down/psnr": psnr(value, target),
        "top_down/contrast": gain(value[hit].numpy(), target[hit].numpy()),
        "top_down/depth_error": float(depth_error.abs().mean()),
    }
    return metrics, GridComparison(value.numpy(), target.numpy(), n / 2)
