from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scene_files import write_scene

from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.runs.checkpoint import load_checkpoint, save
from coordnet.signals.images.analytic import power_noise
from coordnet.signals.scenes.blender import blender
from coordnet.signals.spec import SceneSpec, SignalSpec
from coordnet.signals.synthetic.synthetic_scene import synthetic_scene

SPEC = SignalSpec(Domain((6, 4), 2, 8), channels=3, value_range=(0.0, 1.0))


def test_a_signal_describes_itself() -> None:
    signal = power_noise(8, 2)
    assert signal.spec() == SignalSpec(signal.domain, 1, (0.0, 1.0))


@pytest.mark.parametrize("spec", [SPEC, SignalSpec(Domain((5,)), 1, None)])
def test_a_spec_survives_a_checkpoint(spec: SignalSpec, tmp_path: Any) -> None:
    save({"signal": spec.state_dict()}, tmp_path / "last.ckpt")
    assert SignalSpec.from_state(load_checkpoint(tmp_path / "last.ckpt")["signal"]) == spec


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


# Scenes


@pytest.fixture
def scene_spec() -> SceneSpec:
    scene = synthetic_scene("checker", size=8, num_views=2, num_eval_views=1, supersample=1).spec().scene
    assert scene is not None
    cameras = replace(scene.cameras["train"], distortion=torch.full((2, 5), 0.01))
    return replace(scene, cameras={**scene.cameras, "train": cameras})


def test_a_scene_describes_itself_by_the_names_of_its_files(tmp_path: Path) -> None:
    signal = blender(str(write_scene(tmp_path)), center=[1.0, 0.0, -1.0], half_size=2, background="black")
    scene = signal.spec().scene
    assert scene is not None
    assert scene.names == {
        "train": tuple(f"train/r_{i}" for i in range(3)),
        "val": ("val/r_0", "val/r_1"),
    }
    assert scene.center.tolist() == [1, 0, -1] and scene.half_size == 2.0
    assert scene.background.tolist() == [0, 0, 0]
    assert scene.cameras["val"] is signal.held_out["val"].cameras


def test_a_scene_survives_a_checkpoint(scene_spec: SceneSpec, tmp_path: Path) -> None:
    spec = SignalSpec(Domain((8, 8, 8)), 3, (0.0, 1.0), scene_spec)
    save({"signal": spec.state_dict()}, tmp_path / "last.ckpt")
    found = SignalSpec.from_state(load_checkpoint(tmp_path / "last.ckpt")["signal"])
    assert found.scene is not None and found.domain == spec.domain
    assert torch.equal(found.scene.center, scene_spec.center)
    assert torch.equal(found.scene.background, scene_spec.background)
    assert (found.scene.half_size, found.scene.names) == (scene_spec.half_size, scene_spec.names)
    assert found.scene.cameras.keys() == scene_spec.cameras.keys()
    for split, cameras in scene_spec.cameras.items():
        restored = found.scene.cameras[split]
        assert restored.size == cameras.size
        assert torch.equal(restored.poses, cameras.poses) and torch.equal(restored.focal, cameras.focal)
        assert torch.equal(restored.center, cameras.center)
        assert (restored.distortion is None) == (cameras.distortion is None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("center", [0.0, 0.0, 0.0]),
        ("center", torch.zeros(3)),
        ("center", torch.full((3,), torch.nan, dtype=torch.float64)),
        ("half_size", 0.0),
        ("half_size", float("inf")),
        ("half_size", None),
        ("background", torch.full((3,), 2.0)),
        ("background", torch.zeros(4)),
        ("cameras", {}),
        ("cameras", [1]),
        ("names", {"train": ["a", "b"]}),
        ("names", {"train": ["a"], "val": ["b"]}),
        ("names", {"train": [1, 2], "val": ["b"]}),
        ("names", {"train": "ab", "val": ["b"]}),
    ],
)
def test_a_damaged_scene_is_refused(scene_spec: SceneSpec, key: str, value: object) -> None:
    with pytest.raises(UserError, match="signal spec: scene"):
        SceneSpec.from_state(scene_spec.state_dict() | {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("poses", torch.zeros(0, 3, 4)),
        ("poses", torch.zeros(2, 3, 4)),
        ("poses", torch.eye(4)[:3].expand(2, 3, 4).double()),
        ("poses", None),
        ("focal", torch.zeros(2, 2)),
        ("focal", torch.ones(1, 2)),
        ("center", torch.full((2, 2), torch.inf)),
        ("size", [8, 0]),
        ("size", [8]),
        ("size", [8.0, 8.0]),
        ("distortion", torch.zeros(2, 4)),
    ],
)
def test_damaged_cameras_are_refused(scene_spec: SceneSpec, key: str, value: object) -> None:
    state = scene_spec.state_dict()
    state["cameras"]["train"] |= {key: value}
    with pytest.raises(UserError, match=f"signal spec: scene.cameras.train.{key}"):
        SceneSpec.from_state(state)


@pytest.mark.parametrize("key", ["center", "half_size", "background", "cameras", "names"])
def test_missing_values_of_a_scene_are_refused_by_name(scene_spec: SceneSpec, key: str) -> None:
    state = scene_spec.state_dict()
    del state[key]
    with pytest.raises(UserError, match=f"signal spec: scene lacks {key}"):
        SceneSpec.from_state(state)
