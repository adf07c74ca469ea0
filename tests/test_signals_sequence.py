import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import evaluate, make_config, pictures
from torch import Tensor

from coordnet import viz
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.evaluation.base import EvaluationResult
from coordnet.signals.lines.sequence import PositionSequence, sequence, smooth
from coordnet.training.batches import BatchSampler

KINDS = ("smooth", "stepped", "random")
every_kind = pytest.mark.parametrize("kind", KINDS)
METRICS = ("train/nmse", "interpolation/nmse", "extrapolation/nmse")


def unused(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    raise AssertionError("a sequence is scored on the field")


def score(signal: PositionSequence, at_position: Callable[[Tensor], Tensor]) -> EvaluationResult:
    """Evaluate the field with the values `at_position` (n, 1) at positions (n,)."""
    return evaluate(signal, lambda coords: at_position(signal.domain.coords_to_index(coords)[:, 0]), unused)


@every_kind
@pytest.mark.parametrize("num_samples", [2, 3, 8, 100, 4096])
def test_the_truth_scores_zero_everywhere(kind: str, num_samples: int) -> None:
    signal = sequence(num_samples, kind)
    evaluation = score(signal, signal.reference)
    # A position read back from a float32 coordinate is off by up to 1e-3 at 4096, so a value by a few 1e-3.
    assert list(evaluation.metrics) == list(METRICS)
    assert evaluation.metrics == pytest.approx(dict.fromkeys(METRICS, 0.0), abs=1e-5)


@every_kind
@pytest.mark.parametrize("num_samples", [2, 8, 9, 1000])
def test_training_values_have_mean_zero_and_mean_square_one(kind: str, num_samples: int) -> None:
    value = BatchSampler(sequence(num_samples, kind, seed=5), None, 0)(0)["value"].double()
    assert value.shape == (num_samples, 1)
    # Values are rounded to float32.
    assert value.mean() == pytest.approx(0, abs=1e-6)
    assert (value**2).mean() == pytest.approx(1, abs=1e-6)


@every_kind
@pytest.mark.parametrize("constant", [0.0, -0.7])
def test_a_constant_scores_one_and_its_square_on_train(kind: str, constant: float) -> None:
    evaluation = score(sequence(64, kind), lambda position: torch.full((len(position), 1), constant))
    # Values are rounded to float32.
    assert evaluation.metrics["train/nmse"] == pytest.approx(1 + constant**2, abs=1e-5)
    assert evaluation.score == -evaluation.metrics["train/nmse"]


@every_kind
@pytest.mark.parametrize("wrong", METRICS)
def test_each_metric_reads_its_own_points(kind: str, wrong: str) -> None:
    signal = sequence(16, kind, extrapolation=0.5)

    def off_by_two(position: Tensor) -> Tensor:
        whole = (position - position.round()).abs() < 1e-3
        inside = position < 15.01
        places = {
            "train/nmse": inside & whole,
            "interpolation/nmse": inside & ~whole,
            "extrapolation/nmse": ~inside & whole,
        }
        return signal.reference(position) + 2 * places[wrong][:, None]

    expected = dict.fromkeys(METRICS, 0.0) | {wrong: 4.0}
    # Float32 positions are off by 1e-6, values by little more.
    assert score(signal, off_by_two).metrics == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "num_samples, extrapolation, last", [(8, 0.25, 9), (256, 0.25, 319), (2, 0.01, 2), (10, 4, 49)]
)
def test_scored_between_all_neighbors_and_up_to_the_end_of_the_extrapolation(
    num_samples: int, extrapolation: float, last: int
) -> None:
    signal = sequence(num_samples, extrapolation=extrapolation)
    seen: list[Tensor] = []

    def field(coords: Tensor) -> Tensor:
        seen.append(signal.domain.coords_to_index(coords)[:, 0])
        return torch.zeros(len(coords), 1)

    evaluate(signal, field, unused)
    position = torch.cat(seen)
    # Positions of at most 320 are read back from float32 coordinates to within 1e-4.
    whole = (position - position.round()).abs() < 1e-3
    assert position[whole].round().tolist() == list(range(last + 1))
    assert torch.bincount(position[~whole].long()).tolist() == [8] * last


@pytest.mark.parametrize("kind", ["smooth", "stepped"])
def test_the_shape_does_not_depend_on_the_number_of_samples(kind: str) -> None:
    share = torch.linspace(0.001, 1.249, 1000, dtype=torch.float64)
    few, many = (
        sequence(n, kind, seed=2).reference(share * n - 0.5)[:, 0].double().numpy() for n in (512, 4096)
    )
    # Only the shift and the scale that standardize the samples may differ, and those by the error of a 512-point mean.
    assert np.corrcoef(few, many)[0, 1] > 1 - 1e-6
    assert np.abs(few - many).max() < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_a_smooth_sequence_is_four_sines_of_half_a_cycle_to_three(seed: int) -> None:
    """Prony's method: sampled sines obey a linear recurrence whose roots are exp(+-2 pi i k / N)."""
    n = 16
    values = smooth(n, seed)(np.arange(5.0 * n))
    windows = np.lib.stride_tricks.sliding_window_view(values, 9)
    recurrence = np.linalg.svd(windows)[2][-1]
    # Beyond rounding, nothing is left of 80 values that four sines explain.
    assert np.abs(windows @ recurrence).max() < 1e-10
    roots = np.roots(recurrence)
    # Near roots, of sines with nearly the same frequency, are the least certain.
    np.testing.assert_allclose(np.abs(roots), 1, atol=1e-2)
    cycles = np.abs(np.angle(roots)) * n / (2 * math.pi)
    assert cycles.min() > 0.45 and cycles.max() < 3.05


@pytest.mark.parametrize("num_samples", [8, 64, 1000])
def test_a_stepped_sequence_has_eight_steps_with_edges_half_way_between_positions(num_samples: int) -> None:
    signal = sequence(num_samples, "stepped")
    values = signal.reference(torch.arange(num_samples))[:, 0]
    assert values.unique_consecutive(return_counts=True)[1].tolist() == [num_samples // 8] * 8
    edges = torch.arange(1, 10).double() * num_samples / 8 - 0.5
    before, after = signal.reference(edges - 1e-6), signal.reference(edges + 1e-6)
    assert (before != after).all()
    torch.testing.assert_close(before[:8], values[:: num_samples // 8, None], atol=0, rtol=0)


@pytest.mark.parametrize("num_samples", [2, 5, 10, 129])
def test_a_stepped_sequence_is_constant_around_every_position(num_samples: int) -> None:
    signal = sequence(num_samples, "stepped")
    position = torch.arange(num_samples)
    for shift in (-0.499, 0.499):
        assert torch.equal(signal.reference(position + shift), signal.reference(position))


def test_a_random_sequence_is_independent_and_linear_in_between() -> None:
    signal = sequence(4096, "random")
    whole = signal.reference(torch.arange(5000))[:, 0]
    # The correlation of 5000 independent pairs has standard deviation 0.014.
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 0.06
    assert abs(whole[4096:].std() - 1) < 0.1
    between = signal.reference(torch.arange(4999) + 0.25)[:, 0]
    # Float32 rounding of values up to 4.
    torch.testing.assert_close(between, 0.75 * whole[:-1] + 0.25 * whole[1:], atol=1e-6, rtol=0)


@every_kind
def test_what_lies_past_the_end_does_not_change_what_is_trained_on(kind: str) -> None:
    short, long = sequence(32, kind, extrapolation=0.1), sequence(32, kind, extrapolation=3.0)
    position = torch.linspace(0, 34, 200)
    assert torch.equal(short.reference(position), long.reference(position))


@every_kind
def test_same_seed_same_signal(kind: str) -> None:
    index = torch.arange(32)
    first, second, other = (sequence(32, kind, seed).get_batch(index)["value"] for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.allclose(first, other)


def test_observes_every_position_at_its_cell_center() -> None:
    signal = sequence(10, "random")
    batch = BatchSampler(signal, None, 0)(0)
    assert signal.num_observations == 10
    assert torch.equal(batch["coords"], signal.domain.grid())
    assert torch.equal(batch["value"], signal.training_grid())
    assert (signal.channels, signal.value_range, signal.domain.size) == (1, None, (10,))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", [3.0, 8.0])
def test_a_field_that_is_not_finite_has_no_score(value: float, where: float) -> None:
    signal = sequence(8)

    def field(position: Tensor) -> Tensor:
        return torch.where((position - where).abs() < 1e-3, value, 0.0)[:, None]

    assert math.isnan(score(signal, field).score)


@every_kind
@pytest.mark.parametrize("num_samples", [8, 300])
def test_the_picture_shows_a_field_that_runs_away_within_the_range_of_the_target(
    kind: str, num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}

    def curves(x: np.ndarray, lines: dict[str, np.ndarray], title: str, **marks: object) -> viz.Picture:
        drawn.update(lines=lines, **marks)
        return original(x, lines, title, **marks)

    original = viz.plot_lines
    monkeypatch.setattr(viz, "plot_lines", curves)
    picture = pictures(score(sequence(num_samples, kind), lambda p: 1e6 * p[:, None]))["target | prediction"]
    assert picture.dtype == np.uint8 and picture.shape == (300, 900, 3)
    target, prediction = drawn["lines"]["target"], drawn["lines"]["prediction"]
    assert np.ptp(prediction) <= 2 * np.ptp(target) + 1e-5
    assert (drawn["dots"] is not None) == (num_samples == 8)
    assert drawn["gray_from"] == num_samples - 0.5


def test_curves_draw_dots_and_a_gray_ground() -> None:
    x = np.linspace(0, 10, 50)
    plain, dotted, gray = (
        viz.plot_lines(x, {"a": np.sin(x)}, "title", **marks).astype(int)
        for marks in ({}, {"dots": (np.array([5.0]), np.array([0.0]))}, {"gray_from": 8.0})
    )
    assert plain.shape == dotted.shape == gray.shape
    changed = np.argwhere((dotted != plain).any(axis=2))
    # A dot of 4 points at 100 dots per inch is some 4 pixels across (4 points are half its box of 8).
    assert 0 < len(changed) < 50 and np.ptp(changed, axis=0).max() < 9
    columns = np.flatnonzero((gray != plain).any(axis=(0, 2)))
    assert columns.min() > 0.7 * plain.shape[1]


def test_shipped_config_states_the_defaults() -> None:
    node = make_config("signal=sequence", "seed=0")["signal"]
    built, default = build(node, "signal"), sequence()
    index = torch.arange(256)
    assert torch.equal(built.get_batch(index)["value"], default.get_batch(index)["value"])
    assert built.num_scored == default.num_scored == 320
    other = build(make_config("signal=sequence", "seed=1")["signal"], "signal")
    assert not torch.equal(other.get_batch(index)["value"], default.get_batch(index)["value"])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_samples": 1}, r"num_samples=1 must be a whole number from 2 to 65536"),
        ({"num_samples": 65537}, r"num_samples=65537 must be a whole number from 2 to 65536"),
        ({"values": "wild"}, r"values='wild' must be one of smooth, stepped, random"),
        ({"seed": -1}, r"seed=-1 must be a whole number from 0"),
        ({"extrapolation": 0.0}, r"extrapolation=0\.0 must be a number from 0\.01 to 4"),
        ({"extrapolation": 4.5}, r"extrapolation=4\.5 must be a number from 0\.01 to 4"),
        ({"extrapolation": math.nan}, r"extrapolation=nan must be"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        sequence(**options)
    assert "\n" not in str(caught.value)


def test_a_constant_curve_is_refused() -> None:
    with pytest.raises(UserError, match="all values are the same"):
        PositionSequence(8, np.ones_like)
