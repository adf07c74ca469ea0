"""Views of a scene, rendered from a run."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor

from coordnet import viz
from coordnet.console import bar
from coordnet.errors import UserError
from coordnet.export import png
from coordnet.export.image import MAX_SIDE
from coordnet.files import check_new
from coordnet.ranges import Range
from coordnet.rendering.camera import render_rows, row_chunks
from coordnet.runs import checkpoint
from coordnet.runs.config_file import read_config
from coordnet.runs.load import load_state
from coordnet.signals.scenes.posed_images import PosedImages
from coordnet.training.module import FieldModule
from coordnet.training.run import prepare

# Half the diagonal of the box.
REACH = 3**0.5


@torch.no_grad()
def render_view(
    run: Path,
    frame: int,
    split: str | None = None,
    scale: float = 1.0,
    output: Path | None = None,
    depth: bool = False,
    which: str = "last",
    allow: Sequence[str] = (),
) -> list[Path]:
    """Render one of the views of a run's scene on its background to a PNG, band by band: memory stays bounded.

    Args:
        run: The run's directory.
        frame: Number of the view among those of its split, from 0.
        split: "val", "test" or "train"; the first of them that there is by default.
        scale: Pixels of the result per pixel of the signal's pictures.
        output: A file that does not exist yet.
        depth: Write a second one, beside it with -depth in its name: the distance of what is mostly opaque, from where
            the box can begin for a camera at this distance from its middle (black) to where it can end (yellow).
        which: "last" or "best" checkpoint.
        allow: As for `build`.

    Returns:
        The files written.

    Raises:
        UserError: The run, its signal or an option does not allow it.
        OSError: A file cannot be written. Where the directory is at fault, nothing has been rendered yet.
    """
    signal, model = load_scene(run, which, allow)
    sets = {**signal.held_out, "train": signal.train}
    split = split or next(iter(sets))
    if split not in sets:
        raise UserError(f"--split={split} must be one of {', '.join(sets)} for {run}")
    cameras = sets[split].cameras
    Range(0, len(cameras) - 1, f"(views of {split})", whole=True).check("--frame", frame)
    cameras = cameras.resized(scaled(cameras.size, scale))
    width, height = cameras.size
    path = output or run / "images" / f"view-{split}-{frame:03}-{width}x{height}.png"
    paths = [path, path.with_name(f"{path.stem}-depth{path.suffix}")][: 1 + depth]
    for each in paths:
        check_new("output", each, (".png",))
    near = float(cameras.poses[frame, :, 3].norm()) - REACH
    with ExitStack() as files:
        add = [files.enter_context(png.writing(each, (height, width, 3))) for each in paths]
        for rows in bar(row_chunks(cameras.size), "rendering"):
            seen = render_rows(cameras, frame, rows, signal.eval_background, model.predict)
            add[0](viz.to_pixels(seen["value"].numpy()))
            if depth:
                add[1](distances(seen["depth"], seen["opacity"], near))
    return paths


def load_scene(directory: Path, which: str, allow: Sequence[str]) -> tuple[PosedImages, FieldModule]:
    """The signal and the module of a run with the weights of its `which` checkpoint.

    Raises:
        UserError: It is no run, or not one of a scene.
    """
    _, model = prepare(read_config(directory), allow)
    path = directory / "checkpoints" / f"{which}.ckpt"
    load_state(model, checkpoint.load(path)["state_dict"], path)
    signal = model.batches.signal
    if not isinstance(signal, PosedImages):
        raise UserError(
            f"{directory} holds no scene but a signal of another kind ({type(signal).__name__}); "
            "it has no views, turntable or mesh"
        )
    return signal, model


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(width, height), both times a scale."""
    Range(0, MAX_SIDE, above=True).check("--scale", scale)
    width, height = (max(1, round(side * scale)) for side in size)
    if max(width, height) > MAX_SIDE:
        raise UserError(f"--scale={scale} makes {width}x{height} pixels; {MAX_SIDE}x{MAX_SIDE} are allowed")
    return width, height


def distances(depth: Tensor, opacity: Tensor, near: float) -> viz.Picture:
    """Of (height, width, 1), from `near` to the other end of the box; black where little is seen."""
    beyond = (depth - near).clamp(min=0) * (opacity > 0.5)
    return viz.apply_colormap(beyond[..., 0].numpy(), top=2 * REACH)
