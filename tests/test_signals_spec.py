from typing import Any

import pytest
import torch

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.runs.checkpoint import load, save
from coordnet.signals.images.analytic import power_noise
from coordnet.signals.spec import SignalSpec

SPEC = SignalSpec(Domain((6, 4), 2, 8), channels=3, value_range=(0.0, 1.0))


def test_a_signal_describes_itself() -> None:
    signal = power_noise(8, 2)
    assert signal.spec() == SignalSpec(signal.domain, 1, (0.0, 1.0))


@pytest.mark.parametrize("spec", [SPEC, SignalSpec(Domain((5,)), 1, None)])
def test_a_spec_survives_a_checkpoint(spec: SignalSpec, tmp_path: Any) -> None:
    save({"signal": spec.state_dict()}, tmp_path / "last.ckpt")
    assert SignalSpec.from_state(load(tmp_path / "last.ckpt")["signal"]) == spec


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", []),
        ("size", [0]),
        ("size", [2.0]),
        ("size", "66"),
        ("size", 6),
        ("size", [1] * 17),
        ("size", [9, 4]),
        ("train_stride", 0),
        ("train_stride", 9),
        ("resolution", True),
        ("channels", None),
        ("channels", torch.tensor(3)),
        ("value_range", [0.0]),
        ("value_range", [1.0, 0.0]),
        ("value_range", [0.0, float("nan")]),
        ("value_range", ["0", "1"]),
        ("scene", "cube"),
    ],
)
def test_damaged_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(UserError):
        SignalSpec.from_state(SPEC.state_dict() | {key: value})


def test_missing_values_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="signal spec lacks train_stride, channels"):
        SignalSpec.from_state({"size": [2], "resolution": 2, "value_range": None, "scene": None})
    with pytest.raises(UserError, match="must be a mapping"):
        SignalSpec.from_state([1, 2])
