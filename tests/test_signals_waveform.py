import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import yaml
from support import pictures
from torch import Tensor

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.evaluation.base import EvaluationResult, Predict
from coordnet.evaluation.default import evaluator_for
from coordnet.signals.lines.waveform import Waveform, chirp, sines
from coordnet.training.batches import BatchSampler


def unused(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    raise AssertionError("a waveform is scored on the field")


def evaluate(signal: Waveform, prediction: Tensor, predict: Predict = unused) -> EvaluationResult:
    """Evaluate the field that takes the values `prediction` (n,) at the samples."""
    n = len(prediction)

    def field(coords: Tensor) -> Tensor:
        return prediction[((coords[:, 0] + 1) * n / 2 - 0.5).round().long(), None]

    return evaluator_for(signal).evaluate(signal, field, predict)


@pytest.fixture
def ramp() -> Tensor:
    return torch.arange(1.0, 11.0)


@pytest.mark.parametrize("train_stride, trained", [(1, 10), (2, 5), (3, 4), (10, 1)])
def test_observes_every_train_stride_th_sample_at_its_cell_center(
    ramp: Tensor, train_stride: int, trained: int
) -> None:
    signal = Waveform(ramp, train_stride)
    batch = BatchSampler(signal, None, 0)(0)
    assert signal.num_observations == trained
    assert batch["coords"].shape == batch["value"].shape == (trained, 1)
    torch.testing.assert_close(batch["value"][:, 0], ramp[::train_stride])
    torch.testing.assert_close(batch["coords"], signal.domain.grid()[::train_stride])


def test_values_are_unbounded_and_one_dimensional(ramp: Tensor) -> None:
    signal = Waveform(ramp, 2)
    assert (signal.channels, signal.value_range, signal.domain.size) == (1, None, (10,))
    assert max(signal.domain.nyquist) == 2.5


@pytest.mark.parametrize(
    "train_stride, splits", [(1, {"train"}), (2, {"train", "test"}), (3, {"train", "test", "val"})]
)
def test_nmse_is_zero_for_the_truth_and_one_for_zero(
    ramp: Tensor, train_stride: int, splits: set[str]
) -> None:
    signal = Waveform(ramp, train_stride)
    names = {f"{split}/nmse" for split in splits}
    assert evaluate(signal, ramp).metrics == dict.fromkeys(names, 0.0)
    assert evaluate(signal, torch.zeros(10)).metrics == dict.fromkeys(names, 1.0)
    assert evaluate(signal, torch.zeros(10)).score == -1


@pytest.mark.parametrize("train_stride", [2, 3, 4, 5])
def test_splits_cover_every_sample_once(ramp: Tensor, train_stride: int) -> None:
    signal = Waveform(ramp, train_stride)
    for i in range(10):
        prediction = ramp.clone()
        prediction[i] = 0
        wrong = [name for name, value in evaluate(signal, prediction).metrics.items() if value > 0]
        split = {0: "train", train_stride // 2: "test"}.get(i % train_stride, "val")
        assert wrong == [f"{split}/nmse"]


@pytest.mark.parametrize("train_stride, scored", [(1, "train"), (2, "train"), (3, "val"), (4, "val")])
def test_score_never_reads_the_test_samples(ramp: Tensor, train_stride: int, scored: str) -> None:
    signal = Waveform(ramp, train_stride)
    prediction = ramp + torch.linspace(0.1, 1.0, 10)
    evaluation = evaluate(signal, prediction)
    assert evaluation.score == -evaluation.metrics[f"{scored}/nmse"]


def test_picture_is_rgb(ramp: Tensor) -> None:
    picture = pictures(evaluate(Waveform(ramp), ramp))["target | prediction"]
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3


def test_sines_have_their_amplitude_and_phase_at_their_bin_and_nothing_elsewhere() -> None:
    frequencies, amplitudes, phases = (3, 20, 41), (1.0, 0.25, 2.0), (0.0, 0.3, 0.9)
    n = 128
    z = sines(n, 1, frequencies, amplitudes, phases).values[:, 0].double().numpy()
    # Bin k of samples at t = (i + 1/2) / n, of A sin(2 pi (k t + phi)): A n/2 exp(i pi (2 phi + k/n - 1/2)).
    expected = np.zeros(n // 2 + 1, complex)
    for k, a, phi in zip(frequencies, amplitudes, phases, strict=True):
        expected[k] = a * np.exp(1j * math.pi * (2 * phi + k / n - 0.5))
    np.testing.assert_allclose(2 / n * np.fft.rfft(z), expected, atol=1e-6)


def test_sines_default_to_rahaman_with_equal_amplitudes() -> None:
    signal = sines()
    amplitude = 2 / 200 * np.abs(np.fft.rfft(signal.values[:, 0].double().numpy()))
    expected = np.zeros(101)
    expected[5:51:5] = 1
    np.testing.assert_allclose(amplitude, expected, atol=1e-5)
    assert signal.num_observations == 200


def sine_metrics(prediction: Tensor, signal: Waveform) -> dict[str, float]:
    metrics = evaluate(signal, prediction).metrics
    return {name: value for name, value in metrics.items() if name.startswith("sine_")}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.5, -1.0])
def test_a_share_of_the_sines_has_that_amplitude_and_the_squared_rest_as_error(share: float) -> None:
    signal = sines(64, 1, (3, 20), (1.0, 0.25))
    expected = {f"sine_error/k{k}": (1 - share) ** 2 for k in ("003", "020")}
    expected |= {f"sine_amplitude/k{k}": abs(share) for k in ("003", "020")}
    assert sine_metrics(share * signal.values[:, 0], signal) == pytest.approx(expected, abs=1e-6)


def test_a_missing_sine_is_an_error_of_one_there_and_of_none_elsewhere() -> None:
    signal = sines(64, 1, (3, 9, 20), phases=(0.1, 0.2, 0.3))
    without = sines(64, 1, (3, 20), phases=(0.1, 0.3)).values[:, 0]
    expected = {"sine_error/k003": 0, "sine_error/k009": 1, "sine_error/k020": 0}
    expected |= {"sine_amplitude/k003": 1, "sine_amplitude/k009": 0, "sine_amplitude/k020": 1}
    assert sine_metrics(without, signal) == pytest.approx(expected, abs=1e-6)


def test_sines_are_scored_on_the_training_samples_alone() -> None:
    signal = sines(60, 3, (2, 5))
    prediction = torch.full((60,), 7.0)
    prediction[::3] = signal.values[::3, 0]
    assert sine_metrics(prediction, signal)["sine_error/k005"] == pytest.approx(0, abs=1e-9)


def test_a_sine_without_amplitude_is_not_scored_and_one_given_twice_is_scored_once() -> None:
    signal = sines(64, 1, (3, 7.5, 9, 3), (1, 1, 0, 1), (0, 0, 0, 0))
    names = {"sine_error/k003", "sine_error/k007.5", "sine_amplitude/k003", "sine_amplitude/k007.5"}
    assert set(sine_metrics(signal.values[:, 0], signal)) == names


def test_a_diverged_prediction_is_scored_as_not_finite() -> None:
    signal = sines()
    assert math.isnan(evaluate(signal, signal.values[:, 0] * math.nan).score)


def test_sines_phases_follow_the_seed() -> None:
    assert torch.equal(sines(seed=1).values, sines(seed=1).values)
    assert not torch.equal(sines(seed=1).values, sines(seed=2).values)


@pytest.mark.parametrize("start, stop", [(4.0, 60.0), (60.0, 4.0), (0.0, 30.0), (16.0, 16.0)])
def test_chirp_frequency_is_linear_across_the_domain(start: float, stop: float) -> None:
    n = 8192
    z = chirp(n, 1, start, stop).values[:, 0].double().numpy()
    t = (np.arange(n) + 0.5) / n
    i = np.flatnonzero(np.sign(z[:-1]) != np.sign(z[1:]))
    zeros = t[i] + (t[i + 1] - t[i]) * z[i] / (z[i] - z[i + 1])
    half_periods = [(b - a, (a + b) / 2) for a, b in pairwise(zeros)]
    assert len(half_periods) >= 25
    for length, middle in half_periods:
        assert 1 / (2 * length) == pytest.approx(start + (stop - start) * middle, rel=1e-3)


def test_chirp_ends_at_the_training_nyquist_by_default() -> None:
    assert torch.equal(chirp(256, 4).values, chirp(256, 4, stop_frequency=32.0).values)


@pytest.mark.parametrize("function", [sines, chirp])
def test_shipped_config_states_the_defaults(function: type) -> None:
    text = (shipped.config_dir() / "signal" / f"{function.__name__}.yaml").read_text()
    node = yaml.safe_load(text.replace("${seed}", "0"))
    signal = build(node, "signal", allow=["coordnet."])
    assert torch.equal(signal.values, function().values)
    assert signal.train_stride == function().train_stride


@pytest.mark.parametrize(
    "function, options, message",
    [
        (sines, {"num_samples": 1}, r"num_samples=1 must be a whole number from 2 to 2\^20 samples"),
        (sines, {"train_stride": 201}, r"train_stride=201 must be a whole number from 1 to 200 samples"),
        (
            sines,
            {"frequencies": [5, 101]},
            r"frequencies=\[5, 101\] must be a list of numbers from 0 to 100 cycles",
        ),
        (sines, {"frequencies": []}, r"frequencies=\[\] must hold at least one"),
        (sines, {"amplitudes": [1.0]}, r"amplitudes=\[1\.0\] must hold 10 numbers"),
        (sines, {"phases": [0.5, 0.5]}, r"phases=\[0\.5, 0\.5\] must hold 10 numbers"),
        (sines, {"amplitudes": [0] * 10}, r"all values are 0"),
        (sines, {"seed": -1}, r"seed=-1 must be a whole number from 0"),
        (
            chirp,
            {"train_stride": 0},
            r"train_stride=0 must be a whole number from 1 to 2\^20 samples",
        ),
        (
            chirp,
            {"start_frequency": -2.0},
            r"start_frequency=-2\.0 must be a number from 0 to 2\^19 cycles",
        ),
        (chirp, {"stop_frequency": 513.0}, r"stop_frequency=513\.0 must be a number from 0 to 512 cycles"),
    ],
)
def test_bad_options_are_refused_in_one_line(function: type, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        function(**options)
    assert "\n" not in str(caught.value)
