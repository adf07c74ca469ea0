"""Options that several signals share."""

from collections.abc import Sequence
from typing import Annotated

from coordnet.options import Range, check_number

# Side of a picture that is drawn from a formula.
Side = Annotated[int, Range(2, 8192, "pixels")]
SideStride = Annotated[int, Range(1, 8192, "pixels")]
# Number of samples on a line.
LineLength = Annotated[int, Range(2, 2**20, "samples")]
LineStride = Annotated[int, Range(1, 2**20, "samples")]
LineFrequencies = Annotated[Sequence[float], Range(0, 2**19, "cycles across the domain")]
# Decay of the amplitudes of a spectrum: 0 is white noise.
Exponent = Annotated[float, Range(0, 10)]
Seed = Annotated[int, Range(0, 2**63 - 1)]

# The limit of Pillow.
MAX_PIXELS = 178_956_970
Crop = Annotated[Sequence[int] | None, Range(0, MAX_PIXELS, "pixels", entries=4)]
Resize = Annotated[Sequence[int] | None, Range(1, MAX_PIXELS, "pixels", entries=2)]
# The shorter side of a picture of MAX_PIXELS has at most this many pixels.
PictureStride = Annotated[int, Range(1, 13_377, "pixels")]


def check_stride(train_stride: int, num_samples: int, unit: str) -> None:
    """Refuse a training stride above the number of samples.

    Raises:
        OptionError: The option is `train_stride`.
    """
    check_number("train_stride", train_stride, Annotated[int, Range(1, num_samples, unit)])


def check_frequency(option: str, value: float | Sequence[float], num_samples: int) -> None:
    """Refuse a negative frequency, and a frequency that samples would alias.

    Args:
        option: The name of the option.
        value: A frequency or frequencies, in cycles across the domain.
        num_samples: Number of samples across the domain.

    Raises:
        OptionError: A frequency is negative or above the Nyquist frequency.
    """
    limit = Range(0, num_samples / 2, f"cycles across the domain at {num_samples} samples")
    hint = Annotated[Sequence[float], limit] if isinstance(value, Sequence) else Annotated[float, limit]
    check_number(option, value, hint)
