import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from coordnet.cameras import Cameras, ray_box
from coordnet.coords import Domain
from coordnet.errors import OptionError
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal
from coordnet.signals.spec import SceneSpec, SignalSpec
from coordnet.signals.synthetic.top_down import TopDownView

Background = Literal["white", "black", "random"]

# Cells along each axis of the domain, from which encodings take their frequencies.
Resolution = Annotated[int | None, Range(2, 2**14, "cells")]
# Rays along each side of an image that are tested against the box; an odd number puts one ray in the middle.
_PROBES = 9
# Fractions of multiples of these numbers fill the unit cube evenly (M. Roberts 2018): powers of 1 / g, g^4 = g + 1.
_QUASIRANDOM = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)


class Views(NamedTuple):
    """Pictures of one scene together with their cameras.

    Attributes:
        images: (n, height, width, 3 or 4) uint8. A fourth channel is opacity; colors are not premultiplied by opacity.
        cameras: n cameras in one coordinate system.
        names: n names of the pictures.
    """

    images: Tensor
    cameras: Cameras
    names: tuple[str, ...]

    def subsample(self, count: int) -> "Views":
        """Select at most `count` views, evenly spaced, the first view included."""
        total = len(self.images)
        index = torch.arange(min(count, total)) * total // min(count, total)
        names = tuple(self.names[i] for i in index.tolist())
        return Views(self.images[index], self.cameras[index], names)

    def normalized_to(self, center: Tensor, half_size: float) -> "Views":
        """The same pictures with cameras in coordinates (x - center) / half_size."""
        return self._replace(cameras=self.cameras.normalized_to(center, half_size))


class PosedImages(Signal):
    """A scene that is observed in pictures with known cameras, for a forward map that renders rays.

    The scene is the cube [-1, 1]^3. World coordinates are shifted by the center of a cube in the world and divided by
    half the side of the cube, and all views are brought there. Rays have unit directions, so distances along rays are
    in units of half the side, and densities are per half side.

    An observation is one pixel of a training view: "origins" and "directions" of the ray through the pixel center,
    "value", the color composited on the background, and "background", the color to composite renderings on.

    Args:
        train: Views to train on.
        val: Held-out views that select the best checkpoint.
        test: Held-out views that select nothing.
        background: Color behind transparent pixels. "random" gives each training pixel a color of its own, so that only
            empty space can look like the background; evaluation then composites on white.
        resolution: Number of cells along each axis of the domain, in [2, 2^14]; encodings derive frequencies from the
            cells. None takes the longer side of the pictures in pixels.
        top_down: Exact view of the scene from above, where the scene is synthetic.
        center: Center (x, y, z) of the scene's cube, in the world of the views.
        half_size: Half the side of the scene's cube, in the world of the views.

    Raises:
        OptionError: An option is outside its range, or no camera sees the cube.
    """

    channels = 3
    value_range = (0.0, 1.0)

    @validate_ranges
    def __init__(
        self,
        train: Views,
        val: Views | None = None,
        test: Views | None = None,
        background: Background = "white",
        resolution: Resolution = None,
        top_down: TopDownView | None = None,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        half_size: float = 1.0,
    ) -> None:
        if background not in ("white", "black", "random"):
            raise OptionError("background", background, "must be white, black or random")
        self.center = torch.tensor(center, dtype=torch.float64)
        self.half_size = half_size
        self.train = train.normalized_to(self.center, half_size)
        if not any_ray_hits_box(self.train.cameras):
            raise OptionError(
                "center",
                self.center.tolist(),
                f"must be the center of a cube with half_size={half_size:g} that a training camera sees, "
                "in the units of the camera positions",
            )
        self.held_out = {
            name: views.normalized_to(self.center, half_size)
            for name, views in (("val", val), ("test", test))
            if views
        }
        self.background = background
        self.top_down = top_down
        self.domain = Domain((resolution or max(2, *train.cameras.size),) * 3)
        self.num_observations = train.images.shape[:3].numel()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        width, height = self.train.cameras.size
        camera, pixel = index // (width * height), index % (width * height)
        column, row = pixel % width, pixel // width
        origins, directions = self.train.cameras.rays(camera, torch.stack([column, row], dim=-1) + 0.5)
        background = self.training_background(index)
        value = alpha_composite(self.train.images[camera, row, column], background)
        return {"origins": origins, "directions": directions, "value": value, "background": background}

    def training_background(self, index: Tensor) -> Tensor:
        """The background colors (n, 3) of the observations with index (n,)."""
        if self.background == "random":
            # Float64 counts all pixels; float32 stops at 2^24.
            return (index[:, None] * torch.tensor(_QUASIRANDOM, dtype=torch.float64)).frac().float()
        return torch.full((len(index), 3), float(self.background == "white"))

    @property
    def eval_background(self) -> Tensor:
        """The background color (3,) of evaluation and of displays."""
        return torch.full((3,), float(self.background != "black"))

    def spec(self) -> SignalSpec:
        splits = {"train": self.train, **self.held_out}
        scene = SceneSpec(
            center=self.center,
            half_size=float(self.half_size),
            background=self.eval_background,
            cameras={split: views.cameras for split, views in splits.items()},
            names={split: views.names for split, views in splits.items()},
        )
        return SignalSpec(self.domain, self.channels, self.value_range, scene)

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for views in (self.train, *self.held_out.values()):
            cameras = views.cameras
            for tensor in (views.images, cameras.poses, cameras.focal, cameras.center, cameras.distortion):
                if tensor is not None:
                    digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


def any_ray_hits_box(cameras: Cameras) -> bool:
    """True if any of 9 x 9 rays over the image of each camera hits [-1, 1]^3."""
    share = torch.linspace(0, 1, _PROBES)
    pixels = torch.cartesian_prod(share, share) * torch.tensor(cameras.size)
    camera = torch.arange(len(cameras)).repeat_interleave(len(pixels))
    near, far = ray_box(*cameras.rays(camera, pixels.repeat(len(cameras), 1)), -1.0, 1.0)
    return bool((far > near).any())


def alpha_composite(pixels: Tensor, background: Tensor) -> Tensor:
    """Composite pixels (*, 3 or 4) uint8 on a background (*, 3) in [0, 1]: (*, 3) in [0, 1]."""
    values = pixels.float() / 255
    if values.shape[-1] == 3:
        return values
    return torch.lerp(background, values[..., :3], values[..., 3:])
