"""Where samples sit. Coordinates are cell centers, x before y; the longest axis spans [-1, 1]."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from coordnet.errors import UserError

FieldFunction = Callable[..., Tensor]


@dataclass(frozen=True)
class Domain:
    """A box of cubic cells.

    A frequency of f means f cycles across the longest axis, so the phase of a sinusoid at x is pi f x.

    Args:
        size: Samples per axis, x first (an image of height 2 and width 3 has size (3, 2)).
        train_stride: Every train_stride-th sample along each axis is trained on.
        resolution: Samples across [-1, 1]; those of the longest axis if not given. A part of a larger domain,
            such as one of its axes, has those of the whole.
    """

    size: tuple[int, ...]
    train_stride: int = 1
    resolution: int = 0

    def __post_init__(self) -> None:
        if not self.size or min(self.size) < 1:
            raise UserError(f"size: {self.size} must hold at least one sample per axis")
        object.__setattr__(self, "resolution", self.resolution or max(self.size))
        if self.resolution < max(self.size):
            raise UserError(f"resolution={self.resolution} must be at least {max(self.size)}")
        if not 1 <= self.train_stride <= self.resolution:
            raise UserError(
                f"train_stride={self.train_stride} must lie between 1 (train on all) and {self.resolution}"
            )

    @property
    def dim(self) -> int:
        return len(self.size)

    @property
    def spacing(self) -> float:
        """Distance between neighboring samples."""
        return 2 / self.resolution

    @property
    def extent(self) -> tuple[float, ...]:
        """Half the length of each axis: the box is [-extent, extent]."""
        return tuple(n / self.resolution for n in self.size)

    @property
    def nyquist(self) -> float:
        """The highest frequency that the *training* samples can tell apart, in cycles across the domain."""
        return self.resolution / self.train_stride / 2

    def index_to_coords(self, index: Tensor) -> Tensor:
        """Coordinates (*, dim) float32 of cells with integer index (*, dim), x first."""
        size = torch.tensor(self.size, device=index.device)
        return (2 * index + 1 - size).float() / self.resolution

    def coords_to_index(self, coords: Tensor) -> Tensor:
        """The inverse of `index_to_coords`: sample indices (*, dim), whole numbers at the samples."""
        size = torch.tensor(self.size, device=coords.device)
        return (coords * self.resolution + (size - 1)) / 2

    def select_axes(self, axes: Sequence[int]) -> "Domain":
        """The domain of some of the axes, with the same coordinates along them."""
        return Domain(tuple(self.size[axis] for axis in axes), self.train_stride, self.resolution)

    def unravel(self, flat: Tensor) -> Tensor:
        """Index (*, dim), x first, of a flat row-major index (*,) in which x runs fastest."""
        index = []
        for n in self.size:
            index.append(flat % n)
            flat = flat // n
        return torch.stack(index, dim=-1)

    @property
    def num_samples(self) -> int:
        return math.prod(self.size)

    def grid(self) -> Tensor:
        """Coordinates of all cells, (*reversed(size), dim): an image grid is (height, width, 2)."""
        flat = torch.arange(self.num_samples).reshape(self.size[::-1])
        return self.index_to_coords(self.unravel(flat))


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover range(total): one empty slice if there is nothing to cover."""
    bounds = [*range(0, max(total, 1), size), total]
    return (slice(a, b) for a, b in pairwise(bounds))


def in_chunks(function: Callable[[Tensor], Tensor], coords: Tensor, size: int = 65536) -> Tensor:
    """Evaluate `function` on coords (*, d) in chunks of `size` points, so that memory stays bounded: (*, C)."""
    flat = coords.reshape(-1, coords.shape[-1])
    values = torch.cat([function(flat[part]) for part in chunks(len(flat), size)])
    return values.reshape(*coords.shape[:-1], values.shape[-1])
