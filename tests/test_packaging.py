"""The wheel holds what an installed coordnet needs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from coordnet.config.shipped import config_dir

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(directory),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(directory.glob("*.whl"))


def test_the_wheel_holds_every_config_and_the_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {f"coordnet/conf/{file.relative_to(config_dir())}" for file in config_dir().rglob("*.yaml")}
    assert len(configs) > 20 and configs <= names
    assert "coordnet/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "scripts"))]


def test_an_unpacked_wheel_finds_its_configs(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from coordnet.config.shipped import config_dir; print(config_dir())"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert Path(result.stdout.strip()) == tmp_path / "coordnet" / "conf"
