"""From a raw index to sines and cosines, one rung after the other: each mends what the one before lacks."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import positional
from coordnet.encodings.ladder import Binary, Index, Normalized, Sine
from coordnet.errors import UserError


def cells(domain: Domain) -> Tensor:
    """All cell indices, x first, in the order of `domain.grid()`."""
    return torch.from_numpy(np.indices(domain.size[::-1])[::-1].copy()).movedim(0, -1)


def train_line(samples: int, stride: int = 1) -> tuple[Domain, Tensor]:
    """A line, and the coordinates (n, 1) of its training samples."""
    domain = Domain((samples,), stride)
    return domain, domain.grid()[::stride]


def closest(encoding: Encoding, coords: Tensor) -> float:
    """The smallest distance between the features of two different points."""
    return torch.pdist(encoding.double()(coords.double())).min().item()


# The index


@pytest.mark.parametrize("size", [(1,), (7,), (512,), (5, 3), (3, 8), (4, 3, 2)])
def test_index_is_the_number_of_the_sample(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    # A coordinate is rounded by 2^-25 of the domain, which is n 2^-25 samples, and the product as much again.
    expected = cells(domain).float()
    torch.testing.assert_close(Index(domain)(domain.grid()), expected, atol=max(size) * 2**-23, rtol=0)


def test_index_is_a_fraction_between_samples_and_goes_on_past_the_end() -> None:
    domain = Domain((4,))
    x = torch.tensor([[-1.0], [-0.5], [0.0], [1.0], [2.0]])
    assert Index(domain)(x)[:, 0].tolist() == [-0.5, 0.5, 1.5, 3.5, 5.5]


def test_index_counts_all_samples_whatever_is_trained_on() -> None:
    assert Index(Domain((8,), 4))(torch.tensor([0.875])).item() == 7


# The share of the whole


def test_normalized_is_the_same_whatever_the_length_and_on_request_tells_lengths_apart() -> None:
    x = torch.tensor([[0.25], [-0.5]])
    short, long = Domain((8,)), Domain((4096,))
    assert torch.equal(Normalized(short)(x), Normalized(long)(x)) and torch.equal(Normalized(short)(x), x)
    with_length = [Normalized(domain, length=True)(x) for domain in (short, long)]
    assert with_length[0].tolist() == [[0.25, 3 / 16], [-0.5, 3 / 16]]
    assert with_length[1].tolist() == [[0.25, 12 / 16], [-0.5, 12 / 16]]


@pytest.mark.parametrize("size", [(1,), (6,), (65536,), (5, 3), (2, 3, 4)])
def test_normalized_lies_within_minus_one_to_one(size: tuple[int, ...]) -> None:
    domain = Domain(size)
    features = Normalized(domain, length=True)(domain.grid())
    assert features.shape == (*size[::-1], len(size) + 1)
    assert features.abs().max() <= 1
    assert torch.equal(features[..., :-1], domain.grid())
    assert features[..., -1].unique().tolist() == pytest.approx([math.log2(max(size)) / 16])


# Binary digits


def digits(encoding: Binary, coords: Tensor) -> list[str]:
    """The features of points on a line as text, highest digit first, as people write numbers."""
    return ["".join("01"[bit > 0] for bit in reversed(row)) for row in encoding(coords).tolist()]


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 8, 63, 64, 65, 1000, 4096])
def test_digits_are_those_of_the_number_of_the_sample(samples: int) -> None:
    domain, coords = train_line(samples)
    encoding = Binary(domain)
    width = max(1, (samples - 1).bit_length())
    assert encoding.num_digits == width
    assert digits(encoding, coords) == [format(i, "b").zfill(width) for i in range(samples)]


@pytest.mark.parametrize("size, stride", [((5, 3), 1), ((6, 12), 2), ((4, 7, 2), 1)])
def test_digits_of_each_axis_are_its_own_with_the_lowest_first(size: tuple[int, ...], stride: int) -> None:
    domain = Domain(size, stride)
    encoding = Binary(domain)
    got = encoding(domain.grid()).unflatten(-1, (domain.dim, encoding.num_digits))
    number = cells(domain) // stride
    for k in range(encoding.num_digits):
        assert torch.equal(got[..., k], ((number >> k) & 1) * 2.0 - 1)


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_training_samples_have_codes_of_their_own(stride: int, gray: bool) -> None:
    """On lines of 1 to 70 samples, with as few digits as that can be done."""
    for samples in range(stride, 71):
        domain, coords = train_line(samples, stride)
        encoding = Binary(domain, gray=gray)
        codes = digits(encoding, coords)
        assert len(set(codes)) == len(coords), samples
        assert encoding.num_digits == max(1, (len(coords) - 1).bit_length())


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_neighbors_in_gray_code_differ_in_exactly_one_digit(stride: int) -> None:
    domain, coords = train_line(70, stride)
    plain, gray = Binary(domain)(coords), Binary(domain, gray=True)(coords)
    assert ((gray[1:] != gray[:-1]).sum(dim=-1) == 1).all()
    # The reason for it: in plain digits 31 and 32, or 15 and 16, differ in all of them.
    assert (plain[1:] != plain[:-1]).sum(dim=-1).max() >= 5


def test_gray_code_golden() -> None:
    domain, coords = train_line(8)
    codes = digits(Binary(domain, gray=True), coords)
    assert codes == ["000", "001", "011", "010", "110", "111", "101", "100"]


def test_digits_of_equal_cells_on_request() -> None:
    """floor(u 2^k) of u in [0, 1): three digits count eighths, however many samples there are."""
    encoding = Binary(Domain((1000,)), num_digits=3)
    u = torch.tensor([0.0, 0.124, 0.126, 0.5, 0.874, 0.876, 0.999])
    assert digits(encoding, 2 * u[:, None] - 1) == ["000", "000", "001", "100", "110", "111", "111"]


def test_digits_past_the_end_start_again() -> None:
    """Cell 2^k at the high edge has the code of cell 0; cell -1 before the low edge that of the last, 2^k - 1."""
    encoding = Binary(Domain((8,)))
    x = torch.tensor([[1.0], [1.25], [-1.01], [-1.26]])
    assert digits(encoding, x) == ["000", "001", "111", "110"]
    gray = Binary(Domain((8,)), gray=True)
    # Cells 7 and 0 differ in one digit too, so Gray code keeps its property there.
    assert digits(gray, x) == ["000", "001", "100", "101"]


def test_a_count_of_no_power_of_two_goes_on_to_the_next_one() -> None:
    encoding = Binary(Domain((5,)))
    x = (2 * torch.arange(-1, 9) + 1) / 5 - 1
    assert digits(encoding, x[:, None]) == [format(i % 8, "b").zfill(3) for i in range(-1, 9)]


def test_digits_are_bounded_and_their_derivative_is_zero() -> None:
    encoding = Binary(Domain((37, 20), 2))
    x = (2 * torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) - 1).requires_grad_()
    features = encoding(x)
    assert features.detach().unique().tolist() == [-1, 1]
    (slope,) = torch.autograd.grad(features.square().sum() + features.sum(), x)
    assert torch.equal(slope, torch.zeros(100, 2))


@pytest.mark.parametrize("num_digits", [0, -1, 25])
def test_impossible_digits_are_refused_by_name(num_digits: int) -> None:
    with pytest.raises(
        UserError, match=rf"^num_digits={num_digits} must be a whole number from 1 to 24, or null$"
    ):
        Binary(Domain((8,)), num_digits=num_digits)


# Sines, and sines with cosines


def test_sine_golden() -> None:
    """sin(pi f x) with f = 1/2, 1, 2 at x = 0.3; 8 samples have a Nyquist frequency of 4."""
    got = Sine(Domain((8,)))(torch.tensor([0.3]))
    torch.testing.assert_close(got, torch.tensor([0.453990, 0.809017, 0.951057]), atol=2e-6, rtol=0)


def test_sine_puts_all_bands_of_x_before_those_of_y() -> None:
    encoding = Sine(Domain((16, 8)), num_frequencies=2, min_frequency=1.0)
    x, y = 0.3, -0.2
    expected = [math.sin(math.pi * f * c) for c in (x, y) for f in (1, 2)]
    assert encoding(torch.tensor([x, y])).tolist() == pytest.approx(expected, abs=1e-6)
    assert encoding.feature_frequencies().tolist() == [[1, 0], [2, 0], [0, 1], [0, 2]]


def test_the_slowest_sine_rises_from_end_to_end() -> None:
    _, coords = train_line(512)
    slowest = Sine(Domain((512,)))(coords)[:, 0]
    assert (slowest.diff() > 0).all()


@pytest.mark.parametrize("samples", [64, 65, 512])
def test_sinusoidal_keeps_all_samples_further_apart_than_sine(samples: int) -> None:
    """Both tell all samples apart, since their slowest wave rises from end to end. If all sines of a band lie
    flat, at the ends, cosines do not: the distance between neighbors is the same everywhere."""
    domain, coords = train_line(samples)
    sine, both = Sine(domain), positional(domain, min_frequency=0.5)
    assert closest(both, coords) > closest(sine, coords) > 1e-3
    steps = both.double()(coords.double()).diff(dim=0).norm(dim=-1)
    # |gamma(x + h) - gamma(x)|^2 = sum_j (2 - 2 cos(pi f_j h)); coordinates are rounded by 2^-25 before.
    count, h = both.out_dim // 2, 2 / samples
    expected = math.sqrt(sum(2 - 2 * math.cos(math.pi * 2.0 ** (k - 1) * h) for k in range(count)))
    assert steps.numpy() == pytest.approx(np.full(samples - 1, expected), rel=1e-4)


def test_sines_of_whole_cycles_take_three_points_for_one_where_cosines_tell_the_middle_from_the_ends() -> (
    None
):
    """sin(2^k pi x) is 0 for every k at x = -1, 0 and 1. No encoding of period 2 tells -1 from 1; half a cycle does."""
    x = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    domain = Domain((64,))
    sine, both, half = (
        Sine(domain, min_frequency=1.0).double(),
        positional(domain).double(),
        positional(domain, min_frequency=0.5),
    )
    # The error of phases of 16 pi in float64.
    assert sine(x).abs().max() < 1e-12
    assert (both(x)[0] - both(x)[1]).norm() > 1 and (both(x)[0] - both(x)[2]).norm() < 1e-12
    assert closest(half, x) > 1


def test_a_shift_is_a_linear_map_of_sines_with_cosines_and_none_of_sines() -> None:
    """The best matrix from gamma(x) to gamma(x + 0.1), over 500 points, is exact for one and far off for the other."""
    x = torch.linspace(-1, 1, 500, dtype=torch.float64)[:, None]
    domain = Domain((64,))
    for encoding, low, high in [
        (positional(domain, min_frequency=0.5), 0.0, 1e-10),
        (Sine(domain), 0.05, 1.0),
    ]:
        here, there = encoding.double()(x), encoding.double()(x + 0.1)
        residual = there - here @ torch.linalg.lstsq(here, there).solution
        assert low <= residual.square().mean().sqrt() < high


@pytest.mark.parametrize(
    "options, key", [({"min_frequency": 0.0}, "min_frequency"), ({"num_frequencies": 0}, "num_frequencies")]
)
def test_impossible_sines_are_refused_by_name(options: dict[str, float], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}=[^\n]*$"):
        Sine(Domain((16,)), **options)  # type: ignore[arg-type]
