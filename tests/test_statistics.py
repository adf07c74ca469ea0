import math

import numpy as np
import pytest
from scipy import stats

from coordnet.reports.statistics import Difference, at_seconds, mean_and_std, paired_difference

# Hours of sleep gained with two drugs (Student 1908).
FIRST = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
SECOND = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)


def numbered(values: tuple[float, ...] | list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_the_deviation_is_that_of_a_sample() -> None:
    assert mean_and_std([2, 4, 4, 4, 5, 5, 7, 9]) == (8, 5.0, pytest.approx(math.sqrt(32 / 7)))


def test_one_value_has_no_deviation_and_none_no_mean() -> None:
    n, mean, std = mean_and_std([3.5])
    assert (n, mean) == (1, 3.5) and math.isnan(std)
    n, mean, std = mean_and_std([])
    assert n == 0 and math.isnan(mean) and math.isnan(std)


def test_values_that_are_not_finite_show_in_the_mean() -> None:
    assert math.isnan(mean_and_std([1.0, math.nan]).mean)
    assert mean_and_std([math.inf, math.inf]).mean == math.inf
    assert math.isnan(mean_and_std([math.inf, 1.0]).std)


def test_the_interval_of_students_sleep_data_is_the_published_one() -> None:
    found = paired_difference(numbered(SECOND), numbered(FIRST))
    assert (found.pairs, found.mean) == (10, pytest.approx(1.58))
    assert (found.low, found.high) == (pytest.approx(0.7001142), pytest.approx(2.4598858))
    assert found.excludes_zero


@pytest.mark.parametrize(("n", "confidence"), [(2, 0.95), (3, 0.9), (6, 0.95), (40, 0.99)])
def test_the_interval_is_that_of_the_paired_t_test(n: int, confidence: float) -> None:
    a, b = np.random.default_rng(n).normal(size=(2, n)).tolist()
    found = paired_difference(numbered(a), numbered(b), confidence)
    assert (found.low, found.high) == pytest.approx(stats.ttest_rel(a, b).confidence_interval(confidence))


def test_for_two_pairs_the_interval_has_a_closed_form() -> None:
    # With one degree of freedom Student's distribution is Cauchy's, whose 97.5 % quantile is tan(0.475 pi).
    found = paired_difference({"a": 3.0, "b": 5.0}, {"a": 0.0, "b": 0.0})
    assert found.half_width == pytest.approx(math.tan(0.475 * math.pi))
    assert not found.excludes_zero


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(1, 2, size=(2000, 4))
    found = [paired_difference(numbered(d.tolist()), numbered([0.0] * 4)) for d in draws]
    assert np.mean([difference.low <= 1 <= difference.high for difference in found]) == pytest.approx(
        0.95, abs=0.015
    )


def test_pairs_are_what_both_have() -> None:
    found = paired_difference({"a": 5.0, "b": 7.0, "c": 1.0}, {"b": 4.0, "a": 3.0, "d": 100.0})
    assert (found.pairs, found.mean) == (2, 2.5)


def test_what_varies_between_pairs_alone_cancels() -> None:
    signals = [10.0, 20.0, 40.0]
    gains = [1.0, 1.5, 2.0]
    better = numbered([s + g for s, g in zip(signals, gains, strict=True)])
    assert paired_difference(better, numbered(signals)).half_width == pytest.approx(
        4.302653 * 0.5 / math.sqrt(3)
    )


@pytest.mark.parametrize("differences", [[], [2.0], [2.0, 2.0, 2.0], [1.0, math.nan], [1.0, math.inf]])
def test_there_is_no_interval_without_a_spread_to_judge_by(differences: list[float]) -> None:
    found = paired_difference(numbered(differences), numbered([0.0] * len(differences)))
    assert math.isnan(found.half_width) and not found.excludes_zero
    assert found.pairs == len(differences)


def test_an_interval_that_touches_zero_does_not_exclude_it() -> None:
    assert not Difference(3, 1.0, 1.0).excludes_zero
    assert Difference(3, -1.0, 0.99).excludes_zero


HISTORY = [
    {"step": 0.0, "seconds": 0.0, "train/loss": math.nan, "test/psnr": 10.0},
    {"step": 10.0, "seconds": 2.0, "train/loss": 0.5, "test/psnr": 20.0},
    {"step": 20.0, "seconds": 6.0, "train/loss": 0.1, "test/psnr": 24.0},
]


@pytest.mark.parametrize(
    ("seconds", "psnr", "step"), [(0, 10, 0), (1, 15, 5), (2, 20, 10), (3, 21, 12.5), (6, 24, 20)]
)
def test_between_evaluations_a_curve_is_a_straight_line(seconds: float, psnr: float, step: float) -> None:
    read = at_seconds(HISTORY, seconds)
    assert (read["test/psnr"], read["step"], read["seconds"]) == pytest.approx((psnr, step, seconds))


def test_at_its_end_a_curve_is_its_last_evaluation() -> None:
    assert at_seconds(HISTORY, 6.0) == HISTORY[-1]
