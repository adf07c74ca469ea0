from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from coordnet.errors import UserError, shown
from coordnet.ranges import check_ranges
from coordnet.signals.scenes.frames import Frame, read_frames
from coordnet.signals.scenes.posed_images import SPLITS, Background, PosedImages, Views
from coordnet.signals.scenes.view_files import check_pictures, evenly, read_views

NAME = "transforms.json"
# That of LLFF's scenes.
HOLDOUT = 8
# Half the cube's side over the distance of the cameras: instant-ngp's 0.5 / 0.33 where that is 4, and NeRF's scenes.
SHARE = 0.375
# Of the spread of viewing directions; below, no point is nearest to all of them.
PARALLEL = 1e-3


def transforms(
    path: str,
    holdout: int | None = None,
    downscale: int = 1,
    resize: Sequence[int] | None = None,
    background: Background = "white",
    center: Sequence[float] | None = None,
    half_size: float | None = None,
    train_views: int | None = None,
    scored_views: int | None = None,
    resolution: int | None = None,
) -> PosedImages:
    """A scene in one transforms.json, as instant-ngp and nerfstudio have it.

    Frames have a camera-to-world matrix with OpenGL's axes and the name of a picture. The file, or a frame for itself,
    has fl_x and fl_y, cx and cy in pixels, w and h, and OpenCV's k1, k2, p1, p2, k3; or camera_angle_x. Fisheyes are
    refused.

    The cube of the scene is centered on the point that is nearest to all optical axes (least squares), and half its
    side is 3/8 of the cameras' mean distance from there, times the file's aabb_scale where it has one. The rest is
    not seen.

    Args:
        path: The file, or its folder.
        holdout: Of the pictures in the order of their names, every holdout-th is held out, the first among them;
            0 trains on all. None takes the lists train_filenames, val_filenames and test_filenames of a file that has
            them, as nerfstudio does, leaving out what is in none, and every eighth where it has no list.
        downscale: Pictures are averaged over blocks of this many pixels on a side.
        resize: Or over areas, to (width, height).
        background: As of `PosedImages`.
        center: Of the cube instead, in the file's units.
        half_size: Half its side instead.
        train_views: To train on, evenly spaced; None takes all.
        scored_views: Of those held out, likewise; of a list each.
        resolution: As of `PosedImages`.

    Raises:
        UserError: Something cannot be read by these rules; the message names the file and the frame.
    """
    check_ranges(
        transforms,
        holdout=holdout,
        downscale=downscale,
        resize=resize,
        center=center,
        half_size=half_size,
        train_views=train_views,
        scored_views=scored_views,
        resolution=resolution,
    )
    if holdout == 1:
        raise UserError(f"signal.holdout={holdout} must be at least 2, or 0 to train on all pictures")
    file = find(path)
    frames = read_frames(file)
    sets = listed(file, frames) if holdout is None else None
    sets = sets or every(HOLDOUT if holdout is None else holdout, file, frames)
    frames = [frame for some in sets.values() for frame in some]
    check_pictures(frames)
    if scored_views is not None and not (sets["val"] or sets["test"]):
        raise UserError(f"signal.scored_views={scored_views} must be null where nothing is held out")
    poses = torch.stack([frame.pose() for frame in frames])
    middle = focus(poses, file) if center is None else torch.tensor(center, dtype=torch.float64)
    if half_size is None:
        distance = torch.linalg.vector_norm(poses[..., 3] - middle, dim=-1).mean()
        share = frames[0].number("aabb_scale", 1.0)
        half_size = SHARE * float(distance) * share
        if share <= 0:
            raise UserError(f"{file}: aabb_scale={share:g} must be above 0; set signal.half_size")
        if not half_size > 1e-30:
            raise UserError(f"{file}: its cameras stand where they look; set signal.half_size")

    def views(split: str, key: str, count: int | None) -> Views | None:
        return read_views(evenly(sets[split], count, key), resize, downscale) if sets[split] else None

    train = views("train", "train_views", train_views)
    assert train is not None
    val, test = (views(split, "scored_views", scored_views) for split in SPLITS[1:])
    return PosedImages(train, val, test, background, resolution, center=middle.tolist(), half_size=half_size)


def every(holdout: int, file: Path, frames: list[Frame]) -> dict[str, list[Frame]]:
    """Of frames in the order of their pictures every holdout-th for "val", the others for "train"; 0 has all in it."""
    ordered = by_name(frames)
    val = ordered[::holdout] if holdout else []
    train = [frame for frame in ordered if frame not in val]
    if not train:
        raise UserError(
            f"signal.holdout={holdout} leaves none of the {len(frames)} frames of {file} to train on"
        )
    return {"train": train, "val": val, "test": []}


def listed(file: Path, frames: list[Frame]) -> dict[str, list[Frame]] | None:
    """The frames that a file lists for each split by their file_path; None where it has no such list."""
    lists = {split: frames[0].entries.get(f"{split}_filenames") for split in SPLITS}
    if all(names is None for names in lists.values()):
        return None
    if not lists["train"]:
        raise UserError(
            f"{file} has lists of frames, but none in train_filenames; set signal.holdout, which goes before them"
        )
    frame_of = {Path(str(frame.entries.get("file_path"))): frame for frame in frames}
    list_of: dict[Frame, str] = {}
    for split, names in lists.items():
        key = f"{split}_filenames"
        if not isinstance(names, list | None):
            raise UserError(f"{file}: {key}={shown(names)} must be a list of the file_path of frames")
        for name in names or []:
            frame = frame_of.get(Path(str(name)))
            if frame is None:
                raise UserError(f"{file}: {key} names {shown(name)}, which is the file_path of no frame")
            if list_of.setdefault(frame, split) != split:
                raise UserError(f"{file}: {key} and {list_of[frame]}_filenames both name {shown(name)}")
    return {split: by_name([frame for frame in frames if list_of.get(frame) == split]) for split in SPLITS}


def by_name(frames: list[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: str(frame.path))


def find(path: str) -> Path:
    try:
        for file in (Path(path), Path(path, NAME)):
            if file.is_file():
                return file
    except (OSError, ValueError):
        pass
    raise UserError(f"signal.path={path!r} must be a {NAME}, or a folder that holds one (see docs/scenes.md)")


def focus(poses: Tensor, file: Path) -> Tensor:
    """The point (3,) whose squared distances from the optical axes of poses (n, 3, 4) add up to the least."""
    axes, positions = poses[..., 2], poses[..., 3]
    across = torch.eye(3) - axes[:, :, None] * axes[:, None]
    total = across.sum(dim=0)
    if torch.linalg.eigvalsh(total)[0] < PARALLEL * len(poses):
        raise UserError(
            f"{file}: its cameras look in parallel, so nothing says where the scene is; "
            "set signal.center and signal.half_size"
        )
    return torch.linalg.solve(total, torch.einsum("nij,nj->i", across, positions))
