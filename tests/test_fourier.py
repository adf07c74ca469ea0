"""The Fourier family beyond its contract and layout, which are in test_encodings.py, and its presets."""

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import (
    Distribution,
    Fourier,
    basic,
    gaussian,
    geometric,
    harmonic,
    log_linear,
    nyquist_positional,
    positional,
    random_fourier,
    transformer,
)
from coordnet.encodings.ladder import Sine
from coordnet.errors import UserError

LINE = Domain((512,), 2)


def bands(encoding: Fourier) -> list[float]:
    """The frequencies along the only axis."""
    assert encoding.in_dim == 1
    return encoding.frequencies[:, 0].tolist()


# Octaves, and what stands in their place


def test_bands_are_spaced_evenly_in_their_logarithm() -> None:
    assert bands(positional(LINE, 4)) == [1, 2, 4, 8]
    assert bands(positional(LINE, 4, min_frequency=0.75)) == [0.75, 1.5, 3, 6]
    assert bands(positional(LINE, 3, min_frequency=2, max_frequency=50)) == pytest.approx(
        [2, 10, 50], rel=1e-6
    )


def test_linear_bands_go_evenly_from_the_lowest_to_the_highest() -> None:
    """linspace(1, 2^(L - 1), L) of NeRF's code, log_sampling=False."""
    assert bands(positional(LINE, 4, spacing="linear")) == pytest.approx([1, 10 / 3, 17 / 3, 8], rel=1e-6)
    assert bands(positional(LINE, 3, min_frequency=2, max_frequency=50, spacing="linear")) == [2, 26, 50]


def test_perceiver_bands_are_linear_ones() -> None:
    """linspace(1, f_max / 2, n) with sin(pi f x) on [-1, 1], f_max = 10, n = 4."""
    encoding = positional(LINE, 4, max_frequency=5, spacing="linear", include_input=True)
    assert bands(encoding) == pytest.approx([1, 7 / 3, 11 / 3, 5], rel=1e-6)


@pytest.mark.parametrize("spacing", ["log", "linear"])
def test_one_band_is_the_lowest(spacing: Any) -> None:
    assert bands(positional(LINE, 1, min_frequency=3, spacing=spacing)) == [3]


@pytest.mark.parametrize("min_frequency", [0.25, 1 / math.pi, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("size, stride", [((512, 512), 2), ((100,), 1), ((77, 30), 3), ((64, 64, 64), 4)])
def test_default_count_is_the_most_below_nyquist_for_any_lowest(
    size: tuple[int, ...], stride: int, min_frequency: float
) -> None:
    domain = Domain(size, stride)
    expected = 0
    while min_frequency * 2**expected < max(domain.nyquist):
        expected += 1
    assert len(positional(domain, min_frequency=min_frequency).frequencies) == expected * domain.dim
    assert Sine(domain, min_frequency=min_frequency).out_dim == expected * domain.dim


@pytest.mark.parametrize(
    "samples, count", [(4, 1), (8, 1), (15, 1), (16, 2), (31, 2), (256, 6), (511, 6), (512, 7)]
)
def test_the_nyquist_rule_of_siren(samples: int, count: int) -> None:
    """floor(log2(n / 4)): the top band is above n / 16 and at most n / 8 cycles per unit of x, half the Nyquist one."""
    encoding = nyquist_positional(Domain((samples,)))
    assert bands(encoding) == [2**k for k in range(count)]
    assert encoding.includes_input


def test_the_nyquist_rule_of_siren_goes_by_the_shortest_axis_and_the_training_samples() -> None:
    assert nyquist_positional(Domain((512, 64), 2)).frequencies.max() == 2 ** (3 - 1)


# Every default


DEFAULTS: list[tuple[str, Any]] = [
    ("basic", basic),
    ("positional", positional),
    ("nyquist_positional", nyquist_positional),
    ("transformer", transformer),
    ("log_linear", log_linear),
    ("geometric", geometric),
    ("harmonic", harmonic),
    ("gaussian", gaussian),
    ("uniform", lambda domain: random_fourier(domain, "uniform")),
    ("laplace", lambda domain: random_fourier(domain, "laplace")),
    ("log_uniform", lambda domain: random_fourier(domain, "log_uniform")),
]
every_default = pytest.mark.parametrize(
    "make", [make for _, make in DEFAULTS], ids=[name for name, _ in DEFAULTS]
)


@every_default
def test_defaults_stay_below_nyquist_from_five_training_samples_on(make: Any) -> None:
    """With 4 the Nyquist frequency is 2, where a few defaults have nothing left between it and their lowest."""
    for size in [*range(5, 40), 63, 64, 65, 100, 127, 128, 129, 1000, 4096, 100000]:
        for stride in (1, 2, 3, 4):
            for shape in ((size,), (size, size // 2)):
                domain = Domain(shape, stride)
                if max(domain.nyquist) > 2:
                    assert make(domain).frequencies.abs().max() < max(domain.nyquist), (shape, stride)


@every_default
@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_the_error_of_incodes_width_is_not_ours(make: Any, dim: int) -> None:
    """INCODE's `out_dim = mapping_input * in_features` is the width in two dimensions only."""
    encoding = make(Domain((16,) * dim))
    assert (
        encoding(torch.zeros(3, dim)).shape[-1]
        == encoding.out_dim
        == 2 * len(encoding.frequencies) + (dim * encoding.includes_input)
    )


@every_default
def test_the_error_of_incodes_plain_tensor_is_not_ours(make: Any) -> None:
    """INCODE and JHLew keep B as a plain tensor: a reload loses it, and so does a move to another dtype or device."""
    encoding = make(Domain((16, 16)))
    assert torch.equal(encoding.state_dict()["frequencies"], encoding.frequencies)
    assert encoding.double().frequencies.dtype == torch.float64
    assert not list(encoding.parameters())


@every_default
def test_the_error_of_tensorfs_detached_coordinates_is_not_ours(make: Any) -> None:
    """Each wave's gradient is pi f times its partner: summed over all, |d gamma / d x|^2 = sum_j a_j^2 pi^2 |b_j|^2."""
    encoding = make(Domain((16, 16))).double()
    x = torch.tensor([0.2, -0.4], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(encoding, x)
    amplitudes = x.new_ones(1) if encoding.amplitudes is None else encoding.amplitudes
    expected = (
        amplitudes[:, None] * math.pi * encoding.frequencies
    ).square().sum() + 2 * encoding.includes_input
    torch.testing.assert_close(jacobian.square().sum(), expected, rtol=1e-10, atol=0)


# Geometric and harmonic


def test_geometric_frequencies_stop_one_short_of_the_scale() -> None:
    assert bands(geometric(LINE, 4, scale=81)) == pytest.approx([1, 3, 9, 27], rel=1e-6)
    assert bands(geometric(LINE, 2, scale=0.25)) == [1, 0.5]
    assert bands(geometric(LINE)) == pytest.approx([128 ** (j / 16) for j in range(16)], rel=1e-6)


def test_the_error_of_rffs_readme_is_refused() -> None:
    """`PositionalEncoding(sigma=1.0, m=10)` has ten equal bands, sigma^(j / m) = 1."""
    with pytest.raises(
        UserError, match=r"^scale=1.0 must not be 1, because all frequencies would then be equal$"
    ):
        geometric(LINE, 10, scale=1.0)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0, 2.0])
def test_harmonic_kernel_is_its_closed_form(decay: float) -> None:
    """sum_j j^-2p cos(pi j delta), and in two dimensions the sum of that over the axes."""
    encoding = harmonic(Domain((64, 64)), num_frequencies=16, decay=decay).double()
    x, y = torch.tensor([[0.3, -0.7], [-0.35, 0.1]], dtype=torch.float64)
    kernel = (encoding(x) * encoding(y)).sum().item()
    expected = sum(
        j ** (-2 * decay) * math.cos(math.pi * j * delta) for delta in (0.65, -0.8) for j in range(1, 17)
    )
    # The amplitudes j^-p are rounded to float32 before anything is done in float64.
    assert kernel == pytest.approx(expected, abs=1e-6 * 2 * 16)


@pytest.mark.parametrize("make", [harmonic, gaussian, partial(random_fourier, distribution="laplace")])
def test_features_of_unit_norm_have_length_1_and_the_same_directions(make: Callable[..., Fourier]) -> None:
    domain = Domain((64, 64))
    x = torch.rand(9, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain, unit = (make(domain, num_frequencies=6, unit_norm=unit_norm)(x) for unit_norm in (False, True))
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(9))
    torch.testing.assert_close(unit, plain / plain.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize(
    "size, stride, count", [(512, 2, 16), (34, 1, 16), (32, 1, 15), (33, 2, 8), (6, 1, 2)]
)
def test_harmonic_default_is_16_or_as_many_as_are_below_nyquist(size: int, stride: int, count: int) -> None:
    domain = Domain((size,), stride)
    assert bands(harmonic(domain)) == list(range(1, count + 1))
    assert count < max(domain.nyquist) and (count == 16 or count + 1 >= max(domain.nyquist))


# Random draws


COUNT = 20000
# Standard deviation and kurtosis of each distribution at scale 1; of the log-uniform one at scale 8.
MOMENTS: dict[Distribution, tuple[float, float, float]] = {
    "gaussian": (1.0, 1.0, 3.0),
    "uniform": (1.0, 1 / math.sqrt(3), 9 / 5),
    "laplace": (1.0, math.sqrt(2), 6.0),
    # E b^2 = (8^2 - 1) / (2 ln 8), E b^4 = (8^4 - 1) / (4 ln 8).
    "log_uniform": (8.0, math.sqrt(63 / (2 * math.log(8))), 4095 / 63**2 * math.log(8)),
}
every_distribution = pytest.mark.parametrize("distribution", list(MOMENTS))


def draw(distribution: Distribution, **options: Any) -> NDArray[np.float64]:
    options = {"scale": MOMENTS[distribution][0], "num_frequencies": COUNT, **options}
    values: NDArray[np.float64] = (
        random_fourier(Domain((512, 512)), distribution, **options).frequencies.double().numpy()
    )
    return values


@every_distribution
def test_moments_of_each_distribution(distribution: Distribution) -> None:
    _, deviation, kurtosis = MOMENTS[distribution]
    values = draw(distribution).ravel()
    count = len(values)
    # Standard errors of the mean, s / sqrt(n), and of the mean square, s^2 sqrt((kurtosis - 1) / n), each four times.
    assert abs(values.mean()) < 4 * deviation / math.sqrt(count)
    square = 4 * math.sqrt((kurtosis - 1) / count)
    assert (values**2).mean() == pytest.approx(deviation**2, rel=square)
    # The fourth power has a larger error: for Laplace E b^8 = 8! leaves 8.3 / sqrt(n) of 24.
    assert (values**4).mean() / deviation**4 == pytest.approx(kurtosis, rel=4 * 8.3 / math.sqrt(count))


@every_distribution
def test_signs_are_even_and_components_independent(distribution: Distribution) -> None:
    values = draw(distribution)
    bound = 4 / math.sqrt(COUNT)
    assert (np.abs(np.sign(values).mean(axis=0)) < bound).all()
    for a, b in [(values[:, 0], values[:, 1]), (abs(values[:, 0]), abs(values[:, 1]))]:
        assert abs(np.corrcoef(a, b)[0, 1]) < bound


def test_bounded_distributions_keep_to_their_bounds_and_come_near_them() -> None:
    uniform, log_uniform = np.abs(draw("uniform", scale=5.0)), np.abs(draw("log_uniform", scale=5.0))
    # The largest of 40000 is within 1e-3 of the bound but for exp(-8) of all seeds.
    assert 5 * (1 - 1e-3) < uniform.max() <= 5
    assert 1 <= log_uniform.min() < 1 + 1e-3 and 5 * (1 - 1e-3) < log_uniform.max() <= 5
    # Half of it lies below the geometric mean of its ends.
    assert (log_uniform < math.sqrt(5)).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2 * COUNT))


def test_no_draw_of_a_sign_is_zero() -> None:
    """A uniform float32 is exactly 1/2 once in 2^24, and once it was in this draw."""
    unchecked = inspect.unwrap(random_fourier)
    encoding = unchecked(Domain((64,)), "log_uniform", scale=2.0, num_frequencies=2**24, seed=0)
    assert encoding.frequencies.abs().min() >= 1


@pytest.mark.parametrize("distribution", ["gaussian", "uniform", "laplace"])
@pytest.mark.parametrize("stride", [1, 2])
def test_default_scales_have_one_standard_deviation(distribution: Distribution, stride: int) -> None:
    domain = Domain((512, 512), stride)
    values = random_fourier(domain, distribution, num_frequencies=COUNT).frequencies
    # There are 40000 draws; Laplace has the widest error, 4 sqrt(5 / 40000) of the square, half that of the root.
    assert values.std().item() == pytest.approx(0.08 * max(domain.nyquist), rel=0.023)


@every_distribution
def test_a_draw_follows_its_seed_and_nothing_else(distribution: Distribution) -> None:
    torch.manual_seed(1)
    first = draw(distribution, seed=3, num_frequencies=8)
    torch.manual_seed(2)
    assert (draw(distribution, seed=3, num_frequencies=8) == first).all()
    assert (draw(distribution, seed=4, num_frequencies=8) != first).any()


# Trainable, saved, moved


def test_trainable_frequencies_are_parameters_with_gradients() -> None:
    encoding = gaussian(Domain((64, 64)), num_frequencies=8, trainable=True).double()
    assert [name for name, _ in encoding.named_parameters()] == ["frequencies"]
    assert "frequencies" in encoding.state_dict()
    x = torch.tensor([0.3, -0.2], dtype=torch.float64)
    encoding(x)[:8].sum().backward()
    # d sin(pi b . x) / d b = pi x cos(pi b . x).
    expected = math.pi * x * torch.cos(math.pi * encoding.frequencies.detach() @ x)[:, None]
    torch.testing.assert_close(encoding.frequencies.grad, expected)


@every_distribution
def test_training_starts_from_the_draw(distribution: Distribution) -> None:
    domain = Domain((64, 64))
    fixed, free = (
        random_fourier(domain, distribution, seed=2),
        random_fourier(domain, distribution, seed=2, trainable=True),
    )
    assert torch.equal(fixed.frequencies, free.frequencies)
    # Either can be loaded into the other: a run can go on training a B that was fixed.
    free.load_state_dict(random_fourier(domain, distribution, seed=5).state_dict())
    assert torch.equal(free.frequencies, random_fourier(domain, distribution, seed=5).frequencies)


def test_everything_the_features_depend_on_is_saved() -> None:
    encoding = Fourier(torch.eye(2), torch.tensor([1.0, 0.5]), origin=torch.tensor([0.1, 0.2]))
    other = Fourier(torch.zeros(2, 2), torch.ones(2), origin=torch.zeros(2))
    other.load_state_dict(encoding.state_dict())
    x = torch.tensor([0.4, -0.3])
    assert torch.equal(other(x), encoding(x))


# Layout and origin


def test_interleaved_is_the_other_layout_shuffled() -> None:
    frequencies, x = torch.tensor([[1.0, 0.5], [2.0, -3.0]]), torch.tensor([0.3, -0.2])
    apart = Fourier(frequencies, include_input=True)(x)
    together = Fourier(frequencies, include_input=True, interleaved=True)(x)
    assert together.tolist() == apart[[0, 1, 2, 4, 3, 5]].tolist()


def test_phases_start_at_the_origin() -> None:
    origin = torch.tensor([0.25, -0.5])
    encoding = Fourier(torch.tensor([[3.0, 1.0], [0.0, 7.0]]), include_input=True, origin=origin)
    assert encoding(origin).tolist() == [0.25, -0.5, 0, 0, 1, 1]
    # 3 pi (1/6) + pi 0 is a quarter of a turn.
    moved = encoding(origin + torch.tensor([1 / 6, 0.0]))
    torch.testing.assert_close(moved[[2, 4]], torch.tensor([1.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [positional, gaussian])
def test_unit_range_counts_from_the_low_edge(make: Any) -> None:
    """sin(2 pi b . u), u = (x + 1) / 2."""
    encoding = make(Domain((16, 16)), zero_one_coords=True).double()
    u = torch.tensor([0.15, 0.8], dtype=torch.float64)
    phases = 2 * math.pi * encoding.frequencies @ u
    torch.testing.assert_close(encoding(2 * u - 1), torch.cat([phases.sin(), phases.cos()]))
    half = len(phases)
    assert encoding(-torch.ones(2, dtype=torch.float64)).tolist() == [0.0] * half + [1.0] * half


def test_transformer_turns_one_radian_per_training_sample_and_starts_at_the_first() -> None:
    for domain in (Domain((50,)), Domain((50, 30)), Domain((30, 51), 2), Domain((9, 6, 5), 3)):
        encoding = transformer(domain)
        corner = torch.zeros(domain.dim, dtype=torch.long)
        assert encoding(domain.index_to_coords(corner)).tolist() == [0.0, 1.0] * (encoding.out_dim // 2)
        top = encoding.frequencies.max().item()
        assert top == pytest.approx(max(domain.nyquist) / math.pi, rel=1e-6)


def test_transformer_width_is_rounded_up_to_whole_pairs_per_axis() -> None:
    widths = [transformer(Domain((8,) * dim), 50).out_dim for dim in (1, 2, 3, 4)]
    assert widths == [50, 52, 54, 56]


# Footprints


def monte_carlo(encoding: Fourier, mean: list[float], covariance: NDArray[np.float64]) -> Tensor:
    """The mean of the plain features over 2e5 points of a Gaussian."""
    points = np.random.default_rng(0).multivariate_normal(mean, covariance, 200000)
    return encoding(torch.from_numpy(points)).mean(0)


@pytest.mark.parametrize(
    "covariance",
    [
        [[0.01, 0.0], [0.0, 0.01]],
        [[0.02, 0.0], [0.0, 0.001]],
        [[0.02, -0.009], [-0.009, 0.006]],
    ],
    ids=["isotropic", "diagonal", "full"],
)
def test_integrated_features_are_the_mean_over_the_footprint(covariance: list[list[float]]) -> None:
    frequencies = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 2.0], [2.0, -2.0], [7.0, 1.0], [0.0, 0.0]])
    encoding = Fourier(frequencies, torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 1.0]), include_input=True).double()
    mean = [0.3, -0.2]
    got = encoding(torch.tensor(mean).double(), torch.tensor(covariance).double())
    # A mean of 2e5 waves of amplitude up to 2 has a standard error of at most 2 / sqrt(4e5), taken four times.
    torch.testing.assert_close(got, monte_carlo(encoding, mean, np.array(covariance)), atol=0.0127, rtol=0)


def test_a_footprint_of_no_size_changes_nothing_and_a_huge_one_leaves_only_the_constant() -> None:
    encoding = Fourier(torch.tensor([[0.0, 0.0], [1.0, 2.0]]))
    x = torch.tensor([[0.3, 0.1], [-0.7, 0.4]])
    assert torch.equal(encoding(x, torch.zeros(2, 2, 2)), encoding(x))
    assert encoding(x, 100 * torch.eye(2).expand(2, 2, 2)).tolist() == [[0, 0, 1, 0]] * 2


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_each_sample_has_its_own_footprint(shape: tuple[int, ...]) -> None:
    encoding = positional(Domain((16, 16)), include_input=True, integrates=True).double()
    generator = torch.Generator().manual_seed(0)
    coords = torch.rand(*shape, 2, generator=generator, dtype=torch.float64)
    root = 0.1 * torch.rand(*shape, 2, 2, generator=generator, dtype=torch.float64)
    covariance = root @ root.mT
    got = encoding(coords, covariance)
    assert got.shape == (*shape, encoding.out_dim)
    flat, footprints = coords.reshape(-1, 2), covariance.reshape(-1, 2, 2)
    for row, x, footprint in zip(got.reshape(-1, encoding.out_dim), flat, footprints, strict=True):
        torch.testing.assert_close(row, encoding(x, footprint))


def test_one_covariance_serves_all_points() -> None:
    encoding = positional(Domain((16, 16)), integrates=True)
    x, footprint = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)), 0.01 * torch.eye(2)
    assert torch.equal(encoding(x, footprint), encoding(x, footprint.expand(5, 2, 2)))


def test_the_error_of_nerfstudios_integrated_encoding_is_not_ours() -> None:
    """It scales the mean by 2 pi f but the variance by f^2 only.

    mu = 0.3, sigma = 0.05, f = 4 in sin(2 pi f s): exact and Monte Carlo 0.432, nerfstudio's 0.932.
    """
    encoding = positional(Domain((64,)), 1, min_frequency=8.0, integrates=True)
    got = encoding(torch.tensor([0.3]), torch.tensor([[0.05**2]]))
    assert got.tolist() == pytest.approx([0.431818, 0.140306], abs=5e-6)
    sampled_mean = monte_carlo(encoding.double(), [0.3], np.array([[0.05**2]]))
    # Standard error 1 / sqrt(2 * 2e5), taken four times.
    assert sampled_mean.tolist() == pytest.approx([0.432, 0.140], abs=0.0064)


def test_the_weight_of_a_footprint_goes_by_pi_f_squared() -> None:
    """|gamma|^2 of one wave is exp(-(pi f)^2 var)."""
    for f in (0.5, 1.0, 3.0, 8.0):
        encoding = Fourier(torch.tensor([[f]], dtype=torch.float64))
        x, variance = torch.tensor([0.7, 0.004], dtype=torch.float64)
        got = encoding(x[None], variance[None, None]).square().sum().item()
        assert got == pytest.approx(math.exp(-((math.pi * f) ** 2) * 0.004), rel=1e-12)


def test_derivatives_with_respect_to_a_footprint_are_the_true_ones() -> None:
    encoding = Fourier(torch.tensor([[1.0, 2.0], [3.0, -0.5]])).double()
    x = torch.tensor([0.2, 0.6], dtype=torch.float64, requires_grad=True)
    covariance = torch.tensor([[0.02, 0.005], [0.005, 0.01]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoding, (x, covariance))


# The description of the features


SPOKEN: list[Encoding] = [
    positional(Domain((16, 16)), include_input=True),
    transformer(Domain((16, 16)), 8),
    Fourier(torch.tensor([[3.0, -2.0], [0.0, 5.0]]), torch.tensor([1.0, 0.25]), True, interleaved=True),
    harmonic(Domain((16, 16))),
    log_linear(Domain((32, 32)), 16),
    Sine(Domain((16, 16))),
]


@pytest.mark.parametrize("encoding", SPOKEN, ids=range(len(SPOKEN)))
@pytest.mark.parametrize("axis", [0, 1])
def test_feature_frequencies_are_those_of_a_numerical_spectrum(encoding: Encoding, axis: int) -> None:
    """The peak of each feature along an axis, by a windowed FFT over [-8, 8], is where it is said to be."""
    count, reach = 4096, 8
    x = torch.zeros(count, 2)
    x[:, axis] = (torch.arange(count) + 0.5) * 2 * reach / count - reach
    x[:, 1 - axis] = 0.123
    values = encoding(x).detach().double().numpy()
    spoken = encoding.feature_frequencies()
    assert spoken is not None and spoken.shape == (encoding.out_dim, 2)
    spectrum = np.abs(np.fft.rfft(values * np.hanning(count)[:, None], axis=0))
    # rfft counts cycles in a length of 2 * reach; ours are in one of 2.
    peaks = spectrum.argmax(axis=0) / reach
    for feature in range(encoding.out_dim):
        f = abs(spoken[feature, axis].item())
        is_input = encoding.includes_input and feature < 2
        if is_input:
            assert spoken[feature].tolist() == [0, 0]
        elif f < 2 / reach:
            # A wave that turns by less than the window's main lobe stands at its very beginning.
            assert peaks[feature] <= 2 / reach
        else:
            assert peaks[feature] == pytest.approx(f, abs=0.51 / reach)


# Refusals


@pytest.mark.parametrize(
    "function, options, key",
    [
        (positional, {"min_frequency": 0.0}, "min_frequency"),
        (positional, {"min_frequency": -1.0}, "min_frequency"),
        (positional, {"min_frequency": 2.0, "max_frequency": 1.0}, "max_frequency"),
        (transformer, {"num_features": 1}, "num_features"),
        (transformer, {"base": 1.0}, "base"),
        (geometric, {"scale": 0.0}, "scale"),
        (geometric, {"num_frequencies": 0}, "num_frequencies"),
        (harmonic, {"num_frequencies": 0}, "num_frequencies"),
        (random_fourier, {"distribution": "laplace", "scale": -2.0}, "scale"),
        (random_fourier, {"distribution": "uniform", "num_frequencies": 0}, "num_frequencies"),
    ],
)
def test_impossible_options_are_refused_by_name(function: Any, options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}=[^\n]*$"):
        function(Domain((16, 16)), **options)
