import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.ranges import MAX_SIDE, check_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.image import image_file, skimage_image


class Level(NamedTuple):
    """An image averaged over blocks.

    Attributes:
        domain: Of the blocks, in the coordinates of the full image.
        values: Row-major, (blocks, channels) in [0, 1].
        covariance: (2, 2), that of a point drawn uniformly from a block: side^2 / 12 on the diagonal.
    """

    domain: Domain
    values: Tensor
    covariance: Tensor


class Multiscale(Signal):
    """An image at several scales, each pixel known with its footprint: mip-NeRF's task (Barron et al. 2021) in 2-D.

    At scale k an observation is the mean over a block of k x k pixels, at the block's center, with the covariance of
    a point drawn uniformly from the block. All trained scales are drawn equally often, whatever their number of pixels;
    mip-NeRF weights pixels by their area to the same end.

    Scored by PSNR at each scale ("scale_4/psnr"); "train/psnr" and "test/psnr" are the means over the scales trained on
    and held out. Scale is the only thing held out, so there are no validation samples.

    Args:
        pixels: (height, width, channels) float in [0, 1], up to 2048 a side; cut at the right and the bottom to a
            multiple of all factors.
        factors: k of the scales that are trained on, at least one.
        held_out: k of those that are only scored; none of `factors`.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self, pixels: Tensor, factors: Sequence[int] = (1, 4), held_out: Sequence[int] = (2, 8)
    ) -> None:
        height, width, self.channels = pixels.shape
        check_factors(factors, held_out)
        block = math.lcm(*factors, *held_out)
        if not block <= min(height, width) <= max(height, width) <= MAX_SIDE:
            raise UserError(
                f"signal.resize: {width} x {height} pixels must be at most {MAX_SIDE} a side, and at least "
                f"{block}, the common multiple of signal.factors and signal.held_out"
            )
        pixels = pixels[: height // block * block, : width // block * block]
        self.factors, self.held_out = list(factors), list(held_out)
        self.domain = Domain((pixels.shape[1], pixels.shape[0]), train_stride=min(factors))
        self.levels = {factor: make_level(pixels, factor) for factor in sorted([*factors, *held_out])}
        # Each scale as often as the full image has pixels, a multiple of the number of its own.
        self.num_observations = len(factors) * self.domain.num_samples

    def fingerprint(self) -> str:
        finest = self.levels[min(self.levels)].values
        return hashlib.sha256((finest * 255).round().byte().numpy().tobytes()).hexdigest()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        which, draw = index % len(self.factors), index // len(self.factors)
        coords = torch.empty(len(index), 2)
        covariance = torch.empty(len(index), 2, 2)
        value = torch.empty(len(index), self.channels)
        for i, factor in enumerate(self.factors):
            level, chosen = self.levels[factor], which == i
            pixel = draw[chosen] % len(level.values)
            coords[chosen] = level.domain.index_to_coords(level.domain.unravel(pixel))
            covariance[chosen] = level.covariance
            value[chosen] = level.values[pixel]
        return {"coords": coords, "covariance": covariance, "value": value}

    def training_grid(self) -> Tensor:
        """Of the finest scale."""
        level = self.levels[min(self.factors)]
        return level.values.reshape(*level.domain.size[::-1], self.channels)


def check_factors(factors: Sequence[int], held_out: Sequence[int]) -> None:
    check_ranges(multiscale, factors=factors, held_out=held_out)
    for key, given in (("factors", factors), ("held_out", held_out)):
        if len(set(given)) < len(given):
            raise UserError(f"signal.{key}={list(given)} must hold different numbers")
    if not factors:
        raise UserError("signal.factors=[] must hold at least one scale to train on")
    if set(factors) & set(held_out):
        raise UserError(f"signal.held_out={list(held_out)} must hold none of signal.factors={list(factors)}")


def make_level(pixels: Tensor, factor: int) -> Level:
    """Averages over blocks of factor x factor pixels (height, width, channels), which must be whole."""
    height, width, channels = (n // d for n, d in zip(pixels.shape, (factor, factor, 1), strict=True))
    means = pixels.reshape(height, factor, width, factor, channels).mean(dim=(1, 3))
    # Blocks tile the same box as pixels do, so their centers are those of a smaller image.
    domain = Domain((width, height))
    return Level(domain, means.reshape(-1, channels), torch.eye(2) * domain.spacing**2 / 12)


def multiscale(
    name: str = "astronaut",
    path: str | None = None,
    resize: Sequence[int] | None = None,
    factors: Sequence[int] = (1, 4),
    held_out: Sequence[int] = (2, 8),
) -> Multiscale:
    """A photograph at several scales.

    Args:
        name: One of those that scikit-image carries.
        path: A picture of the user's instead.
        resize: (width, height) in pixels, at most 2048 each, by area averaging.
        factors: Sides, in pixels, of the blocks that the trained scales average over.
        held_out: Those of the scales that are only scored.
    """
    check_ranges(multiscale, resize=resize, factors=factors, held_out=held_out)
    image = skimage_image(name, resize=resize) if path is None else image_file(path, resize=resize)
    return Multiscale(image.values(image.pixels), factors, held_out)
