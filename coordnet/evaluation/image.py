import torch
from torch import Tensor

from coordnet import viz
from coordnet.coords import FieldFunction, in_chunks
from coordnet.diagnostics.mtf import gain, mtf_curve
from coordnet.evaluation.base import EvaluationResult, Evaluator, GridComparison, Predict
from coordnet.evaluation.media import Media, Picture
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim
from coordnet.signals.images.image import Image


class ImageEvaluator(Evaluator):
    """Scores an image on its training, validation and test pixels.

    With a training stride of s > 1 the training pixels are [::s, ::s], the test pixels lie on the offset grid
    [s//2::s, s//2::s], and all other pixels are for validation. The score is the PSNR of the validation pixels if
    there are any, else of the training pixels. The middle 1024 pixels stand for sides beyond 2048 pixels.

    An image that is one wave everywhere has "wave/contrast" too: the share of the target's contrast that the
    prediction recovers.
    """

    signal_type = Image

    def evaluate(self, signal: Image, field: FieldFunction, predict: Predict) -> EvaluationResult:
        rows, columns = signal.window()
        target = signal.values(signal.pixels[rows, columns])
        shape = target.shape[:2]

        def coords(pixel: Tensor) -> Tensor:
            """Coordinates (n, 2) of the pixels (n, 1) of the window, numbered along its rows."""
            x, y = columns.start + pixel % shape[1], rows.start + pixel // shape[1]
            return signal.domain.index_to_coords(torch.cat([x, y], dim=-1))

        pixels = torch.arange(shape.numel())[:, None]
        prediction = in_chunks(lambda part: field(coords(part)), pixels).reshape(*shape, -1).clamp_(0, 1)
        metrics = self._split_metrics(prediction, target, signal.train_stride)
        score = metrics.get("val/psnr", metrics["train/psnr"])
        grid = GridComparison(prediction.numpy(), target.numpy(), max(signal.domain.resolution) / 2)
        if signal.wave is not None:
            metrics["wave/contrast"] = gain(grid.prediction, grid.target)

        def make_media() -> dict[str, Media]:
            media: dict[str, Media] = {
                "target | prediction | error": Picture(viz.comparison_strip(grid.target, grid.prediction))
            }
            if signal.wave is not None:
                wave = signal.wave(coords(pixels))
                media["contrast"] = _contrast_picture(wave, grid, max(signal.domain.nyquist))
            return media

        return EvaluationResult(metrics, make_media, score, grid)

    def _split_metrics(self, prediction: Tensor, target: Tensor, s: int) -> dict[str, float]:
        """Metrics of a window (height, width, channels) that starts on a training pixel, with training stride s."""
        train = prediction[::s, ::s], target[::s, ::s]
        metrics = {"train/psnr": psnr(*train)}
        if s == 1:
            return metrics | {"train/ssim": ssim(*train)} | self.extra_metrics("train", *train)
        test = prediction[s // 2 :: s, s // 2 :: s], target[s // 2 :: s, s // 2 :: s]
        rest = torch.ones(target.shape[:2], dtype=torch.bool)
        rest[::s, ::s] = rest[s // 2 :: s, s // 2 :: s] = False
        val = prediction[rest], target[rest]
        metrics |= {
            "val/psnr": psnr(*val),
            "test/psnr": psnr(*test),
            "test/psnr_all": psnr(prediction, target),
            "test/ssim": ssim(*test),
        }
        for name, pair in (("train", train), ("val", val), ("test", test)):
            metrics |= self.extra_metrics(name, *pair)
        return metrics


def _contrast_picture(wave: Tensor, grid: GridComparison, nyquist: float) -> Picture:
    """The contrast by frequency.

    Args:
        wave: Local wave vectors (pixels, 2), in cycles across the domain.
        grid: The prediction beside its target.
        nyquist: The Nyquist frequency of the training samples.
    """
    from coordnet.diagnostics.spectrum_figure import draw_mtf

    flat = grid.prediction[..., 0].ravel(), grid.target[..., 0].ravel(), wave.flatten(0, -2).numpy()
    return Picture(draw_mtf(mtf_curve(*flat), nyquist))
