import hashlib
import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.images.image import image_file, skimage_image

_MAX_SIDE = 2048
_Factors = Annotated[Sequence[int], Range(1, _MAX_SIDE, "pixels")]


class Level(NamedTuple):
    """An image averaged over blocks.

    Attributes:
        domain: The grid of blocks, in the coordinates of the full image.
        values: (blocks, channels) in [0, 1], row by row.
        covariance: (2, 2), the covariance of a point drawn uniformly from a block: side^2 / 12 on the diagonal.
    """

    domain: Domain
    values: Tensor
    covariance: Tensor


class Multiscale(Signal):
    """An image at several scales, each pixel with its footprint: mip-NeRF's task (Barron et al. 2021) in 2-D.

    At scale k an observation is the mean over a block of k x k pixels, at the block's center, with the covariance of
    a point drawn uniformly from the block. All trained scales are drawn equally often, whatever their number of pixels;
    mip-NeRF weights pixels by their area to the same end.

    Args:
        pixels: (height, width, channels) float in [0, 1], up to 2048 pixels a side. The right and the bottom are cut
            off to a multiple of all factors.
        factors: k of the scales that are trained on; at least one factor.
        eval_factors: k of the scales that are only evaluated; none of `factors`.

    Raises:
        OptionError: A factor is given twice, is outside its range, or does not fit the image.
    """

    value_range = (0.0, 1.0)

    @validate_ranges
    def __init__(self, pixels: Tensor, factors: _Factors = (1, 4), eval_factors: _Factors = (2, 8)) -> None:
        height, width, self.channels = pixels.shape
        _check_factors(factors, eval_factors)
        block = math.lcm(*factors, *eval_factors)
        if not block <= min(height, width) <= max(height, width) <= _MAX_SIDE:
            raise OptionError(
                "resize",
                [width, height],
                f"must be at most {_MAX_SIDE} pixels a side, and at least {block}, the common multiple of factors and "
                "eval_factors",
            )
        pixels = pixels[: height // block * block, : width // block * block]
        self.factors, self.eval_factors = list(factors), list(eval_factors)
        self.domain = Domain((pixels.shape[1], pixels.shape[0]), min(factors))
        self.levels = {factor: _make_level(pixels, factor) for factor in sorted([*factors, *eval_factors])}
        # Each scale has as many observations as the full image has pixels: a multiple of the pixels of the scale.
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
        """The finest trained scale, (rows, columns, channels)."""
        level = self.levels[min(self.factors)]
        return level.values.reshape(*level.domain.size[::-1], self.channels)


def _check_factors(factors: Sequence[int], eval_factors: Sequence[int]) -> None:
    for option, given in (("factors", factors), ("eval_factors", eval_factors)):
        if len(set(given)) < len(given):
            raise OptionError(option, list(given), "must hold different numbers")
    if not factors:
        raise OptionError("factors", [], "must hold at least one scale to train on")
    if set(factors) & set(eval_factors):
        raise OptionError(
            "eval_factors",
            list(eval_factors),
            f"must hold none of the trained scales, factors={list(factors)}",
        )


def _make_level(pixels: Tensor, factor: int) -> Level:
    """Averages of pixels (height, width, channels) over blocks of factor x factor pixels, without a remainder."""
    height, width, channels = (n // d for n, d in zip(pixels.shape, (factor, factor, 1), strict=True))
    means = pixels.reshape(height, factor, width, factor, channels).mean(dim=(1, 3))
    # Blocks tile the same box as pixels do, so the centers of blocks are the pixel centers of a smaller image.
    domain = Domain((width, height))
    return Level(domain, means.reshape(-1, channels), torch.eye(2) * domain.spacing[0] ** 2 / 12)


@validate_ranges
def multiscale(
    name: str = "astronaut",
    path: str | None = None,
    resize: Annotated[Sequence[int] | None, Range(1, _MAX_SIDE, "pixels", entries=2)] = None,
    factors: _Factors = (1, 4),
    eval_factors: _Factors = (2, 8),
) -> Multiscale:
    """A photograph at several scales.

    Args:
        name: Name of a photograph that scikit-image carries.
        path: File of a picture that replaces the photograph.
        resize: (width, height) in pixels, by area averaging.
        factors: Sides, in pixels, of the blocks that the trained scales average over.
        eval_factors: Sides, in pixels, of the blocks of the scales that are only evaluated.

    Raises:
        UserError: The picture cannot be read, or an option is outside its range.
    """
    image = skimage_image(name, resize=resize) if path is None else image_file(path, resize=resize)
    return Multiscale(image.values(image.pixels), factors, eval_factors)
