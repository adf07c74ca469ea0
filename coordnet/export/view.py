"""Views of a scene, rendered from a run."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.errors import OptionError, UserError
from coordnet.export.default_path import default_path
from coordnet.export.image import MAX_SIDE
from coordnet.export.png import open_png
from coordnet.files import check_new
from coordnet.options import Range, validate_ranges
from coordnet.rendering.camera import render_rows, row_chunks
from coordnet.runs.load import LoadedRun
from coordnet.signals.spec import SceneSpec

Scale = Annotated[float, Range(0, MAX_SIDE, above=True)]
# Half the diagonal of the box [-1, 1]^3.
HALF_DIAGONAL = 3**0.5


@validate_ranges
def export_view(
    run: LoadedRun,
    view: int,
    split: str | None = None,
    scale: Scale = 1.0,
    output: Path | None = None,
    depth: bool = False,
) -> list[Path]:
    """Render a view of a scene on the scene's background to a PNG, some rows at a time: memory is bounded.

    Args:
        run: A run of a scene.
        view: Number of the view among the views of its split, from 0.
        split: "val", "test" or "train"; None takes the first of these that the scene has.
        scale: Pixels of the result per pixel of the scene's pictures.
        output: The new file; None writes into images/ of the run.
        depth: True writes a second file, with -depth in its name. Its pixels are the distances of what is mostly
            opaque, from the nearest place (black) to the farthest place (yellow) that the box can have at this distance
            of the camera. Depths of several views can therefore be compared.

    Returns:
        The files written.

    Raises:
        UserError: The run holds no scene, or an option is not allowed.
        OSError: A file cannot be written. A faulty directory raises this error before anything is rendered.
    """
    scene = scene_of(run)
    splits = [name for name in ("val", "test", "train") if name in scene.cameras]
    split = split or splits[0]
    if split not in splits:
        raise OptionError("split", split, f"must be one of {', '.join(splits)} for {run.directory}")
    cameras = scene.cameras[split]
    if not 0 <= view < len(cameras):
        raise OptionError(
            "view", view, f"must be a whole number from 0 to {len(cameras) - 1} (views of {split})"
        )
    cameras = cameras.resized(scaled_size(cameras.size, scale))
    width, height = cameras.size
    path = output or default_path(run, f"images/view-{split}-{view:03}-{width}x{height}.png")
    paths = [path, path.with_name(f"{path.stem}-depth{path.suffix}")][: 1 + depth]
    for each in paths:
        check_new("output", each, (".png",))
    nearest = float(cameras.poses[view, :, 3].norm()) - HALF_DIAGONAL
    with ExitStack() as files:
        add_rows = [files.enter_context(open_png(each, (height, width, 3))) for each in paths]
        for rows in bar(row_chunks(cameras.size), "rendering"):
            rendered = render_rows(cameras, view, rows, scene.background, run.predict)
            add_rows[0](viz.to_pixels(rendered["value"].numpy()))
            if depth:
                add_rows[1](_depth_pixels(rendered["depth"], rendered["opacity"], nearest))
    return paths


def scene_of(run: LoadedRun) -> SceneSpec:
    """The scene of a run.

    Raises:
        UserError: The run's signal is no scene.
    """
    if run.spec.scene is None:
        raise UserError(
            f"{run.directory} holds no scene but a signal in {run.spec.domain.dim} dimensions; it has no views, "
            "turntable or mesh"
        )
    return run.spec.scene


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height) in pixels, both times a scale and at least 1.

    Raises:
        OptionError: A side is longer than 2^16.
    """
    width, height = (max(1, round(side * scale)) for side in size)
    if max(width, height) > MAX_SIDE:
        raise OptionError("scale", scale, f"makes {width}x{height} pixels; {MAX_SIDE}x{MAX_SIDE} are allowed")
    return width, height


def _depth_pixels(depth: Tensor, opacity: Tensor, nearest: float) -> viz.Picture:
    """Depths (height, width, 1) as colors from `nearest` to a diagonal of the box beyond; black where it is empty."""
    beyond = (depth - nearest).clamp(min=0) * (opacity > 0.5)
    return viz.apply_colormap(beyond[..., 0].numpy(), top=2 * HALF_DIAGONAL)
