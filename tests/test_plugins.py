"""Everything that can be chosen can be added from another package: one class or function and one yaml file each."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import SMALL, coordnet, make_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from coordnet.cli.main import main
from coordnet.training.run import start

MODULE = '''
from typing import Annotated

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.evaluation.base import EvaluationResult, Evaluator
from coordnet.evaluation.media import Picture
from coordnet.forward_maps.base import ForwardMap
from coordnet.networks.base import Network
from coordnet.options import Range, validate_ranges
from coordnet.signals.base import Signal


class Ramp(Signal):
    """Values that grow along x."""

    channels, value_range, num_observations = 1, (0.0, 1.0), 64

    @validate_ranges
    def __init__(self, slope: Annotated[float, Range(0, 1)] = 0.5) -> None:
        self.domain = Domain((8, 8))
        self.coords = self.domain.grid().reshape(-1, 2)
        self.values = 0.5 + 0.5 * slope * self.coords[:, :1]

    def get_batch(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"coords": self.coords[index], "value": self.values[index]}


class Squares(Encoding):
    """x and x squared."""

    def __init__(self, domain: Domain, gain: float = 1.0) -> None:
        super().__init__()
        self.in_dim, self.out_dim, self.gain = domain.dim, 2 * domain.dim, gain

    def forward(self, coords: torch.Tensor) -> torch.Tensor:
        return torch.cat([coords, self.gain * coords**2], -1)


class Linear(Network):
    """One layer."""

    bfloat16_safe = False

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(in_dim, out_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)

    def output_activation(self, raw: torch.Tensor) -> torch.Tensor:
        return raw.sigmoid()


class Doubled(ForwardMap):
    """The mean of two queries of the field."""

    required_keys = ("coords",)

    def forward(self, field, batch):
        return {"value": (field(batch["coords"]) + field(batch["coords"])) / 2}


class Points(Evaluator):
    """Scores the observations."""

    def evaluate(self, signal, field, predict):
        batch = signal.get_batch(torch.arange(signal.num_observations))
        value = predict(batch)["value"]
        metrics = {f"train/{name}": metric(value, batch["value"]) for name, metric in self.metrics.items()}

        def make_media():
            pixels = (255 * value.reshape(8, 8, 1)).to(torch.uint8).expand(-1, -1, 3).numpy()
            return {"ramp": Picture(np.ascontiguousarray(pixels))}

        error = float((value - batch["value"]).square().mean())
        return EvaluationResult({"train/error": error, **metrics}, make_media, -error)


def cubic(prediction, batch, field):
    return (prediction["value"] - batch["value"]).abs().pow(3).mean()


def worst(prediction: torch.Tensor, target: torch.Tensor) -> float:
    return float((prediction - target).abs().max())


class Counter(L.Callback):
    def __init__(self, path: str) -> None:
        self.path = path

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        with open(self.path, "w") as file:
            file.write(str(trainer.global_step))


def csv_logger(save_dir) -> CSVLogger:
    return CSVLogger(save_dir, name="", version="mine")


def descent(params, lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=lr)


def halved(optimizer):
    return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5)
'''

TARGETS = {
    "signal/ramp": "Ramp",
    "encoding/squares": "Squares",
    "network/linear": "Linear",
    "forward_map/doubled": "Doubled",
    "evaluator/observations": "Points",
    "optimizer/descent": "descent",
    "schedule/halved": "halved",
}
NAMED = {
    "loss/cubic": "cubic",
    "metric/worst": "worst",
    "callbacks/counter": "Counter",
    "logger/mine": "csv_logger",
}
ABLATION = """
# @package _global_
defaults:
  - override /signal: ramp
  - override /network: linear
  - override /metric: [worst]
name: slopes
hydra:
  sweeper:
    variants:
      flat: [encoding=squares, +signal.slope=0.1]
      steep: [encoding=squares, +signal.slope=0.9]
"""
SHORT = ("max_steps=4", "eval_every=2", "threads=1", "trainer.batch_size=16", "trainer.log_every_n_steps=1")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current directory with a package of modules, and a directory of configs for them."""
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "things.py").write_text(MODULE)
    for option, target in {**TARGETS, **NAMED}.items():
        name = option.split("/")[1]
        text = f"_target_: elsewhere.things.{target}\n"
        if option in NAMED:
            more = {"counter": "  path: counted\n", "cubic": "  weight: 1.0\n"}.get(name, "")
            text = f"{name}:\n  {text}{more}"
        file = tmp_path / "my_conf" / f"{option}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "my_conf" / "ablation").mkdir()
    (tmp_path / "my_conf" / "ablation" / "slopes.yaml").write_text(ABLATION.lstrip())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coordnet"])
    yield tmp_path
    for name in ("elsewhere.things", "elsewhere"):
        sys.modules.pop(name, None)


def test_one_of_each_from_another_package_trains_together(place: Path) -> None:
    chosen = [option.replace("/", "=") for option in TARGETS]
    words = ["loss=[mse,cubic]", "metric=[worst]", "callbacks=[counter]", "logger=[tensorboard,mine]"]
    command = ["train", *chosen, *words, "loss.cubic.weight=0.5", *SHORT, "hydra.run.dir=run"]
    assert main([*command, "--config-dir", "my_conf"]) == 2, "no package is trusted without --allow"
    assert main([*command, "--config-dir", "my_conf", "--allow", "elsewhere."]) == 0
    run = place / "run"
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["0", "2", "4"]
    assert all(float(rows[-1][name]) > 0 for name in ("train/worst", "train/error", "loss/cubic"))
    assert (place / "counted").read_text() == "4"
    assert list((run / "images").glob("ramp-*.png"))
    assert (run / "mine" / "metrics.csv").is_file()
    events = EventAccumulator(str(run / "tb")).Reload()
    tags = events.Tags()
    assert {"loss/cubic", "loss/mse", "train/worst"} <= set(tags["scalars"]), tags["scalars"]
    assert "ramp" in tags["images"]


def test_an_ablation_from_another_directory_sweeps(place: Path) -> None:
    done = coordnet(
        *("train", "ablation=slopes", "--config-dir", "my_conf", "--allow", "elsewhere."),
        *(*SHORT, "hydra.sweep.dir=sweep"),
        cwd=place,
    )
    assert done.returncode == 0, done.stderr
    jobs = json.loads((place / "sweep" / "sweep.json").read_text())["jobs"]
    assert [job["label"] for job in jobs] == ["flat", "steep"]
    assert all("train/worst" in (place / "sweep" / job["run"] / "metrics.csv").read_text() for job in jobs)


def test_options_from_another_package_are_checked_by_their_signatures(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "signal=ramp", "--config-dir", "my_conf", "--allow", "elsewhere."]
    assert main([*command, "+signal.slope=2"]) == 2
    assert "signal.slope=2 must be a number from 0 to 1" in capsys.readouterr().err
    assert main([*command, "+signal.slop=1"]) == 2
    assert "signal.slop is unknown; did you mean slope?" in capsys.readouterr().err


def test_a_checkpoint_callback_of_lightning_can_be_chosen(tmp_path: Path) -> None:
    config = make_config(*SMALL, "max_steps=6", "eval_every=2", "trainer.pictures=end")
    config["callbacks"]["best"] = {
        "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
        "dirpath": str(tmp_path / "best"),
        "monitor": "val/psnr",
        "mode": "max",
    }
    config["signal"]["train_stride"] = 2
    start(config, tmp_path / "run", ["lightning."])
    assert len(list((tmp_path / "best").glob("*.ckpt"))) == 1
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
