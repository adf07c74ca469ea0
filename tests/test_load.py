"""A run is enough: a trained field is loaded and shown without its data, from any directory."""

import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from scene_files import picture, write_scene
from support import SMALL, make_config
from test_transforms import write as write_transforms

import coordnet
from coordnet.config import shipped
from coordnet.errors import UserError
from coordnet.export.image import export_image
from coordnet.export.mesh import density_grid, export_mesh
from coordnet.export.progress_video import export_progress_video
from coordnet.export.turntable import export_turntable
from coordnet.export.view import export_view
from coordnet.reports.report import summary_lines
from coordnet.runs import checkpoint
from coordnet.runs.config_file import CONFIG
from coordnet.runs.directory import RUN_FORMAT
from coordnet.training.prepare import prepare
from coordnet.training.run import start


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("load") / "run"
    start(make_config(*SMALL), directory)
    return directory


def test_a_loaded_run_has_the_trained_field(run: Path) -> None:
    loaded = coordnet.load(run)
    config, model = prepare(make_config(*SMALL))
    model.load_state_dict(checkpoint.load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"])
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
    content = checkpoint.load_checkpoint(run / "checkpoints" / "last.ckpt")
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


TINY = (
    *("encoding=identity", "network.depth=1", "network.width=8", "trainer.batch_size=16", "threads=1"),
    *("max_steps=2", "eval_every=2", "trainer.pictures=end"),
)
SCENE = (
    *("encoding=vector_matrix", "encoding.resolution=4", "encoding.num_features=2", "radiance=small"),
    *("radiance.color_network.depth=1", "radiance.color_network.width=8"),
    *("forward_map=hierarchical", "forward_map.num_samples=8"),
)
# Options that make a signal small; the data of those with files are made by `make_data`.
OPTIONS = {
    "astronaut": ["signal.resize=[12,10]"],
    "blender": ["signal.path=DATA/scene", *SCENE],
    "ct_phantom": ["signal.size=16", "signal.num_angles=4", "forward_map=line_integral"],
    "fourier_features": ["signal.resize=[12,10]"],
    "image": ["signal.path=DATA/a.png"],
    "lego": ["signal.downscale=1", *SCENE],
    "multiscale": ["signal.path=DATA/a.png"],
    "photo": ["signal.resize=[12,10]"],
    "scene": [
        "signal.size=8",
        "signal.num_views=3",
        "signal.num_eval_views=1",
        "signal.supersample=1",
        *SCENE,
    ],
    "transforms": ["signal.path=DATA/transforms", *SCENE],
}
SIGNALS = sorted(file.stem for file in (shipped.config_dir() / "signal").glob("*.yaml"))


def make_data(folder: Path) -> None:
    """Substitutes of all data that shipped signals read."""
    (folder / "transforms").mkdir(parents=True)
    write_transforms(folder / "transforms", 3)
    write_scene(folder / "scene")
    (folder / "nerf_synthetic").mkdir()
    write_scene(folder / "nerf_synthetic" / "lego")
    (folder / "fourier_features" / "natural").mkdir(parents=True)
    pixels = picture(0, (16, 12), channels=3)
    for file in (folder / "a.png", folder / "fourier_features" / "natural" / "00.png"):
        imageio.imwrite(file, pixels)


def shown(directory: Path, output: Path) -> dict[str, np.ndarray]:
    """All that the commands show of a run."""
    output.mkdir()
    run = coordnet.load(directory)
    domain = run.spec.domain
    coords = 2 * torch.rand(64, domain.dim, generator=torch.Generator().manual_seed(0)) - 1
    found = {"values": run(coords).numpy()}
    if run.spec.scene is not None:
        split = "val" if "val" in run.spec.scene.cameras else "train"
        for file in export_view(run, 0, split, 2.0, output / "view.png", depth=True):
            found[file.name] = imageio.imread(file)
        found["turntable"] = imageio.imread(
            export_turntable(run, num_frames=2, output=output / "a.gif"), index=None
        )
        density = density_grid(run.field, 8)
        file = export_mesh(run, 8, float(density.min() + density.max()) / 2, output / "a.ply")
        found["mesh"] = np.frombuffer(file.read_bytes(), np.uint8)
    elif domain.dim == 2:
        found["image"] = imageio.imread(export_image(run, 1.5, output=output / "a.png"))
    if list((directory / "images").glob("target-prediction*")):
        found["film"] = imageio.imread(export_progress_video(directory, output / "film.gif"), index=None)
    found["report"] = np.array(" ".join(summary_lines(directory)).replace(str(directory), "RUN"))
    return found


@pytest.mark.reliability("T08")
@pytest.mark.parametrize(
    "name, overrides",
    [(name, OPTIONS.get(name, [])) for name in SIGNALS]
    + [("image", [*OPTIONS["image"], f"baseline={mode}"]) for mode in ("bilinear", "bicubic")],
)
def test_every_signal_is_shown_without_its_data(
    name: str, overrides: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pixels and vertices of before, after the data are gone and the directory has another name."""
    data = tmp_path / "data"
    make_data(data)
    monkeypatch.setenv("COORDNET_DATA", str(data))
    options = [override.replace("DATA", str(data)) for override in overrides]
    start(make_config(f"signal={name}", *TINY, *options), tmp_path / "run")
    before = shown(tmp_path / "run", tmp_path / "before")
    shutil.move(data, tmp_path / "elsewhere")
    monkeypatch.delenv("COORDNET_DATA")
    shutil.move(tmp_path / "run", tmp_path / "copied" / "renamed")
    after = shown(tmp_path / "copied" / "renamed", tmp_path / "after")
    assert before.keys() == after.keys()
    for key in before:
        assert np.array_equal(before[key], after[key]), key
