"""A run is enough: a trained field is loaded and shown without its data, from any directory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import SMALL, make_config

import coordnet
from coordnet.errors import UserError
from coordnet.runs import checkpoint
from coordnet.runs.config_file import CONFIG
from coordnet.runs.directory import RUN_FORMAT
from coordnet.training.run import prepare, start


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("load") / "run"
    start(make_config(*SMALL), directory)
    return directory


def test_a_loaded_run_has_the_trained_field(run: Path) -> None:
    loaded = coordnet.load(run)
    config, model = prepare(make_config(*SMALL))
    model.load_state_dict(checkpoint.load(run / "checkpoints" / "last.ckpt")["state_dict"])
    coords = model.batches.signal.domain.grid()
    with torch.no_grad():
        expected = model.field(coords)
    assert torch.equal(loaded(coords), expected)
    assert torch.equal(loaded.predict({"coords": coords})["value"], expected)
    assert not loaded.field.training and not loaded.forward_map.training
    assert loaded.spec == model.batches.signal.spec() and loaded.step == 12
    assert {**loaded.config, "trainer": 0} == {**config, "trainer": 0}


def test_loading_leaves_the_generators_of_the_caller(run: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    coordnet.load(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_field_can_be_placed_on_another_device(run: Path) -> None:
    loaded = coordnet.load(run, device="meta")
    assert {parameter.device.type for parameter in loaded.field.parameters()} == {"meta"}


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_baseline_is_loaded_with_its_planes(tmp_path: Path, mode: str) -> None:
    config = make_config(*SMALL, f"baseline={mode}")
    start(config, tmp_path / "run")
    field = prepare(config)[1].field
    coords = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    for name in ("last", "best"):
        loaded = coordnet.load(tmp_path / "run", name)  # type: ignore[arg-type]
        assert torch.equal(loaded(coords), field(coords))


def test_each_mistake_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no run: it has no config\.yaml$"):
        coordnet.load(tmp_path)
    with pytest.raises(UserError, match=r"^checkpoint='first' must be last, previous or best$"):
        coordnet.load(run, "first")  # type: ignore[arg-type]
    (tmp_path / CONFIG).write_text((run / CONFIG).read_text().replace(f"format: {RUN_FORMAT}\n", ""))
    with pytest.raises(UserError, match=r"config\.yaml has format 1; this version reads format 2$"):
        coordnet.load(tmp_path)
    (tmp_path / CONFIG).write_text((run / CONFIG).read_text())
    with pytest.raises(UserError, match=r"^checkpoint [^\n]*last\.ckpt does not exist$"):
        coordnet.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    content = checkpoint.load(run / "checkpoints" / "last.ckpt")
    for key, damaged, message in (
        ("spec", None, "signal spec=None must be a mapping"),
        ("config", {**content["config"], "encoding": {"_target_": "os.system"}}, r"--allow os\."),
        ("state_dict", {}, "does not fit the run's config"),
    ):
        checkpoint.save({**content, key: damaged}, tmp_path / "checkpoints" / "last.ckpt")
        with pytest.raises(UserError, match=message) as error:
            coordnet.load(tmp_path)
        assert "\n" not in str(error.value)
    checkpoint.save({"state_dict": {}}, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match="lacks config, spec, global_step"):
        coordnet.load(tmp_path)


def test_the_public_names_are_there_and_imported_late() -> None:
    for name in coordnet.__all__:
        assert getattr(coordnet, name) is not None and name in dir(coordnet)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        coordnet.nothing  # noqa: B018
    code = (
        "import sys, coordnet; print('torch' in sys.modules); coordnet.Domain; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_loading_needs_no_lightning(run: Path) -> None:
    code = f"import sys, coordnet; coordnet.load({str(run)!r}); print('lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
