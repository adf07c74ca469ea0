"""The tangent kernel while a field trains: what it leaves, and that training does not notice."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support import SMALL, make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_resume import same

from coordnet.diagnostics import ntk
from coordnet.errors import UserError
from coordnet.runs import checkpoint
from coordnet.runs.config_file import read_config
from coordnet.runs.directory import write_status
from coordnet.runs.load import load
from coordnet.training.assemble import assemble
from coordnet.training.callbacks.ntk import _even_index, in_double, why_not_predicted
from coordnet.training.prepare import prepare
from coordnet.training.run import resume, start

NTK = ("callbacks=[ntk]", "callbacks.ntk.points=20", "callbacks.ntk.steps=[7]", "schedule=constant")
LINE = (
    *(
        "signal=power_noise_1d",
        "signal.num_samples=64",
        "signal.train_stride=4",
        "network.width=16",
        "threads=1",
    ),
    *("optimizer=sgd", "schedule=constant", "trainer.batch_size=null", "trainer.precision=float32"),
    *(
        "max_steps=40",
        "eval_every=40",
        "trainer.pictures=end",
        "callbacks=[ntk]",
        "callbacks.ntk.points=16",
        "callbacks.ntk.steps=[5]",
    ),
)


def last(directory: Path) -> dict[str, Any]:
    return checkpoint.load_checkpoint(directory / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kernel") / "run"
    start(make_config(*SMALL, *NTK), directory)
    return directory


def test_a_run_leaves_the_kernel_of_the_first_the_last_and_the_chosen_steps(watched: Path) -> None:
    files = sorted(file.name for file in watched.glob("ntk-*"))
    assert files == [f"ntk-{step:07d}.npz" for step in (0, 7, 12)]
    pictures = sorted(file.name for file in (watched / "images").glob("ntk-*"))
    assert pictures == [f"ntk-{step:07d}.png" for step in (0, 7, 12)]


@pytest.mark.parametrize("encoding", ["grid", "learnable"])
def test_a_trained_encoding_is_measured_too(encoding: str, tmp_path: Path) -> None:
    overrides = ("callbacks=[ntk]", "callbacks.ntk.points=6", f"encoding={encoding}", "max_steps=2")
    start(make_config(*SMALL, *overrides), tmp_path / "run")
    assert len(list((tmp_path / "run").glob("ntk-*.npz"))) == 2


def test_the_file_holds_the_kernel_of_the_weights_at_its_step(watched: Path) -> None:
    record = np.load(watched / "ntk-0000012.npz", allow_pickle=False)
    model = load(watched)
    signal = prepare(read_config(watched))[1].batches.signal
    batch = signal.get_batch(_even_index(signal.num_observations, 20))
    assert np.array_equal(record["coords"], batch["coords"])
    kernel = ntk.tangent_kernel(in_double(model.field), batch["coords"].double())
    np.testing.assert_allclose(record["kernel"], kernel, rtol=1e-6)
    np.testing.assert_allclose(record["eigenvalues"], ntk.eigendecomposition(kernel).eigenvalues, rtol=1e-9)
    assert record["energy"].sum() == pytest.approx(1)
    with torch.no_grad():
        residual = model.field(batch["coords"]) - batch["value"]
    np.testing.assert_allclose(record["residual"], residual, atol=1e-6)
    assert record["mse"] == pytest.approx(float(residual.square().mean()), rel=1e-5)
    assert "predicted_mse" not in np.load(watched / "ntk-0000000.npz")


def test_tensorboard_has_the_numbers_and_the_picture(watched: Path) -> None:
    events = EventAccumulator(str(watched / "tb"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in events.Images("ntk")] == [0, 7, 12]
    for event in events.Scalars("ntk/effective_rank"):
        eigenvalues = np.load(watched / f"ntk-{event.step:07d}.npz")["eigenvalues"]
        assert event.value == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-6)


def test_training_does_not_notice(watched: Path, tmp_path: Path) -> None:
    start(make_config(*SMALL, "schedule=constant", "trainer.pictures=end"), tmp_path / "plain")
    assert same(last(watched)["state_dict"], last(tmp_path / "plain")["state_dict"])
    assert same(last(watched)["optimizer_states"], last(tmp_path / "plain")["optimizer_states"])
    assert not list((tmp_path / "plain").glob("ntk-*"))


def test_a_resumed_run_has_the_kernels_of_one_that_never_stopped(watched: Path, tmp_path: Path) -> None:
    shutil.copytree(watched, tmp_path / "run")
    earlier = make_config(*SMALL, *NTK, "max_steps=5", "trainer.pictures=end")
    start(earlier, tmp_path / "earlier")
    shutil.copy(tmp_path / "earlier" / "checkpoints" / "last.ckpt", tmp_path / "run" / "checkpoints")
    for step in (7, 12):
        (tmp_path / "run" / f"ntk-{step:07d}.npz").write_bytes(b"cut short")
    write_status(tmp_path / "run", "killed")
    resume(tmp_path / "run")
    for file in watched.glob("ntk-*"):
        straight, resumed = np.load(file), np.load(tmp_path / "run" / file.name)
        assert all(np.array_equal(straight[name], resumed[name]) for name in straight.files), file.name
    picture = "images/ntk-0000012.png"
    assert (tmp_path / "run" / picture).read_bytes() == (watched / picture).read_bytes()


def test_the_loss_of_a_linear_readout_is_the_predicted_one(tmp_path: Path) -> None:
    start(make_config(*LINE, "encoding=harmonic", "network.depth=0", "optimizer.lr=0.3"), tmp_path / "run")
    first = np.load(tmp_path / "run" / "ntk-0000000.npz")
    assert [file.name for file in (tmp_path / "run" / "images").glob("ntk-*")] == ["ntk-0000040.png"]
    assert {0, 5, 40} <= set(first["predicted_steps"].tolist())
    for step in (0, 5, 40):
        measured = np.load(tmp_path / "run" / f"ntk-{step:07d}.npz")["mse"]
        predicted = first["predicted_mse"][first["predicted_steps"] == step].item()
        assert measured == pytest.approx(predicted, rel=1e-3), step
    assert first["predicted_mse"][-1] < first["predicted_mse"][0] / 2


def test_a_learning_rate_beyond_the_stable_one_is_not_predicted(tmp_path: Path) -> None:
    config = make_config(*LINE, "encoding=harmonic", "network.depth=0", "optimizer.lr=50", "max_steps=1")
    start(config, tmp_path / "run")
    assert "predicted_mse" not in np.load(tmp_path / "run" / "ntk-0000000.npz")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([], None),
        (["optimizer.momentum=0.9"], "SGD has momentum"),
        (["optimizer=adam"], "the optimizer is Adam, not plain SGD"),
        (["schedule=cosine"], "the learning rate changes (it needs schedule=constant)"),
        (
            ["trainer.batch_size=16"],
            "a batch is not all observations (it needs trainer.batch_size=null)",
        ),
        (["callbacks.ntk.points=15"], "15 points are not all 16 observations"),
        (["encoding=coarse_to_fine"], "the field changes with time by itself"),
    ],
)
def test_why_a_loss_is_not_predicted(overrides: list[str], reason: str | None) -> None:
    config = make_config(*LINE, *overrides)
    model = assemble(config)
    configured = model.configure_optimizers()
    scheduler = SimpleNamespace(scheduler=configured["lr_scheduler"]["scheduler"])
    trainer: Any = SimpleNamespace(optimizers=[configured["optimizer"]], lr_scheduler_configs=[scheduler])
    assert why_not_predicted(trainer, model, config["callbacks"]["ntk"]["points"]) == reason


def test_without_training_there_is_the_kernel_of_the_first_step(tmp_path: Path) -> None:
    start(make_config(*SMALL, *NTK, "max_steps=0"), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").glob("ntk-*")] == ["ntk-0000000.npz"]


def test_a_baseline_has_no_kernel(tmp_path: Path) -> None:
    start(make_config(*SMALL, *NTK, "baseline=bilinear"), tmp_path / "run")
    assert not list((tmp_path / "run").glob("ntk-*"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["callbacks.ntk.points=-1"], r"ntk\.points=-1 must be a whole number from 1 to 4096"),
        (["callbacks.ntk.points=5000"], r"ntk\.points=5000 must be a whole number"),
        (["callbacks.ntk.points=many"], r"ntk\.points='many' must be a whole number"),
        (
            ["callbacks.ntk.steps=[1,-2]"],
            r"ntk\.steps=\[1, -2\] must be a list of whole numbers from 0 to 1000000000",
        ),
        (["callbacks.ntk.steps=5"], r"ntk\.steps=5 must be a list"),
        (["+callbacks.ntk.at=5"], r"callbacks\.ntk\.at is unknown"),
        (
            ["callbacks.ntk.points=385"],
            r"ntk\.points=385 must be at most the 384 observations of this signal",
        ),
        (
            ["callbacks.ntk.points=1", "signal=ct_phantom", "forward_map=line_integral"],
            "needs a field that is observed directly",
        ),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(overrides: list[str], said: str) -> None:
    small = [
        option for option in SMALL if not option.startswith("signal") or "signal=ct_phantom" not in overrides
    ]
    with pytest.raises(UserError, match=said) as error:
        prepare(make_config(*small, "callbacks=[ntk]", *overrides))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("total", "points"), [(7, 7), (100, 3), (384, 20)])
def test_points_are_different_and_spread_evenly(total: int, points: int) -> None:
    index = _even_index(total, points)
    assert len(index) == points and index[0] == 0 and index[-1] < total
    gaps = index.diff()
    assert gaps.min() >= total // points and gaps.max() <= -(-total // points)
