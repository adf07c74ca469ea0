import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.diagnostics.encoding_figure import draw_encoding
from coordnet.diagnostics.encoding_report import (
    gram,
    half_width,
    jumps,
    measure_encoding,
    rotate_features,
    smallest_distance,
)
from coordnet.encodings.base import Encoding
from coordnet.encodings.composite import Composite
from coordnet.encodings.fourier import Fourier, basic, gaussian, log_linear, positional, transformer
from coordnet.encodings.ladder import Binary, Index, Normalized, Sine
from coordnet.errors import UserError

LINE = Domain((64,))
SQUARE = Domain((32, 32), 2)


class Folded(Encoding):
    """|x|, a kink without a jump."""

    def __init__(self) -> None:
        super().__init__()
        self.in_dim = self.out_dim = 1

    def forward(self, coords: Tensor) -> Tensor:
        return coords.abs()


def keyed_generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


# Frequencies


def test_frequencies_are_counted_against_the_training_nyquist() -> None:
    found = measure_encoding(positional(Domain((64,), 2), num_frequencies=6), Domain((64,), 2))["frequencies"]
    assert found["count"] == 6 and found["training_nyquist"] == 16
    assert found["values"] == [1, 2, 4, 8, 16, 32]
    assert found["share_at_or_above_nyquist"] == pytest.approx(2 / 6)
    assert found["highest_in_cycles_per_training_sample"] == 1.0


def test_what_has_no_waves_has_no_frequencies() -> None:
    for encoding in (Index(LINE), Normalized(LINE), Binary(LINE)):
        assert measure_encoding(encoding, LINE)["frequencies"] is None


# Ranges and responses


def test_the_range_of_the_index_is_that_of_the_domain() -> None:
    found = measure_encoding(Index(LINE), LINE)["range"]
    # Anywhere in the domain, whose edges are half a sample beyond the outermost positions.
    assert -0.5 <= found["min"][0] < 0.5 and 62.5 < found["max"][0] <= 63.5


def test_the_response_to_one_sample_has_a_closed_form() -> None:
    """sin(pi f (x + h)) - sin(pi f x) = 2 sin(pi f h / 2) cos(...): 2 |sin| / sqrt(2) on average."""
    found = measure_encoding(positional(LINE, num_frequencies=5), LINE)["step_response"]
    f = 2.0 ** np.arange(5)
    expected = np.sqrt(2) * np.abs(np.sin(np.pi * f * LINE.spacing[0] / 2))
    # 2,048 random places: a few per cent of the mean square.
    assert found == pytest.approx(np.tile(expected, 2), rel=0.05)


def test_the_response_is_to_a_training_sample() -> None:
    fine, coarse = (
        measure_encoding(Index(Domain((64,), s)), Domain((64,), s))["step_response"] for s in (1, 4)
    )
    assert fine == pytest.approx([1.0]) and coarse == pytest.approx([4.0])


# Kernel


def test_the_kernel_of_gaussian_features_has_the_width_of_theory() -> None:
    """exp(-pi^2 s^2 d^2 / 2) = 1/2 at d = sqrt(2 ln 2) / (pi s), in training samples of 1 / nyquist."""
    domain = Domain((256, 256))
    kernel = measure_encoding(gaussian(domain, scale=10.0, num_frequencies=400), domain)["kernel"]
    expected = math.sqrt(2 * math.log(2)) / (10 * math.pi) * max(domain.nyquist)
    assert kernel["closed_form"] and kernel["spread"] == 0
    # 400 random frequencies: their standard deviation is off by 1 / sqrt(800), taken twice and more.
    assert kernel["width"] == pytest.approx(expected, rel=0.08)
    assert 1 <= kernel["anisotropy"] < 1.15


def test_axis_aligned_bands_are_wide_along_the_axes() -> None:
    """Along x the y half of the features does not change, so the kernel cannot fall below one half for long."""
    anisotropy = measure_encoding(log_linear(SQUARE, num_frequencies=64), SQUARE)["kernel"]["anisotropy"]
    assert anisotropy is None or anisotropy > 3


def test_the_measured_kernel_agrees_with_the_closed_form() -> None:
    class Opaque(Encoding):
        """The same features, whose form is not known."""

        def __init__(self, inner: Fourier) -> None:
            super().__init__()
            self.inner = inner
            self.in_dim, self.out_dim = inner.in_dim, inner.out_dim

        def forward(self, coords: Tensor) -> Tensor:
            return self.inner(coords)

    inner = gaussian(SQUARE, scale=3.0, num_frequencies=32)
    closed, found = measure_encoding(inner, SQUARE), measure_encoding(Opaque(inner), SQUARE)
    assert not found["kernel"]["closed_form"]
    assert found["kernel"]["value"] == pytest.approx(closed["kernel"]["value"], abs=1e-6)
    assert found["kernel"]["width"] == pytest.approx(closed["kernel"]["width"], abs=1e-6)
    assert found["kernel"]["spread"] < 1e-6
    # The largest slope found is below the true one, which 256 places come near to.
    assert found["lipschitz"]["constant"] <= closed["lipschitz"]["constant"] * (1 + 1e-9)
    assert found["lipschitz"]["constant"] == pytest.approx(closed["lipschitz"]["constant"], rel=1e-6)


def test_half_width_is_interpolated_and_none_where_nothing_falls() -> None:
    distance = torch.tensor([0.0, 1.0, 2.0])
    assert half_width(distance, torch.tensor([1.0, 0.75, 0.25])) == pytest.approx(1.5)
    assert half_width(distance, torch.tensor([1.0, 0.9, 0.8])) is None


# Slope


def test_the_slope_of_fourier_features_is_the_norm_of_their_derivative() -> None:
    """|d gamma| = pi a sqrt(sum f^2) at every x, since sines and cosines share it."""
    found = measure_encoding(positional(LINE, num_frequencies=4), LINE)["lipschitz"]
    assert found["constant"] == pytest.approx(math.pi * math.sqrt(1 + 4 + 16 + 64))
    assert found["per_training_sample"] == pytest.approx(found["constant"] * 2 / 64)
    with_input = measure_encoding(positional(LINE, num_frequencies=4, include_input=True), LINE)["lipschitz"]
    assert with_input["constant"] == pytest.approx(math.hypot(1, found["constant"]))


@pytest.mark.parametrize(
    "encoding, expected",
    [(Binary(LINE), True), (Binary(LINE, gray=True), True), (Index(LINE), False), (Sine(LINE), False)],
)
def test_jumps_are_found_by_halving(encoding: Encoding, expected: bool) -> None:
    assert jumps(copy.deepcopy(encoding).double(), LINE) == expected
    assert math.isinf(measure_encoding(encoding, LINE)["lipschitz"]["constant"]) == expected


def test_jumps_along_any_axis_are_found() -> None:
    for axes in ([0], [1]):
        smooth, digits = (
            {"columns": [1 - axes[0]], "encoding": positional},
            {"columns": axes, "encoding": Binary},
        )
        encoding = Composite(SQUARE, "concat", {"a": smooth, "b": digits})
        assert math.isinf(measure_encoding(encoding, SQUARE)["lipschitz"]["constant"])


def test_a_narrow_image_is_shifted_within_itself() -> None:
    """4 cells in two digits: (-1 -1), (1 -1), (-1 1), (1 1). The shift is by one of 4 samples along x."""
    tall = Domain((8, 128), 2)
    assert [found["by"] for found in shifts(Index(tall), tall)] == [1]
    assert all(found["affine"] < 1e-9 for found in shifts(Index(tall), tall))


def test_every_sample_that_looks_like_another_is_counted() -> None:
    """32 samples in 8 cells: all of them have a twin."""
    domain = Domain((32,))
    assert measure_encoding(Binary(domain, num_digits=3), domain)["nearest"]["alike_in_float32"] == 32


def test_a_kink_is_no_jump() -> None:
    assert not jumps(Folded().double(), LINE)


# Distances


def test_the_smallest_distance_is_found_among_all_pairs() -> None:
    features = torch.randn(200, 7, generator=keyed_generator(), dtype=torch.float64)
    features[150] = features[3] + 1e-5
    expected = torch.pdist(features).min()
    assert smallest_distance(features) == pytest.approx(expected.item(), rel=1e-9)


def test_a_wave_that_closes_at_the_ends_brings_them_near() -> None:
    """One cycle: positions 0 and 63 are as near as neighbors; half a cycle keeps them 2 apart."""
    whole = measure_encoding(basic(LINE), LINE)["nearest"]["distance"]
    assert whole == pytest.approx(2 * math.sin(math.pi / 64), rel=1e-6)


def test_bfloat16_cannot_tell_all_positions_apart() -> None:
    domain = Domain((4096,))
    index = measure_encoding(Index(domain), domain)["nearest"]
    assert index["alike_in_float32"] == 0 and index["alike_in_bfloat16"] > 500
    waves = measure_encoding(positional(domain, min_frequency=0.5), domain)["nearest"]
    assert waves["alike_in_float32"] == 0 and waves["alike_in_bfloat16"] == 0


# Gram matrix


def test_octaves_are_orthogonal_on_the_samples() -> None:
    """Sines and cosines of whole numbers of cycles: a multiple of the identity, 1/2 each."""
    found = gram(positional(LINE, num_frequencies=4).double(), LINE, keyed_generator())
    assert found["eigenvalues"] == pytest.approx([0.5] * 8)
    assert found["condition"] == pytest.approx(1.0) and found["rank"] == 8
    assert found["largest_stable_step"] == pytest.approx(2.0)


def test_a_constant_column_of_zeros_makes_the_condition_infinite() -> None:
    """Dense features begin at frequency 0, whose sine is 0 everywhere."""
    found = gram(log_linear(LINE, num_frequencies=8).double(), LINE, keyed_generator())
    assert math.isinf(found["condition"]) and found["rank"] < 16


def test_the_stable_step_of_the_index_falls_with_the_square_of_the_length() -> None:
    """1 over the mean of p^2 = 6 / ((N - 1) (2 N - 1))."""
    for n in (8, 512):
        found = gram(Index(Domain((n,))).double(), Domain((n,)), keyed_generator())
        assert found["largest_stable_step"] == pytest.approx(6 / ((n - 1) * (2 * n - 1)))


# Shift


def shifts(encoding: Encoding, domain: Domain = LINE) -> list[dict[str, Any]]:
    return measure_encoding(encoding, domain)["shift"]


def test_pairs_shift_by_a_rotation_and_the_fit_finds_it() -> None:
    for found in shifts(positional(LINE, min_frequency=0.5)):
        assert max(found["linear"], found["affine"], found["rotation"]) < 1e-9


def test_an_affine_map_shifts_an_index_exactly_and_a_linear_one_does_not() -> None:
    for encoding in (Index(LINE), Normalized(LINE)):
        for found in shifts(encoding):
            assert found["affine"] < 1e-9 < 0.005 < found["linear"]
            assert found["rotation"] is None


def test_sines_alone_and_digits_shift_by_no_such_map() -> None:
    for encoding in (Sine(LINE), Binary(LINE)):
        for found in shifts(encoding):
            assert min(found["linear"], found["affine"]) > 0.2


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("interleaved", [False, True])
def test_the_rotation_is_right_for_every_layout(raw: bool, interleaved: bool) -> None:
    b = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    encoding = Fourier(b, include_input=raw, interleaved=interleaved)
    points = torch.rand(5, 2, generator=keyed_generator(), dtype=torch.float64)
    step = torch.tensor([0.3, 0.0], dtype=torch.float64)
    torch.testing.assert_close(rotate_features(encoding, encoding(points), step), encoding(points + step))


def test_the_shift_is_by_training_samples_and_inside_the_domain() -> None:
    assert [found["by"] for found in shifts(Index(SQUARE), SQUARE)] == [1, 2]
    assert [found["by"] for found in shifts(Index(LINE), LINE)] == [1, 8]


# The whole


@pytest.mark.parametrize("domain", [LINE, SQUARE, Domain((40, 24)), Domain((8, 8, 8)), Domain((2,))])
def test_every_domain_gets_a_report_and_a_picture(domain: Domain) -> None:
    for encoding in (Index(domain), Binary(domain), positional(domain), transformer(domain)):
        report = measure_encoding(encoding, domain)
        assert report["features"] == encoding.out_dim == len(report["step_response"])
    picture = draw_encoding("title", encoding, domain, report)
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.std() > 1


def test_a_single_sample_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"^signal: the size \(1, 1\) is a single sample"):
        measure_encoding(basic(Domain((1, 1))), Domain((1, 1)))


def test_a_wide_encoding_is_not_fitted_but_still_rotated() -> None:
    for found in shifts(gaussian(SQUARE, num_frequencies=2000), SQUARE):
        assert found["linear"] is None and found["affine"] is None and found["rotation"] < 1e-9


def test_a_report_is_the_same_twice_and_leaves_the_encoding_alone() -> None:
    encoding = gaussian(SQUARE)
    first, second = measure_encoding(encoding, SQUARE), measure_encoding(encoding, SQUARE)
    assert first == second
    assert encoding.frequencies.dtype == torch.float32
