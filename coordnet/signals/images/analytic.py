"""Test pictures with a known spectrum: gray, square, in [0, 1], sampled at cell centers.

x points right and y down, both from -1 to 1. Frequencies are in cycles across the domain, so that a sinusoid
of frequency f has phase pi f x. Options that cannot be met raise a UserError.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.ranges import check_ranges
from coordnet.signals.images.image import Image, image_from_array

Values = NDArray[np.floating]

SUBSAMPLES = 8
MAX_LETTERS = 10_000


def check_range(key: str, value: float, low: float, high: float, unit: str = "") -> None:
    """Refuse a value of the option signal.`key` that is NaN or outside [low, high]."""
    if not low <= value <= high:
        raise UserError(f"signal.{key}={value} must lie between {low} and {high} {unit}".rstrip())


def check_frequency(key: str, value: float, num_samples: int) -> None:
    """Refuse a negative frequency, and one that `num_samples` samples across the domain would alias."""
    check_range(key, value, 0, num_samples / 2, f"cycles across the domain at {num_samples} samples")


def grid(size: int) -> tuple[Values, Values]:
    """x and y of all cells, both (size, size)."""
    x, y = Domain((size, size)).grid().double().unbind(-1)
    return x.numpy(), y.numpy()


def zone_plate(size: int = 256, holdout: int = 2, max_frequency: float | None = None) -> Image:
    """Rings 1/2 + 1/2 cos(pi f r^2 / 2), with f the `max_frequency` and r the distance from the center.

    The local frequency points outwards and grows as f r: from 0 at the center to f at the middle of an edge
    (r = 1) and sqrt(2) f in the corners, where its component along each axis is again f.

    Args:
        size: Pixels per side, in [2, 8192].
        holdout: Every holdout-th pixel in each direction is trained on, in [1, size].
        max_frequency: f in cycles across the domain, in [0, size / 2]; by default the training Nyquist
            frequency size / holdout / 2, which no component along an axis then exceeds.
    """
    check_ranges(zone_plate, size=size, holdout=holdout, max_frequency=max_frequency)
    check_range("holdout", holdout, 1, size, "pixels")
    x, y = grid(size)
    if max_frequency is None:
        max_frequency = Domain((size, size), holdout).nyquist
    check_frequency("max_frequency", max_frequency, size)
    rings = np.cos(math.pi * max_frequency * (x**2 + y**2) / 2)
    return image_from_array(0.5 + 0.5 * rings, holdout, wave=lambda coords: max_frequency * coords)


def grating(size: int = 256, holdout: int = 2, frequency: float = 16.0, angle: float = 0.0) -> Image:
    """One sinusoid, 1/2 + 1/2 cos(pi b . x) with b = frequency (cos(angle), sin(angle)).

    Args:
        size: Pixels per side, in [2, 8192].
        holdout: Every holdout-th pixel in each direction is trained on, in [1, size].
        frequency: In cycles across the domain, in [0, size / 2].
        angle: Of the wave vector, in degrees from x (0: vertical stripes) toward y (90: horizontal stripes), in
            [-360, 360].
    """
    check_ranges(grating, size=size, holdout=holdout, frequency=frequency, angle=angle)
    check_frequency("frequency", frequency, size)
    x, y = grid(size)
    bx, by = frequency * math.cos(math.radians(angle)), frequency * math.sin(math.radians(angle))
    wave = torch.tensor([bx, by])
    pixels = 0.5 + 0.5 * np.cos(math.pi * (bx * x + by * y))
    return image_from_array(pixels, holdout, wave=lambda coords: wave.expand(coords.shape))


def siemens_star(size: int = 256, holdout: int = 2, spokes: int = 32) -> Image:
    """White wedges on black that meet in the center, each pixel the average of 8 x 8 points.

    At distance r from the center the frequency is spokes / (pi r) cycles across the domain, so the training
    Nyquist frequency N is exceeded within r = spokes / (pi N).

    Args:
        size: Pixels per side, in [2, 8192].
        holdout: Every holdout-th pixel in each direction is trained on, in [1, size].
        spokes: White wedges, in [1, size]; the first is centered on the positive x axis.
    """
    check_ranges(siemens_star, size=size, holdout=holdout, spokes=spokes)
    check_range("spokes", spokes, 1, size)
    x, y = grid(size)
    shifts = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5) * Domain((size, size)).spacing
    white = np.zeros_like(x)
    for dx in shifts:
        for dy in shifts:
            white += np.cos(spokes * np.arctan2(y + dy, x + dx)) > 0
    return image_from_array(white / SUBSAMPLES**2, holdout)


def power_noise(size: int = 256, holdout: int = 2, exponent: float = 1.0, seed: int = 0) -> Image:
    """Periodic Gaussian noise whose amplitude falls as 1 / f^exponent, f the radial frequency.

    Its lowest pixel is brought to 0 and its highest to 1, which leaves the shape of the spectrum as it is.

    Args:
        size: Pixels per side, in [2, 8192].
        holdout: Every holdout-th pixel in each direction is trained on, in [1, size].
        exponent: In [0, 10]: 0 is white noise, 1 is near natural photographs.
        seed: Of the draw, at least 0.
    """
    check_ranges(power_noise, size=size, holdout=holdout, exponent=exponent, seed=seed)
    white = np.random.default_rng(seed).standard_normal((size, size))
    frequency = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size))
    frequency[0, 0] = 1
    noise = np.fft.irfft2(np.fft.rfft2(white) / frequency**exponent, s=(size, size))
    return image_from_array((noise - noise.min()) / np.ptp(noise), holdout)


def text(
    size: int = 256,
    holdout: int = 2,
    words: str = "the quick brown fox jumps over a lazy dog",
    font_size: float = 24.0,
    seed: int = 0,
) -> Image:
    """Lines of words drawn at random with replacement, black on white, cut off at the right and the bottom.

    The font is the one that Pillow carries; another version of Pillow may draw it a little differently.

    Args:
        size: Pixels per side, in [2, 8192].
        holdout: Every holdout-th pixel in each direction is trained on, in [1, size].
        words: Separated by white space, up to 10,000 letters in all, none wider than 8 pictures; the font holds Latin
            letters only.
        font_size: In pixels, in [4, size]; lines are 1.2 times that apart.
        seed: Of the draw, at least 0.
    """
    check_ranges(text, size=size, holdout=holdout, font_size=font_size, seed=seed)
    check_range("font_size", font_size, 4, size, "pixels")
    if not words.split():
        raise UserError(f"signal.words={words!r} must hold at least one word")
    if len(words) > MAX_LETTERS:
        raise UserError(f"signal.words has {len(words)} letters; {MAX_LETTERS} are allowed")
    font = ImageFont.load_default(font_size)
    widest = max(words.split(), key=font.getlength)
    if font.getlength(widest) > 8 * size:
        raise UserError(f"signal.words has a word of {len(widest)} letters, wider than 8 pictures")
    picture = Pillow.new("L", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    rng = np.random.default_rng(seed)
    for top in np.arange(0, size, 1.2 * font_size):
        line = ""
        while font.getlength(line) < size:
            line += f"{rng.choice(words.split())} "
        draw.text((font_size / 4, top), line, fill="black", font=font)
    return image_from_array(np.asarray(picture) / 255, holdout)
