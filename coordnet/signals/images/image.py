import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet import viz
from coordnet.coords import Domain, FieldFunction, in_chunks
from coordnet.diagnostics.mtf import gain, mtf_curve
from coordnet.errors import UserError
from coordnet.fields.field import Interpolation
from coordnet.metrics.scores import psnr, ssim
from coordnet.ranges import MAX_PIXELS, check_ranges
from coordnet.signals.base import EvaluationResult, GridComparison, Predict, Signal
from coordnet.signals.images.image_file import read_image

# Longer sides are scored on a window, whose arrays stay small beside the pixels of such a picture.
SCORED_WHOLE, WINDOW = 2048, 1024


class Image(Signal):
    """An image, trained on every `holdout`-th pixel in each direction.

    With a hold-out of s > 1 the training pixels are [::s, ::s], the test pixels the offset grid [s//2::s, s//2::s],
    and all others are for validation. Of sides beyond 2048 pixels, the middle 1024 are scored.

    Args:
        pixels: (height, width, channels), uint8 or float in [0, 1]; kept as it is, and made float per batch.
        holdout: s; 1 trains on all pixels.
        wave: The local wave vector (*, 2) at coordinates (*, 2), in cycles across the domain, of an image that is one
            wave everywhere. Its contrast is then measured.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, pixels: Tensor, holdout: int = 1, wave: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        height, width, self.channels = pixels.shape
        if not 1 <= holdout <= min(height, width):
            raise UserError(
                f"signal.holdout={holdout} must lie between 1 (train on all pixels) and {min(height, width)}"
            )
        self.domain = Domain((width, height), holdout)
        self.pixels = pixels
        self.holdout = holdout
        self.wave = wave
        self.columns = -(-width // holdout)
        self.num_observations = self.columns * -(-height // holdout)

    def values(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        x = index % self.columns * self.holdout
        y = index // self.columns * self.holdout
        coords = self.domain.centers(torch.stack([x, y], dim=-1))
        return {"coords": coords, "value": self.values(self.pixels[y, x])}

    def fingerprint(self) -> str | None:
        if self.pixels.dtype != torch.uint8:
            return None
        return hashlib.sha256(self.pixels.contiguous().numpy().data).hexdigest()

    def training_grid(self) -> Tensor:
        return self.values(self.pixels[self.window()][:: self.holdout, :: self.holdout])

    def interpolation(self, mode: Literal["bilinear", "bicubic"]) -> Interpolation:
        """The field that interpolates the training pixels."""
        samples = self.values(self.pixels[:: self.holdout, :: self.holdout])
        ends = self.get_batch(torch.tensor([0, self.num_observations - 1]))["coords"]
        return Interpolation(samples, ends[0], ends[1], mode)

    def window(self) -> tuple[slice, slice]:
        """Rows and columns that are scored, starting on a training pixel."""
        slices = []
        for n in self.pixels.shape[:2]:
            side = n if n <= SCORED_WHOLE else WINDOW
            start = (n - side) // 2 // self.holdout * self.holdout
            slices.append(slice(start, start + side))
        return slices[0], slices[1]

    def evaluate(self, field: FieldFunction, predict: Predict) -> EvaluationResult:
        rows, columns = self.window()
        target = self.values(self.pixels[rows, columns])
        shape = target.shape[:2]

        def coords(pixel: Tensor) -> Tensor:
            """Of pixels (n, 1) of the window, numbered along its rows."""
            x, y = columns.start + pixel % shape[1], rows.start + pixel // shape[1]
            return self.domain.centers(torch.cat([x, y], dim=-1))

        pixels = torch.arange(shape.numel())[:, None]
        prediction = in_chunks(lambda part: field(coords(part)), pixels).reshape(*shape, -1).clamp_(0, 1)
        metrics = self.metrics(prediction, target)
        score = metrics.get("val/psnr", metrics["train/psnr"])
        samples = GridComparison(prediction.numpy(), target.numpy(), self.domain.across / 2)
        if self.wave is not None:
            metrics["wave/contrast"] = gain(samples.prediction, samples.target)

        def draw() -> dict[str, viz.Picture]:
            pictures = {
                "target | prediction | error": viz.comparison_strip(samples.target, samples.prediction)
            }
            if self.wave is not None:
                pictures["contrast"] = self.contrast_picture(self.wave(coords(pixels)), samples)
            return pictures

        return EvaluationResult(metrics, draw, score, samples)

    def contrast_picture(self, wave: Tensor, samples: GridComparison) -> viz.Picture:
        from coordnet.diagnostics.spectrum_figure import draw_mtf

        flat = samples.prediction[..., 0].ravel(), samples.target[..., 0].ravel(), wave.flatten(0, -2).numpy()
        return draw_mtf(mtf_curve(*flat), self.domain.nyquist)

    def metrics(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Metrics of a window (height, width, channels) that starts on a training pixel."""
        s = self.holdout
        train = (slice(None, None, s), slice(None, None, s))
        metrics = {"train/psnr": psnr(prediction[train], target[train])}
        if s == 1:
            return metrics | {"train/ssim": ssim(prediction, target)}
        test = (slice(s // 2, None, s), slice(s // 2, None, s))
        rest = torch.ones(target.shape[:2], dtype=torch.bool)
        rest[train] = rest[test] = False
        return metrics | {
            "val/psnr": psnr(prediction[rest], target[rest]),
            "test/psnr": psnr(prediction[test], target[test]),
            "test/psnr_all": psnr(prediction, target),
            "test/ssim": ssim(prediction[test], target[test]),
        }


def image_file(
    path: str,
    holdout: int = 1,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
    background: Literal["white", "black"] | None = "white",
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """An image file of the user's: see `read_image` for the options."""
    check_ranges(image_file, holdout=holdout, crop=crop, resize=resize, max_pixels=max_pixels)
    return Image(read_image(Path(path), crop, resize, background, max_pixels), holdout)


def skimage_image(
    name: str,
    holdout: int = 1,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
) -> Image:
    """One of the photographs that scikit-image carries, such as astronaut, camera or coffee."""
    import skimage

    check_ranges(skimage_image, holdout=holdout, crop=crop, resize=resize)
    folder = Path(skimage.__file__).parent / "data"
    files = {file.stem: file for file in folder.glob("*.*") if file.suffix in (".png", ".jpg")}
    if name not in files:
        raise UserError(f"signal.name={name!r} must be one of {', '.join(sorted(files))}")
    return Image(read_image(files[name], crop, resize), holdout)


def image_from_array(
    values: NDArray[np.floating], holdout: int, wave: Callable[[Tensor], Tensor] | None = None
) -> Image:
    """An image made by a formula, (height, width) or (height, width, channels), in [0, 1]."""
    pixels = torch.from_numpy(np.atleast_3d(values).astype(np.float32))
    return Image(pixels, holdout, wave)
