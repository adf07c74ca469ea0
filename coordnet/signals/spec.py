from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from coordnet.cameras import Cameras
from coordnet.coords import Domain
from coordnet.errors import UserError, shown

SPLITS: tuple[Literal["train"], Literal["val"], Literal["test"]] = ("train", "val", "test")
_KEYS = ("size", "train_stride", "resolution", "channels", "value_range", "scene")
_MAX_DIM = 16
_SCENE_KEYS = ("center", "half_size", "background", "cameras", "names")
_CAMERA_KEYS = ("poses", "focal", "center", "size", "distortion")
_MAX_SIDE = 2**16
# Rotations are float32.
_ROTATION_ERROR = 1e-2


@dataclass(frozen=True, eq=False)
class SceneSpec:
    """The description of a scene that a display needs after the pictures are gone.

    A point x of the world lies at (x - center) / half_size in the box [-1, 1]^3.

    Attributes:
        center: Center (3,) of the scene's cube in the world, float64.
        half_size: Half the side of the scene's cube in the world.
        background: Color (3,) in [0, 1] that views are displayed on.
        cameras: The cameras of each split ("train", and "val" and "test" where they exist), in coordinates of the box.
        names: The names of the views of each split, one per camera.
    """

    center: Tensor
    half_size: float
    background: Tensor
    cameras: Mapping[str, Cameras]
    names: Mapping[str, tuple[str, ...]]

    def state_dict(self) -> dict[str, Any]:
        """The spec as plain values and tensors, for a checkpoint."""
        return {
            "center": self.center,
            "half_size": self.half_size,
            "background": self.background,
            "cameras": {split: _cameras_state(cameras) for split, cameras in self.cameras.items()},
            "names": {split: list(names) for split, names in self.names.items()},
        }

    @classmethod
    def from_state(cls, state: object) -> "SceneSpec":
        """Rebuild a spec from the values that `state_dict` returned.

        Raises:
            UserError: The state lacks a key, or a value is damaged.
        """
        state = _mapping(state, "scene", _SCENE_KEYS)
        center = _tensor(state, "scene.center", (3,), torch.float64)
        background = _tensor(state, "scene.background", (3,))
        if not ((background >= 0) & (background <= 1)).all():
            raise _damaged("scene.background", background.tolist(), "three numbers from 0 to 1")
        half_size = state["half_size"]
        if not (isinstance(half_size, float) and 0 < half_size < float("inf")):
            raise _damaged("scene.half_size", half_size, "a finite number above 0")
        splits, names = state["cameras"], state["names"]
        if not (isinstance(splits, Mapping) and "train" in splits and set(splits) <= set(SPLITS)):
            raise _damaged("scene.cameras", splits, 'cameras of "train" and of other splits')
        if not (isinstance(names, Mapping) and set(names) == set(splits)):
            raise _damaged("scene.names", names, f"names of the views of {', '.join(splits)}")
        cameras = {split: _cameras_from_state(splits[split], f"scene.cameras.{split}") for split in splits}
        for split, listed in names.items():
            count = len(cameras[split])
            if not (_is_list(listed) and len(listed) == count and all(isinstance(n, str) for n in listed)):
                raise _damaged(f"scene.names.{split}", listed, f"{count} names")
        return cls(
            center, half_size, background, cameras, {split: tuple(listed) for split, listed in names.items()}
        )


@dataclass(frozen=True)
class SignalSpec:
    """The description of a signal that a field and a display need after the data are gone.

    Attributes:
        domain: The box that the signal is defined on.
        channels: Number of values per point.
        value_range: (low, high) that all values lie in; None if the values are unbounded.
        scene: The scene of posed images; None for every other signal.
    """

    domain: Domain
    channels: int
    value_range: tuple[float, float] | None
    scene: SceneSpec | None = None

    def state_dict(self) -> dict[str, Any]:
        """The spec as plain values and tensors, for a checkpoint."""
        return {
            "size": list(self.domain.size),
            "train_stride": self.domain.train_stride,
            "resolution": list(self.domain.resolution),
            "channels": self.channels,
            "value_range": None if self.value_range is None else list(self.value_range),
            "scene": self.scene and self.scene.state_dict(),
        }

    @classmethod
    def from_state(cls, state: object) -> "SignalSpec":
        """Rebuild a spec from the values that `state_dict` returned.

        Raises:
            UserError: The state lacks a key, or a value is damaged.
        """
        state = _mapping(state, "", _KEYS)
        size = state["size"]
        if not (_is_list(size) and 1 <= len(size) <= _MAX_DIM and all(map(_is_count, size))):
            raise _damaged("size", size, f"1 to {_MAX_DIM} whole numbers above 0")
        resolution = state["resolution"]
        if not (_is_list(resolution) and len(resolution) == len(size) and all(map(_is_count, resolution))):
            raise _damaged("resolution", resolution, "a whole number above 0 for each axis")
        for key in ("train_stride", "channels"):
            if not _is_count(state[key]):
                raise _damaged(key, state[key], "a whole number above 0")
        bounds = state["value_range"]
        if bounds is not None and not _is_range(bounds):
            raise _damaged("value_range", bounds, "two rising numbers, or null")
        scene = None if state["scene"] is None else SceneSpec.from_state(state["scene"])
        domain = Domain(tuple(size), state["train_stride"], state["resolution"])
        value_range = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        return cls(domain, state["channels"], value_range, scene)


def _cameras_state(cameras: Cameras) -> dict[str, Any]:
    return {
        "poses": cameras.poses,
        "focal": cameras.focal,
        "center": cameras.center,
        "size": list(cameras.size),
        "distortion": cameras.distortion,
    }


def _cameras_from_state(state: object, key: str) -> Cameras:
    state = _mapping(state, key, _CAMERA_KEYS)
    poses = state["poses"]
    count = len(poses) if isinstance(poses, Tensor) and poses.dim() == 3 else 0
    if not count:
        raise _damaged(f"{key}.poses", poses, "a tensor of at least one pose")
    poses = _tensor(state, f"{key}.poses", (count, 3, 4))
    rotation = poses[..., :3]
    if (rotation @ rotation.mT - torch.eye(3)).abs().max() > _ROTATION_ERROR:
        raise _damaged(f"{key}.poses", "...", "rotations beside positions")
    focal, center = (_tensor(state, f"{key}.{name}", (count, 2)) for name in ("focal", "center"))
    if not (focal > 0).all():
        raise _damaged(f"{key}.focal", "...", "above 0 pixels")
    size = state["size"]
    if not (
        _is_list(size) and len(size) == 2 and all(_is_count(side) and side <= _MAX_SIDE for side in size)
    ):
        raise _damaged(f"{key}.size", size, f"two whole numbers from 1 to {_MAX_SIDE} pixels")
    distortion = state["distortion"]
    if distortion is not None:
        distortion = _tensor(state, f"{key}.distortion", (count, 5))
    return Cameras(poses, focal, center, (size[0], size[1]), distortion)


def _mapping(state: object, key: str, needed: Sequence[str]) -> Mapping[str, Any]:
    """The state itself, if the state is a mapping that has the needed keys."""
    name = f"signal spec: {key}" if key else "signal spec"
    if not isinstance(state, Mapping):
        raise UserError(f"{name}={shown(state)} must be a mapping")
    missing = [each for each in needed if each not in state]
    if missing:
        raise UserError(f"{name} lacks {', '.join(missing)}")
    return state


def _tensor(
    state: Mapping[str, Any], key: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> Tensor:
    """The finite tensor under the last part of `key`."""
    value = state[key.rpartition(".")[2]]
    if not (isinstance(value, Tensor) and value.shape == shape and value.dtype == dtype):
        raise _damaged(key, value, f"a {dtype} tensor of shape {shape}".replace("torch.", ""))
    if not value.isfinite().all():
        raise _damaged(key, "...", "finite")
    return value


def _damaged(key: str, value: object, allowed: str) -> UserError:
    return UserError(f"signal spec: {key}={shown(value)} must be {allowed}")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_range(value: Any) -> bool:
    """True for a pair of finite rising numbers."""
    if not _is_list(value) or len(value) != 2:
        return False
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in value):
        return False
    return -float("inf") < value[0] < value[1] < float("inf")
