from collections.abc import Mapping
from typing import Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, chunks, in_chunks
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Metric, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.metrics.nmse import nmse
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim
from coordnet.signals.images.tomography import Tomography

Filter = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
_LINES_PER_CHUNK = 256


class TomographyEvaluator(Evaluator):
    """Scores the slice behind projections: "train/nmse" on the sinogram, "test/psnr" and "test/ssim" on the slice.

    "fbp/psnr" and "fbp/ssim" are the scores of filtered back-projection with its best filter. The score that selects
    the best checkpoint is the negative "train/nmse".
    """

    signal_type = Tomography

    def __init__(self, metrics: Mapping[str, Metric] | None = None) -> None:
        super().__init__(metrics)
        self._baselines: WeakKeyDictionary[Tomography, dict[str, float]] = WeakKeyDictionary()

    def evaluate(self, signal: Tomography, field: FieldFunction, predict: Predict) -> EvaluationResult:
        values = in_chunks(field, signal.domain.grid())
        sinogram = _predict_sinogram(signal, predict)
        error = nmse(sinogram, signal.sinogram)
        if signal not in self._baselines:
            self._baselines[signal] = baseline_metrics(signal)
        metrics = {
            "train/nmse": error,
            "test/psnr": psnr(values, signal.reference),
            "test/ssim": ssim(values, signal.reference),
            **self._baselines[signal],
        }
        metrics |= self.extra_metrics("train", sinogram, signal.sinogram)
        metrics |= self.extra_metrics("test", values, signal.reference)

        def make_media() -> dict[str, Media]:
            return {
                "target | prediction | error": Picture(
                    viz.comparison_strip(signal.reference.numpy(), values.numpy())
                ),
                "sinogram target | prediction | error": _sinogram_picture(signal.sinogram, sinogram),
            }

        grid = GridComparison(
            values.clamp(0, 1).numpy(), signal.reference.numpy(), max(signal.domain.resolution) / 2
        )
        return EvaluationResult(metrics, make_media, -error, grid)


def filtered_back_projection(signal: Tomography, filter_name: Filter | None = None) -> Tensor:
    """The slice (size, size, 1) that scikit-image reconstructs from exact projections at the signal's angles.

    The default filter is the best filter for this slice.

    scikit-image puts the origin on pixel and bin size // 2. For an even size this origin is half a pixel from the
    center of the box. The detector is therefore moved by the projection of that half pixel, so that the result lies
    on the pixels of the signal.
    """
    from skimage.transform import iradon

    size, spacing = signal.domain.size[0], signal.domain.spacing[0]
    origin = signal.axis()[size // 2]
    theta = np.deg2rad(signal.angles)
    bins = (np.arange(size) - size // 2) * spacing
    offset = bins[:, None] + origin * (np.cos(theta) - np.sin(theta))
    sinogram = signal.integrals(signal.angles, offset) / spacing
    values = iradon(sinogram, signal.angles, filter_name=filter_name or best_filter(signal))
    return torch.from_numpy(values).float()[..., None]


def best_filter(signal: Tomography) -> Filter:
    """The filter with the highest PSNR on the slice itself, so that no choice of filter favors the field."""
    return max(FILTERS, key=lambda name: psnr(filtered_back_projection(signal, name), signal.reference))


def baseline_metrics(signal: Tomography) -> dict[str, float]:
    """The scores of filtered back-projection with its best filter."""
    values = filtered_back_projection(signal, best_filter(signal))
    return {"fbp/psnr": psnr(values, signal.reference), "fbp/ssim": ssim(values, signal.reference)}


def _predict_sinogram(signal: Tomography, predict: Predict) -> Tensor:
    """The predicted sinogram (num_angles, size), in chunks of lines so that memory stays bounded."""
    index = torch.arange(signal.num_observations)
    parts = chunks(signal.num_observations, _LINES_PER_CHUNK)
    values = torch.cat([predict(signal.get_batch(index[part]))["value"] for part in parts])
    return values.reshape(signal.sinogram.shape)


def _sinogram_picture(target: Tensor, prediction: Tensor) -> Picture:
    """Sinograms (angles, bins) with one row per angle, repeated if bins outnumber angles; white is the true maximum."""
    angles, bins = target.shape
    shown, predicted = (
        (values / target.max()).repeat_interleave(-(-bins // angles), dim=0)[..., None]
        for values in (target, prediction)
    )
    return Picture(viz.comparison_strip(shown.numpy(), predicted.numpy()))
