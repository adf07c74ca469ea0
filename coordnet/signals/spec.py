from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordnet.coords import Domain
from coordnet.errors import UserError, shown

_KEYS = ("size", "train_stride", "resolution", "channels", "value_range", "scene")
_MAX_DIM = 16


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
    scene: None = None

    def state_dict(self) -> dict[str, Any]:
        """The spec as plain values and tensors, for a checkpoint."""
        return {
            "size": list(self.domain.size),
            "train_stride": self.domain.train_stride,
            "resolution": self.domain.resolution,
            "channels": self.channels,
            "value_range": None if self.value_range is None else list(self.value_range),
            "scene": None,
        }

    @classmethod
    def from_state(cls, state: object) -> "SignalSpec":
        """Rebuild a spec from the values that `state_dict` returned.

        Raises:
            UserError: The state lacks a key, or a value is damaged.
        """
        if not isinstance(state, Mapping):
            raise UserError(f"signal spec={shown(state)} must be a mapping")
        missing = [key for key in _KEYS if key not in state]
        if missing:
            raise UserError(f"signal spec lacks {', '.join(missing)}")
        size = state["size"]
        if not (_is_list(size) and 1 <= len(size) <= _MAX_DIM and all(map(_is_count, size))):
            raise _damaged("size", size, f"1 to {_MAX_DIM} whole numbers above 0")
        for key in ("train_stride", "resolution", "channels"):
            if not _is_count(state[key]):
                raise _damaged(key, state[key], "a whole number above 0")
        bounds = state["value_range"]
        if bounds is not None and not _is_range(bounds):
            raise _damaged("value_range", bounds, "two rising numbers, or null")
        if state["scene"] is not None:
            raise _damaged("scene", state["scene"], "null")
        domain = Domain(tuple(size), state["train_stride"], state["resolution"])
        return cls(
            domain, state["channels"], None if bounds is None else (float(bounds[0]), float(bounds[1]))
        )


def _damaged(key: str, value: object, allowed: str) -> UserError:
    return UserError(f"signal spec: {key}={shown(value)} must be {allowed}")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_range(value: Any) -> bool:
    """Whether a value is a pair of finite rising numbers."""
    if not _is_list(value) or len(value) != 2:
        return False
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in value):
        return False
    return -float("inf") < value[0] < value[1] < float("inf")
