"""Evaluators: the choice by the kind of signal, further metrics by config, and the evaluator of any signal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support import SMALL, make_config, pictures
from torch import Tensor

from coordnet.config import shipped
from coordnet.coords import Domain
from coordnet.errors import UserError
from coordnet.evaluation import points as points_module
from coordnet.evaluation.base import Evaluator, Metric
from coordnet.evaluation.default import evaluator_for
from coordnet.evaluation.image import ImageEvaluator
from coordnet.evaluation.multiscale import MultiscaleEvaluator
from coordnet.evaluation.points import PointEvaluator
from coordnet.evaluation.sequence import SequenceEvaluator
from coordnet.evaluation.sphere import SphereEvaluator
from coordnet.evaluation.tomography import TomographyEvaluator
from coordnet.evaluation.waveform import WaveformEvaluator
from coordnet.metrics.mae import mae
from coordnet.metrics.nmse import nmse
from coordnet.metrics.psnr import psnr
from coordnet.metrics.ssim import ssim
from coordnet.runs import metrics_file
from coordnet.signals.base import Signal
from coordnet.signals.images.analytic import power_noise
from coordnet.signals.images.multiscale import Multiscale
from coordnet.signals.images.tomography import Tomography
from coordnet.signals.lines.sequence import sequence
from coordnet.signals.lines.waveform import sines
from coordnet.signals.synthetic.sphere import Sphere
from coordnet.training.assemble import assemble
from coordnet.training.plugins import build_metrics
from coordnet.training.run import start

EVALUATORS = sorted(file.stem for file in (shipped.config_dir() / "evaluator").glob("*.yaml"))
METRICS = sorted(file.stem for file in (shipped.config_dir() / "metric").glob("*.yaml"))


class Line(Signal):
    """A signal of no shipped kind: the values of a ramp."""

    channels = 1

    def __init__(self, count: int, value_range: tuple[float, float] | None, top: float = 1.0) -> None:
        self.domain = Domain((count,))
        self.num_observations = count
        self.value_range = value_range
        self.values = torch.linspace(0, top, count)[:, None]
        self.batches: list[int] = []

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        self.batches.append(len(index))
        return {"coords": self.domain.grid()[index], "value": self.values[index]}


def unused(coords: Tensor) -> Tensor:
    raise AssertionError("a signal of no shipped kind is scored through the forward map")


def signals() -> list[tuple[Signal, type[Evaluator], set[str]]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (power_noise(24, 3), ImageEvaluator, {"train", "val", "test"}),
        (power_noise(24, 1), ImageEvaluator, {"train"}),
        (Multiscale(torch.rand(16, 16, 3, generator=generator)), MultiscaleEvaluator, {"train", "test"}),
        (Tomography(16, 4), TomographyEvaluator, {"train", "test"}),
        (sines(60, 3, [2, 5]), WaveformEvaluator, {"train", "val", "test"}),
        (sequence(16), SequenceEvaluator, {"train", "interpolation", "extrapolation"}),
        (Sphere(200, 3), SphereEvaluator, {"train", "test"}),
        (Line(20, None), PointEvaluator, {"train"}),
    ]


def constant(signal: Signal, value: float = 0.25) -> Any:
    """The field that has one value everywhere, and its prediction for a batch."""

    def field(coords: Tensor, covariance: Tensor | None = None) -> Tensor:
        return torch.full((*coords.shape[:-1], signal.channels), value)

    return field, lambda batch: {"value": torch.full_like(batch["value"], value)}


@pytest.mark.parametrize("number", range(len(signals())))
def test_each_kind_of_signal_has_its_evaluator_and_metrics_of_each_split(number: int) -> None:
    signal, kind, splits = signals()[number]
    evaluator = evaluator_for(signal, {"mae": mae, "always": lambda prediction, target: 7.0})
    assert type(evaluator) is kind
    evaluator.check_signal(signal)
    plain, more = (each.evaluate(signal, *constant(signal)) for each in (evaluator_for(signal), evaluator))
    # Further metrics follow the evaluator's own metrics, which stay as they are.
    own = list(plain.metrics)
    assert list(more.metrics)[: len(own)] == own
    assert [more.metrics[name] for name in own] == pytest.approx(
        [plain.metrics[name] for name in own], nan_ok=True
    )
    assert set(more.metrics) - set(own) == {
        f"{split}/{name}" for split in splits for name in ("mae", "always")
    }
    assert more.metrics["train/always"] == 7 and more.score == plain.score
    for pixels in pictures(more).values():
        assert pixels.dtype == np.uint8 and pixels.ndim == 3


def test_a_further_metric_is_that_of_the_split() -> None:
    image = power_noise(24, 2)
    metrics = evaluator_for(image, {"mae": mae}).evaluate(image, *constant(image)).metrics
    for split, pixels in (("train", image.pixels[::2, ::2]), ("test", image.pixels[1::2, 1::2])):
        assert metrics[f"{split}/mae"] == pytest.approx(float((pixels - 0.25).abs().mean()), abs=1e-6)


def test_a_further_metric_of_several_scales_is_their_mean() -> None:
    image = Multiscale(torch.rand(16, 16, 1, generator=torch.Generator().manual_seed(0)), (1, 4), (2,))
    metrics = evaluator_for(image, {"mae": mae}).evaluate(image, *constant(image)).metrics
    expected = [float((image.levels[k].values - 0.25).abs().mean()) for k in (1, 4)]
    assert metrics["train/mae"] == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_a_metric_of_images_is_nan_where_a_split_is_no_image() -> None:
    image = power_noise(48, 3)
    metrics = evaluator_for(image, {"ssim": ssim}).evaluate(image, *constant(image)).metrics
    assert np.isnan(metrics["val/ssim"]) and np.isfinite(metrics["test/ssim"])


# Signals of other kinds


@pytest.mark.parametrize(
    ("value_range", "name", "metric"), [((0.0, 1.0), "train/psnr", psnr), (None, "train/nmse", nmse)]
)
def test_any_signal_is_scored_on_its_observations(value_range: Any, name: str, metric: Metric) -> None:
    signal = Line(21, value_range)
    result = evaluator_for(signal).evaluate(
        signal, None, lambda batch: {"value": batch["value"].clone() - 0.1}
    )
    expected = metric(signal.values - 0.1, signal.values)
    assert result.metrics == pytest.approx({name: expected}, abs=1e-4)
    assert result.score == (result.metrics[name] if value_range else -result.metrics[name])
    assert result.grid is None and pictures(result) == {}


def test_many_observations_are_scored_in_chunks_and_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points_module, "_MAX_OBSERVATIONS", 100)
    monkeypatch.setattr(points_module, "_OBSERVATIONS_PER_CHUNK", 32)
    signal = Line(1000, None)
    seen: list[Tensor] = []

    def predict(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append(batch["value"])
        return {"value": batch["value"]}

    assert PointEvaluator().evaluate(signal, unused, predict).metrics == {"train/nmse": 0}
    assert signal.batches == [32, 32, 32, 4]
    assert torch.equal(torch.cat(seen), signal.values[::10])


def test_a_signal_without_energy_is_refused() -> None:
    with pytest.raises(UserError, match="all values are 0"):
        signal = Line(5, None, top=0)
        PointEvaluator().evaluate(signal, *constant(signal))


# By config


@pytest.mark.parametrize("name", METRICS)
def test_shipped_metrics_are_chosen_by_name(name: str, tmp_path: Path) -> None:
    config = make_config(*SMALL, f"metric=[{name}]")
    model = assemble(config)
    assert list(model.evaluator.metrics) == [name]
    target = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0))
    metric: Metric = model.evaluator.metrics[name]
    assert metric(target, target) == pytest.approx({"psnr": np.inf, "ssim": 1}.get(name, 0), abs=1e-6)


def test_metrics_of_a_config_are_written(tmp_path: Path) -> None:
    start(make_config(*SMALL, "metric=[mae,mse]", "max_steps=1"), tmp_path / "run")
    row = metrics_file.read(tmp_path / "run" / metrics_file.NAME)[-1]
    for split in ("train", "val", "test"):
        assert 0 < row[f"{split}/mae"] < 1
        assert row[f"{split}/psnr"] == pytest.approx(-10 * np.log10(row[f"{split}/mse"]), abs=1e-4)


class Power:
    """A metric from outside the package: the mean of a power of the absolute error."""

    def __init__(self, exponent: float = 1.0) -> None:
        self.exponent = exponent

    def __call__(self, prediction: Tensor, target: Tensor) -> float:
        return float((prediction - target).abs().pow(self.exponent).mean())


def test_a_metric_from_outside_is_a_class_or_a_function_with_options() -> None:
    nodes = {
        "cubic": {"_target_": "test_evaluation.Power", "exponent": 3.0},
        "mae": {"_target_": "coordnet.metrics.mae.mae"},
    }
    metrics = build_metrics(nodes, ["test_evaluation."])
    assert metrics["cubic"](torch.full((4,), 3.0), torch.ones(4)) == 8
    assert metrics["mae"](torch.full((4,), 3.0), torch.ones(4)) == 2
    with pytest.raises(UserError, match=r"^metric\.cubic\.power is unknown"):
        build_metrics({"cubic": {"_target_": "test_evaluation.Power", "power": 3.0}}, ["test_evaluation."])


def test_an_evaluator_of_a_config_is_an_evaluator() -> None:
    config = {**make_config(*SMALL), "evaluator": {"_target_": "test_evaluation.NoEvaluator"}}
    with pytest.raises(
        UserError, match=r"^evaluator\._target_=test_evaluation\.NoEvaluator makes no Evaluator$"
    ):
        assemble(config, ["test_evaluation."])


class NoEvaluator:
    def __init__(self, metrics: dict[str, Metric]) -> None:
        self.metrics = metrics


@pytest.mark.parametrize("name", EVALUATORS)
def test_shipped_evaluators_name_a_class_and_refuse_other_signals(name: str) -> None:
    node = yaml.safe_load((shipped.config_dir() / "evaluator" / f"{name}.yaml").read_text())
    config = make_config(*SMALL, f"evaluator={name}")
    assert config["evaluator"] == node
    if name in ("image", "points"):
        assert type(assemble(config).evaluator).__name__ == node["_target_"].rpartition(".")[2]
    else:
        with pytest.raises(UserError, match=r"^evaluator=\w+ must have a signal of the kind \w+, not Image;"):
            assemble(config)


def test_a_run_is_scored_by_the_evaluator_that_the_config_names(tmp_path: Path) -> None:
    start(make_config(*SMALL, "evaluator=points", "max_steps=1"), tmp_path / "run")
    row = metrics_file.read(tmp_path / "run" / metrics_file.NAME)[-1]
    assert {name for name in row if name.endswith("psnr")} == {"train/psnr"}
