from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from support import make_config

from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.signals.images.fourier_features import fourier_features
from coordnet.signals.images.image import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of one color each, where the signal looks for them."""
    for kind, value in {"natural": 51, "text": 255}.items():
        (tmp_path / kind).mkdir()
        imageio.imwrite(tmp_path / kind / "07.png", np.full((16, 16, 3), value, np.uint8))
    return tmp_path


def load(*overrides: str) -> Image:
    signal = build(make_config("signal=fourier_features", *overrides)["signal"], "signal")
    assert isinstance(signal, Image)
    return signal


@pytest.mark.parametrize("kind, value", [("natural", 0.2), ("text", 1.0)])
def test_kind_and_index_choose_the_file(folder: Path, kind: str, value: float) -> None:
    signal = load(f"signal.folder={folder}", f"signal.kind={kind}", "signal.index=7")
    assert signal.domain.size == (16, 16) and signal.domain.train_stride == 2
    assert (signal.training_grid() == torch.tensor(value)).all()


def test_the_folder_is_found_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "fourier_features").symlink_to(folder)
    monkeypatch.setenv("COORDNET_DATA", str(folder))
    assert load("signal.index=7").channels == 3


def test_a_run_names_the_folder_from_the_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it resumes from anywhere."""
    monkeypatch.chdir(folder)
    node = make_config("signal=fourier_features", "signal.folder=.", "signal.index=7")["signal"]
    assert node["folder"] == str(folder)


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("signal.index=16",), r"signal\.index=16 must be a whole number from 0 to 15"),
        (("signal.index=-1",), r"signal\.index=-1 must"),
        (("signal.kind=noise",), r"signal\.kind='noise' must be"),
        (("signal.index=3",), r"signal\.folder=.* must hold natural/03\.png; COORDNET_DATA names"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        load(f"signal.folder={folder}", *overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["natural", "text"])
def test_the_papers_pictures_are_512_wide_and_all_different(shared_data: Path, kind: str) -> None:
    folder = str(shared_data / "fourier_features")
    pixels = [fourier_features(kind, i, folder).pixels for i in range(16)]  # type: ignore[arg-type]
    assert {tuple(p.shape) for p in pixels} == {(512, 512, 3)}
    assert len({p.numpy().tobytes() for p in pixels}) == 16


def test_the_papers_text_is_on_white_and_its_photographs_are_not(shared_data: Path) -> None:
    folder = str(shared_data / "fourier_features")
    for i in range(16):
        text, natural = (fourier_features(kind, i, folder).pixels for kind in ("text", "natural"))
        assert (text == 255).all(dim=-1).float().mean() > 0.5 > (natural == 255).all(dim=-1).float().mean()


def test_a_crop_is_cut_out(shared_data: Path) -> None:
    folder = str(shared_data / "fourier_features")
    whole = fourier_features("natural", 3, folder)
    part = fourier_features("natural", 3, folder, crop=(10, 20, 74, 52))
    assert torch.equal(part.pixels, whole.pixels[20:52, 10:74])
