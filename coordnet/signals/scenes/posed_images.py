import hashlib
from collections.abc import Mapping, Sequence
from statistics import fmean as mean
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from coordnet import viz
from coordnet.cameras import Cameras, ray_box
from coordnet.coords import Domain, FieldFunction
from coordnet.errors import UserError
from coordnet.metrics.scores import psnr, ssim
from coordnet.rendering.camera import render_view
from coordnet.signals.base import EvaluationResult, GridComparison, Predict, Signal
from coordnet.signals.synthetic.top_down import Plan

Rendering = Mapping[str, Tensor]
Background = Literal["white", "black", "random"]

SPLITS = ("train", "val", "test")
# In pixels, of the sides of a view in a picture.
LONGEST = 512
# Views that are scored of those trained on, drawn as strips, and kept to be compared by frequency.
TRAINED, DRAWN, COMPARED = 2, 3, 10
# Rays along each side of a picture that are looked along for the scene; an odd number, so one is in the middle.
PROBES = 9
# Fractions of multiples of these fill the unit cube evenly (M. Roberts 2018): powers of 1 / g with g^4 = g + 1.
SPREAD = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)


class Views(NamedTuple):
    """Pictures of one scene, and where they were taken from.

    Attributes:
        images: (n, height, width, 3 or 4) uint8; a fourth channel is opacity, which colors are not multiplied by.
        cameras: n of them, in one world.
    """

    images: Tensor
    cameras: Cameras

    def some(self, count: int) -> "Views":
        """At most `count` of them, evenly spaced and the first among them."""
        total = len(self.images)
        index = torch.arange(min(count, total)) * total // min(count, total)
        return Views(self.images[index], self.cameras.take(index))

    def boxed(self, center: Tensor, half_size: float) -> "Views":
        """Cameras in coordinates (x - center) / half_size of their world."""
        return Views(self.images, self.cameras.boxed(center, half_size))


def sees(cameras: Cameras) -> bool:
    """Whether some ray of theirs, of a grid of them over each picture, meets [-1, 1]^3."""
    share = torch.linspace(0, 1, PROBES)
    pixels = torch.cartesian_prod(share, share) * torch.tensor(cameras.size)
    camera = torch.arange(len(cameras)).repeat_interleave(len(pixels))
    near, far = ray_box(*cameras.rays(camera, pixels.repeat(len(cameras), 1)), -1.0, 1.0)
    return bool((far > near).any())


class PosedImages(Signal):
    """A scene known by pictures from known places: use with a forward map that renders rays.

    The scene is the cube [-1, 1]^3: the world's coordinates, moved and divided by one number, half the side of a cube
    in the world. All views are brought there. Rays have unit directions, so distances along them, and densities, are in
    units of half that side.

    An observation is a pixel of a picture to train on: the ray through its center, its color on the background, and
    that background, which what is rendered is to be laid on.

    Held-out views are scored by the means of their PSNR and SSIM, under "val/" and, where there are some besides,
    "test/"; two of the views trained on under "train/". The score is taken on "val", else on "train". The
    last of these has the PSNR of each view under "view_psnr/", and up to 10 of its views the errors by frequency, in
    cycles across the longer side of the picture.

    Args:
        train: Views to train on.
        val: Held-out views that decide which checkpoint is best.
        test: Held-out views that decide nothing.
        background: Behind transparent pixels; "random" gives each pixel its own color while training, so that only
            empty space can look like the background, and is white where views are scored.
        resolution: Cells along each axis of the domain, in [2, 2^14], which encodings take their frequencies from; None
            takes the longer side of the pictures in pixels, what a scene that fills them has across.
        plan: What is known of the scene from above: scored too, and its errors by frequency are those of the run.
        center: Of the cube that holds the scene, in the world that views are given in.
        half_size: Half its side, likewise.
    """

    channels = 3
    value_range = (0.0, 1.0)

    def __init__(
        self,
        train: Views,
        val: Views | None = None,
        test: Views | None = None,
        background: Background = "white",
        resolution: int | None = None,
        plan: Plan | None = None,
        center: Sequence[float] = (0.0, 0.0, 0.0),
        half_size: float = 1.0,
    ) -> None:
        if background not in ("white", "black", "random"):
            raise UserError(f"signal.background={background!r} must be white, black or random")
        self.center = torch.tensor(center, dtype=torch.float64)
        self.half_size = half_size
        self.train = train.boxed(self.center, half_size)
        if not sees(self.train.cameras):
            raise UserError(
                f"signal: no camera sees the scene's cube, of signal.center={self.center.tolist()} and "
                f"signal.half_size={half_size:g} in the units of the cameras' positions"
            )
        self.held_out = {
            name: views.boxed(self.center, half_size)
            for name, views in (("val", val), ("test", test))
            if views
        }
        self.background = background
        self.plan = plan
        self.domain = Domain((resolution or max(2, *train.cameras.size),) * 3)
        self.num_observations = train.images.shape[:3].numel()

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        width, height = self.train.cameras.size
        camera, pixel = index // (width * height), index % (width * height)
        column, row = pixel % width, pixel // width
        origins, directions = self.train.cameras.rays(camera, torch.stack([column, row], dim=-1) + 0.5)
        behind = self.behind(index)
        value = composite(self.train.images[camera, row, column], behind)
        return {"origins": origins, "directions": directions, "value": value, "background": behind}

    def behind(self, index: Tensor) -> Tensor:
        """The background (n, 3) of observations with index (n,)."""
        if self.background == "random":
            # Float64: there are more pixels than float32 can count.
            return (index[:, None] * torch.tensor(SPREAD, dtype=torch.float64)).frac().float()
        return torch.full((len(index), 3), float(self.background == "white"))

    @property
    def backdrop(self) -> Tensor:
        """The background (3,) that views are scored and shown on."""
        return torch.full((3,), float(self.background != "black"))

    def fingerprint(self) -> str:
        found = hashlib.sha256()
        for views in (self.train, *self.held_out.values()):
            cameras = views.cameras
            for tensor in (views.images, cameras.poses, cameras.focal, cameras.center, cameras.distortion):
                if tensor is not None:
                    found.update(tensor.contiguous().numpy().data)
        return found.hexdigest()

    def evaluate(self, field: FieldFunction, predict: Predict) -> EvaluationResult:
        metrics: dict[str, float] = {}
        kept: list[Rendering] = []
        by_view: list[float] = []
        for name, views in {"train": self.train.some(TRAINED), **self.held_out}.items():
            kept, by_view, likeness = [], [], []
            for i in range(len(views.images)):
                rendering = self.render(views, i, predict)
                by_view.append(psnr(rendering["value"], rendering["target"]))
                likeness.append(ssim(rendering["value"], rendering["target"]))
                if i < COMPARED:
                    kept.append(rendering)
            metrics |= {f"{name}/psnr": mean(by_view), f"{name}/ssim": mean(likeness)}
        score = metrics.get("val/psnr", metrics["train/psnr"])
        metrics |= {f"view_psnr/{i:04}": value for i, value in enumerate(by_view)}
        samples = self.samples(kept)
        if self.plan:
            found, samples = self.plan.score(predict, self.backdrop)
            metrics |= found
        return EvaluationResult(metrics, lambda: pictures(kept), score, samples)

    def render(self, views: Views, i: int, predict: Predict) -> dict[str, Tensor]:
        """A view as it is predicted, and its "target": each (height, width, channels)."""
        target = composite(views.images[i], self.backdrop)
        return {"target": target} | render_view(views.cameras, i, self.backdrop, predict)

    def samples(self, renderings: Sequence[Rendering]) -> GridComparison:
        """Views as channels of one picture: waves are compared view by view, and their errors averaged."""
        prediction, target = (
            torch.cat([rendering[name] for rendering in renderings], dim=-1) for name in ("value", "target")
        )
        return GridComparison(
            prediction.clamp(0, 1).numpy(), target.numpy(), max(self.train.cameras.size) / 2
        )


def composite(pixels: Tensor, background: Tensor) -> Tensor:
    """Pixels (*, 3 or 4) uint8 on a background (*, 3), in [0, 1]."""
    values = pixels.float() / 255
    if values.shape[-1] == 3:
        return values
    return torch.lerp(background, values[..., :3], values[..., 3:])


def pictures(renderings: Sequence[Rendering]) -> dict[str, viz.Picture]:
    """Of up to 3 views, evenly spaced: strips, and depth (nearest black) and opacity where they are predicted."""
    drawn = renderings[:: -(-len(renderings) // DRAWN)]
    strips = [viz.comparison_strip(view["target"].numpy(), view["value"].numpy()) for view in drawn]
    found = {"target | prediction | error": viz.vconcat(strips)}
    if "depth" in drawn[0] and "opacity" in drawn[0]:
        found["depth | opacity"] = viz.vconcat([geometry(view["depth"], view["opacity"]) for view in drawn])
    return found


def geometry(depth: Tensor, opacity: Tensor) -> viz.Picture:
    """Depth from the nearest to the farthest of what is mostly opaque, beside opacity; both (height, width, 1)."""
    solid = depth[opacity > 0.5]
    low, high = solid.aminmax() if len(solid) else depth.aminmax()
    relative = (depth - low).clamp(min=0) * (opacity > 0.5)
    shown = [viz.shrink(values.numpy(), LONGEST) for values in (relative, opacity)]
    return viz.hconcat(
        [viz.apply_colormap(shown[0][..., 0], top=float(high - low) or 1.0), viz.to_rgb(shown[1])]
    )
