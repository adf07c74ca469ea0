"""Runs of released versions are read, and have the values that they had.

The run of the present version is made, or made anew after a change of the format, by

    cd tests && PYTHONPATH=.. python -c "import test_golden; test_golden.make()"
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from support import make_config

from coordnet import __version__
from coordnet.runs import checkpoint
from coordnet.runs.checkpoint import LAST
from coordnet.runs.config_file import CONFIG
from coordnet.runs.directory import read_status
from coordnet.runs.load import load
from coordnet.training.run import resume, start

GOLDEN = Path(__file__).parent / "golden"
VALUES = "values.json"
COORDS = [[-0.9, -0.3], [-0.35, 0.8], [0.0, 0.0], [0.1, -0.7], [0.62, 0.44], [1.0, 1.0]]
STEPS = 300
RUN = (
    *("signal=grating", "signal.size=16", "signal.frequency=1.5", "encoding.scale=2"),
    *("encoding.num_frequencies=8", "network.depth=2", "network.width=8", "optimizer.lr=0.03"),
    *("trainer.batch_size=64", "trainer.precision=float32", "trainer.pictures=end"),
    *(f"max_steps={STEPS}", f"eval_every={STEPS}", "threads=1", "name=golden"),
)


def make(folder: Path = GOLDEN) -> None:
    """Train the run of the present version anew, and keep config, checkpoint and values."""
    made = folder / __version__
    shutil.rmtree(made, ignore_errors=True)
    start(make_config(*RUN), made)
    for path in made.iterdir():
        if path.name not in (CONFIG, "checkpoints"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (made / "checkpoints").iterdir():
        if path.name != LAST:
            path.unlink()
    (made / VALUES).write_text(json.dumps(values(made).tolist()) + "\n")


def values(run: Path) -> torch.Tensor:
    """Values (n, channels) of the field at COORDS."""
    return load(run)(torch.tensor(COORDS))


versions = pytest.mark.parametrize("run", sorted(GOLDEN.iterdir()), ids=lambda run: run.name)


@versions
@pytest.mark.reliability("T08")
def test_the_field_of_an_older_version_has_its_values(run: Path) -> None:
    expected = torch.tensor(json.loads((run / VALUES).read_text()))
    assert expected.max() - expected.min() > 0.5
    # Phases of up to 64 rad are rounded by 2^-19, a share of which gets through two layers and a sigmoid.
    torch.testing.assert_close(values(run), expected, atol=2e-5, rtol=0)


@versions
@pytest.mark.reliability("T08")
def test_a_run_of_an_older_version_goes_on(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / CONFIG
    path.write_text(path.read_text().replace(f"max_steps: {STEPS}", f"max_steps: {STEPS + 2}"))
    resume(tmp_path / "run")
    assert read_status(tmp_path / "run")["status"] == "finished"
    before, after = (
        checkpoint.load_checkpoint(folder / "checkpoints" / LAST) for folder in (run, tmp_path / "run")
    )
    assert (before["global_step"], after["global_step"]) == (STEPS, STEPS + 2)
    moments = before["optimizer_states"][0]["state"][0]["exp_avg"]
    assert moments.any() and after["optimizer_states"][0]["state"][0]["step"] == STEPS + 2


def test_a_golden_run_is_small_and_made_by_the_command(tmp_path: Path) -> None:
    make(tmp_path)
    files = {path.name: path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == {CONFIG, LAST, VALUES}
    assert sum(path.stat().st_size for path in files.values()) < 20_000
    assert torch.equal(values(tmp_path / __version__), torch.tensor(json.loads(files[VALUES].read_text())))
