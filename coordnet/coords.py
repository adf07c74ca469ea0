"""Coordinates of samples: cell centers, x before y, where the longest axis spans [-1, 1]."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from coordnet.errors import OptionError

FieldFunction = Callable[..., Tensor]


@dataclass(frozen=True, init=False)
class Domain:
    """A box of cells, centered at 0, with one sample at the center of each cell.

    The cells of a picture or a volume are cubic, and the longest axis spans [-1, 1]. An axis with a unit of its own,
    such as time, spans [-1, 1] by itself and has its own `resolution`. A frequency of f along an axis means f cycles
    across [-1, 1] of that axis, so the phase of a sinusoid at x is pi f x.

    Args:
        size: Number of samples along each axis, x first (an image of height 2 and width 3 has size (3, 2)).
        train_stride: Distance of neighboring training samples along each axis, in samples. 1 trains on all samples.
        resolution: Number of samples across [-1, 1], for all axes or for each axis. 0 takes the number of samples of
            the longest axis for all axes. A sub-domain, such as one axis of an image, has the resolution of the whole.

    Raises:
        OptionError: An axis has no sample, a resolution is below the size of its axis, or the training stride is
            longer than the domain.
    """

    size: tuple[int, ...]
    train_stride: int
    resolution: tuple[int, ...]

    def __init__(
        self, size: Sequence[int], train_stride: int = 1, resolution: int | Sequence[int] = 0
    ) -> None:
        if not size or min(size) < 1:
            raise OptionError("size", tuple(size), "must hold at least one sample per axis")
        if isinstance(resolution, int):
            resolution = [resolution or max(size)] * len(size)
        if len(resolution) != len(size) or any(r < n for r, n in zip(resolution, size, strict=False)):
            shown = resolution[0] if len(set(resolution)) == 1 else tuple(resolution)
            raise OptionError("resolution", shown, f"must be at least the size {tuple(size)} of each axis")
        longest = max(resolution)
        if not 1 <= train_stride <= longest:
            raise OptionError(
                "train_stride", train_stride, f"must lie between 1 (train on all) and {longest}"
            )
        object.__setattr__(self, "size", tuple(size))
        object.__setattr__(self, "train_stride", train_stride)
        object.__setattr__(self, "resolution", tuple(resolution))

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.size)

    @property
    def is_cubic(self) -> bool:
        """True if the distance of neighboring samples is the same along all axes."""
        return len(set(self.resolution)) == 1

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance of neighboring samples along each axis."""
        return tuple(2 / r for r in self.resolution)

    @property
    def extent(self) -> tuple[float, ...]:
        """Half the length of each axis: the box is [-extent, extent]."""
        return tuple(n / r for n, r in zip(self.size, self.resolution, strict=True))

    @property
    def nyquist(self) -> tuple[float, ...]:
        """Nyquist frequency of the *training* samples along each axis, in cycles across [-1, 1]."""
        return tuple(r / self.train_stride / 2 for r in self.resolution)

    def index_to_coords(self, index: Tensor) -> Tensor:
        """Coordinates (*, dim) float32 of the samples with integer index (*, dim), x first."""
        size = torch.tensor(self.size, device=index.device)
        return (2 * index + 1 - size).float() / self._across(index.device)

    def coords_to_index(self, coords: Tensor) -> Tensor:
        """The inverse of `index_to_coords`: sample indices (*, dim), whole numbers at the samples."""
        size = torch.tensor(self.size, device=coords.device)
        return (coords * self._across(coords.device) + (size - 1)) / 2

    def _across(self, device: torch.device) -> int | Tensor:
        """Number of samples across [-1, 1]: one number for cubic cells, otherwise (dim,)."""
        return self.resolution[0] if self.is_cubic else torch.tensor(self.resolution, device=device)

    def select_axes(self, axes: Sequence[int]) -> "Domain":
        """The domain of some of the axes, with the same coordinates along these axes."""
        size, resolution = ([numbers[axis] for axis in axes] for numbers in (self.size, self.resolution))
        return Domain(size, self.train_stride, resolution)

    def unravel(self, flat: Tensor) -> Tensor:
        """Index (*, dim), x first, of a flat row-major index (*,) in which x runs fastest."""
        index = []
        for n in self.size:
            index.append(flat % n)
            flat = flat // n
        return torch.stack(index, dim=-1)

    @property
    def num_samples(self) -> int:
        """Number of samples on the whole grid, trained on or not."""
        return math.prod(self.size)

    def grid(self) -> Tensor:
        """Coordinates of all samples, (*reversed(size), dim): an image grid is (height, width, 2)."""
        flat = torch.arange(self.num_samples).reshape(self.size[::-1])
        return self.index_to_coords(self.unravel(flat))


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(total): one empty slice for an empty range."""
    bounds = [*range(0, max(total, 1), size), total]
    return (slice(a, b) for a, b in pairwise(bounds))


def in_chunks(function: Callable[[Tensor], Tensor], coords: Tensor, size: int = 65536) -> Tensor:
    """Evaluate `function` on coords (*, d) in chunks of `size` points, so that memory stays bounded: (*, C)."""
    flat = coords.reshape(-1, coords.shape[-1])
    values = torch.cat([function(flat[part]) for part in chunks(len(flat), size)])
    return values.reshape(*coords.shape[:-1], values.shape[-1])
