"""Test pictures with a known spectrum: gray, square, in [0, 1], sampled at cell centers.

x points right and y down, both from -1 to 1. Frequencies are in cycles across the domain, so that a sinusoid
of frequency f has phase pi f x. An option outside its range raises an OptionError.
"""

import math
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from coordnet.coords import Domain
from coordnet.errors import OptionError
from coordnet.options import Range, check_number, validate_ranges
from coordnet.signals.images.image import Image, image_from_array
from coordnet.signals.options import Exponent, Seed, Side, SideStride, check_frequency, check_stride

Values = NDArray[np.floating]

# Each pixel of a picture with sharp edges is the average of SUBSAMPLES x SUBSAMPLES points.
SUBSAMPLES = 8
_MAX_LETTERS = 10_000
# A word may be this many times as wide as the picture.
_MAX_WIDTHS = 8

_Frequency = Annotated[float, Range(0, 4096, "cycles across the domain")]
_FrequencyOrNull = Annotated[float | None, Range(0, 4096, "cycles across the domain")]


@validate_ranges
def zone_plate(
    size: Side = 256, train_stride: SideStride = 2, max_frequency: _FrequencyOrNull = None
) -> Image:
    """Rings 1/2 + 1/2 cos(pi f r^2 / 2), with f the `max_frequency` and r the distance from the center.

    The local frequency points outwards and grows as f r: from 0 at the center to f at the middle of an edge
    (r = 1) and sqrt(2) f in the corners, where its component along each axis is again f.

    Args:
        size: Number of pixels per side.
        train_stride: Distance between training pixels in each direction, at most `size`.
        max_frequency: f in cycles across the domain, at most size / 2. The default is the training Nyquist
            frequency size / train_stride / 2, which no component along an axis then exceeds.
    """
    check_stride(train_stride, size, "pixels")
    x, y = _pixel_centers(size)
    if max_frequency is None:
        max_frequency = max(Domain((size, size), train_stride).nyquist)
    check_frequency("max_frequency", max_frequency, size)
    rings = np.cos(math.pi * max_frequency * (x**2 + y**2) / 2)
    return image_from_array(0.5 + 0.5 * rings, train_stride, wave=lambda coords: max_frequency * coords)


@validate_ranges
def grating(
    size: Side = 256,
    train_stride: SideStride = 2,
    frequency: _Frequency = 16.0,
    angle: Annotated[float, Range(-360, 360, "degrees")] = 0.0,
) -> Image:
    """One sinusoid, 1/2 + 1/2 cos(pi b . x) with b = frequency (cos(angle), sin(angle)).

    Args:
        size: Number of pixels per side.
        train_stride: Distance between training pixels in each direction, at most `size`.
        frequency: Frequency in cycles across the domain, at most size / 2.
        angle: Angle of the wave vector in degrees, from x (0: vertical stripes) toward y (90: horizontal stripes).
    """
    check_frequency("frequency", frequency, size)
    x, y = _pixel_centers(size)
    bx, by = frequency * math.cos(math.radians(angle)), frequency * math.sin(math.radians(angle))
    wave = torch.tensor([bx, by])
    pixels = 0.5 + 0.5 * np.cos(math.pi * (bx * x + by * y))
    return image_from_array(pixels, train_stride, wave=lambda coords: wave.expand(coords.shape))


@validate_ranges
def siemens_star(
    size: Side = 256, train_stride: SideStride = 2, spokes: Annotated[int, Range(1, 8192)] = 32
) -> Image:
    """White wedges on black that meet in the center, each pixel the average of 8 x 8 points.

    At distance r from the center the frequency is spokes / (pi r) cycles across the domain, so the training
    Nyquist frequency N is exceeded within r = spokes / (pi N).

    Args:
        size: Number of pixels per side.
        train_stride: Distance between training pixels in each direction, at most `size`.
        spokes: Number of white wedges, at most `size`; the first wedge is centered on the positive x axis.
    """
    check_number("spokes", spokes, Annotated[int, Range(1, size)])
    x, y = _pixel_centers(size)
    shifts = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5) * Domain((size, size)).spacing[0]
    white = np.zeros_like(x)
    for dx in shifts:
        for dy in shifts:
            white += np.cos(spokes * np.arctan2(y + dy, x + dx)) > 0
    return image_from_array(white / SUBSAMPLES**2, train_stride)


@validate_ranges
def power_noise(
    size: Side = 256, train_stride: SideStride = 2, exponent: Exponent = 1.0, seed: Seed = 0
) -> Image:
    """Periodic Gaussian noise whose amplitude falls as 1 / f^exponent, f the radial frequency.

    The values are shifted and scaled so that the lowest pixel is 0 and the highest is 1, which leaves the shape of the
    spectrum as it is.

    Args:
        size: Number of pixels per side.
        train_stride: Distance between training pixels in each direction, at most `size`.
        exponent: Decay of the amplitudes: 0 is white noise, 1 is near natural photographs.
        seed: Seed of the noise.
    """
    white = np.random.default_rng(seed).standard_normal((size, size))
    frequency = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size))
    frequency[0, 0] = 1
    noise = np.fft.irfft2(np.fft.rfft2(white) / frequency**exponent, s=(size, size))
    return image_from_array((noise - noise.min()) / np.ptp(noise), train_stride)


@validate_ranges
def text(
    size: Side = 256,
    train_stride: SideStride = 2,
    words: str = "the quick brown fox jumps over a lazy dog",
    font_size: Annotated[float, Range(4, 8192, "pixels")] = 24.0,
    seed: Seed = 0,
) -> Image:
    """Lines of words drawn at random with replacement, black on white, cut off at the right and the bottom.

    Pillow carries the font. Another version of Pillow may draw the letters a little differently.

    Args:
        size: Number of pixels per side.
        train_stride: Distance between training pixels in each direction, at most `size`.
        words: Words separated by white space, up to 10,000 letters in all, no word wider than 8 pictures; the font
            holds Latin letters only.
        font_size: Size of the font in pixels, at most `size`; lines are 1.2 times that apart.
        seed: Seed of the choice of words.
    """
    check_number("font_size", font_size, Annotated[float, Range(4, size, "pixels")])
    if not words.split():
        raise OptionError("words", words, "must hold at least one word")
    if len(words) > _MAX_LETTERS:
        raise OptionError("words", words, f"must have at most {_MAX_LETTERS} letters, not {len(words)}")
    font = ImageFont.load_default(font_size)
    widest = max(words.split(), key=font.getlength)
    if font.getlength(widest) > _MAX_WIDTHS * size:
        raise OptionError(
            "words",
            words,
            f"must have no word wider than {_MAX_WIDTHS} pictures; one has {len(widest)} letters",
        )
    picture = Pillow.new("L", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    rng = np.random.default_rng(seed)
    for top in np.arange(0, size, 1.2 * font_size):
        line = ""
        while font.getlength(line) < size:
            line += f"{rng.choice(words.split())} "
        draw.text((font_size / 4, top), line, fill="black", font=font)
    return image_from_array(np.asarray(picture) / 255, train_stride)


def _pixel_centers(size: int) -> tuple[Values, Values]:
    """x and y of the centers of all pixels, both (size, size)."""
    x, y = Domain((size, size)).grid().double().unbind(-1)
    return x.numpy(), y.numpy()
