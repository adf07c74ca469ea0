import math
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import SMALL, make_config
from torch import Tensor

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import Fourier, basic, gaussian, log_linear, positional
from coordnet.encodings.identity import Identity
from coordnet.errors import UserError
from coordnet.training.run import start

FILES = sorted((shipped.config_dir() / "encoding").glob("*.yaml"))
every_encoding = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
every_dim = pytest.mark.parametrize("dim", [1, 2, 3, 4])


# Presets pin what other systems do, whatever the training samples are.
PRESETS = {"nerf_bmild", "nerf_mip", "nerf_nerfstudio", "nerf_siren", "nerf_tcnn", "tancik"}


@cache
def load(file: Path, seed: int = 0) -> dict[str, Any]:
    """A shipped config as Hydra hands it over."""
    return make_config(f"encoding={file.stem}", f"seed={seed}")["encoding"]


def make(file: Path, domain: Domain, seed: int = 0) -> Encoding:
    """The encoding of a shipped config; its random weights, if it has any, follow the seed too."""
    torch.manual_seed(seed)
    try:
        encoding = build(load(file, seed), "encoding", domain=domain)
    except UserError as error:
        pytest.skip(f"{file.stem} says of {domain.dim} dimensions: {error}")
    assert isinstance(encoding, Encoding)
    return encoding


def box(dim: int) -> Domain:
    return Domain(tuple([16, 12, 8, 4][:dim]))


@cache
def served(file: Path) -> Domain:
    """A box of the dimension that an encoding is asked about where any will do: 2, or the first that it serves."""
    for dim in (2, 1, 3, 4):
        with suppress(UserError):
            build(load(file), "encoding", domain=box(dim))
            return box(dim)
    raise AssertionError(f"{file.stem} serves no dimension")


def points(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype) - 1


def rounding(encoding: Encoding) -> float:
    """The error of float32: phases pi f x in [-pi f, pi f] are rounded by a few 2^-24 of their size."""
    frequencies = encoding.feature_frequencies()
    top = 0.0 if frequencies is None else frequencies.abs().sum(dim=-1).max().item()
    return 1e-5 + 8 * 2**-24 * math.pi * top


# The contract of every shipped encoding


@every_encoding
def test_at_least_one_dimension_is_served(file: Path) -> None:
    """The tests below skip a dimension that an encoding refuses; refusing all of them is no encoding."""
    served = 0
    for dim in (1, 2, 3, 4):
        with suppress(UserError):
            build(load(file), "encoding", domain=box(dim))
            served += 1
    assert served


@every_encoding
@every_dim
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,), (2, 0, 3)])
def test_width_is_out_dim_for_any_batch_shape(file: Path, dim: int, shape: tuple[int, ...]) -> None:
    encoding = make(file, box(dim))
    features = encoding(points(*shape, dim))
    assert encoding.in_dim == dim
    assert features.shape == (*shape, encoding.out_dim)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


@every_encoding
def test_each_point_is_encoded_on_its_own(file: Path) -> None:
    encoding = make(file, served(file))
    coords = points(3, 4, encoding.in_dim)
    alone = torch.stack([encoding(x) for x in coords.flatten(0, 1)]).reshape(3, 4, -1)
    # Matrix products of different shapes may round the phase differently.
    torch.testing.assert_close(encoding(coords), alone, atol=rounding(encoding), rtol=0)


@every_encoding
@every_dim
def test_first_and_second_derivatives_are_the_true_ones(file: Path, dim: int) -> None:
    encoding = make(file, box(dim)).double()
    coords = points(2, dim, dtype=torch.float64).requires_grad_()
    weight = points(encoding.out_dim, dtype=torch.float64)

    def mixed(x: Tensor) -> Tensor:
        return encoding(x) @ weight

    # Finite differences in float64, of a step that is 1e-6 for waves up to 16 cycles and shorter for faster ones.
    frequencies = encoding.feature_frequencies()
    top = 0.0 if frequencies is None else frequencies.abs().max().item()
    step = 1e-6 / max(1.0, top / 16)
    assert torch.autograd.gradcheck(mixed, coords, eps=step, atol=1e-4, rtol=1e-4)
    assert torch.autograd.gradgradcheck(mixed, coords, eps=step, atol=1e-3, rtol=1e-3)


@every_encoding
def test_state_dict_round_trip(file: Path) -> None:
    first, second = make(file, served(file), seed=0), make(file, served(file), seed=1)
    coords = points(7, first.in_dim)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(coords), second(coords))


@every_encoding
def test_same_seed_same_features(file: Path) -> None:
    first, second = make(file, served(file), seed=4), make(file, served(file), seed=4)
    coords = points(7, first.in_dim)
    assert torch.equal(first(coords), second(coords))


def test_the_draw_of_the_shipped_gaussian_follows_the_seed_of_the_run() -> None:
    (file,) = (file for file in FILES if file.stem == "gaussian")
    coords = points(7, 2)
    assert not torch.allclose(make(file, box(2), seed=0)(coords), make(file, box(2), seed=1)(coords))


@every_encoding
def test_moves_to_other_dtypes_and_devices(file: Path) -> None:
    encoding = make(file, served(file))
    coords = points(7, encoding.in_dim)
    single = encoding(coords)
    double = encoding.double()(coords.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=rounding(encoding), rtol=0)
    moved = encoding.to("meta")(coords.double().to("meta"))
    assert moved.device.type == "meta" and moved.shape == single.shape


@every_encoding
def test_raw_is_told_of_encodings_that_contain_the_coordinate(file: Path) -> None:
    encoding = make(file, served(file)).double()
    coords = points(100, encoding.in_dim, dtype=torch.float64)
    features = encoding(coords)
    # A feature that holds the coordinate itself is an affine function of it; a slow sine is nearly one, hence float64.
    design = torch.cat([coords, torch.ones(100, 1)], dim=1)
    residual = features - design @ torch.linalg.lstsq(design, features).solution
    affine = (features.std(0) > 1e-3) & (residual.abs().amax(0) < 1e-10)
    assert encoding.includes_input == bool(affine.any())


@every_encoding
@pytest.mark.parametrize("size, stride", [((512, 512), 2), ((64,), 1), ((640, 427), 4), ((32, 32, 32), 1)])
def test_default_frequencies_stay_below_the_training_nyquist(
    file: Path, size: tuple[int, ...], stride: int
) -> None:
    domain = Domain(size, stride)
    if file.stem in PRESETS:
        pytest.skip("a preset pins the frequencies of its source")
    frequencies = make(file, domain).feature_frequencies()
    if frequencies is not None:
        assert frequencies.abs().max() < max(domain.nyquist)


# The family


def test_layout_is_the_input_then_all_sines_then_all_cosines() -> None:
    frequencies = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, -1.0]])
    x, y = 0.3, -0.2
    phases = [math.pi * x, math.pi * 2 * y, math.pi * (3 * x - y)]
    waves = [*map(math.sin, phases), *map(math.cos, phases)]
    coords = torch.tensor([x, y])
    # Phases below 4 are rounded to 2.4e-7.
    torch.testing.assert_close(Fourier(frequencies)(coords), torch.tensor(waves), atol=1e-6, rtol=0)
    with_input = Fourier(frequencies, include_input=True)
    torch.testing.assert_close(with_input(coords), torch.tensor([x, y, *waves]), atol=1e-6, rtol=0)
    assert with_input.out_dim == 8 and with_input.includes_input


def test_golden_positional() -> None:
    """sin and cos of 2^k pi x at x = 0.3 for k = 0, 1."""
    encoding = positional(Domain((8,)), num_frequencies=2)
    expected = torch.tensor([0.809017, 0.951057, 0.587785, -0.309017])
    torch.testing.assert_close(encoding(torch.tensor([0.3])), expected, atol=2e-6, rtol=0)


def test_golden_positional_in_the_units_of_the_nerf_code() -> None:
    """The NeRF code has no pi, so its band 2^k rad per unit at x = 0.3 is our frequency 2^k / pi."""
    frequencies = torch.tensor([[1.0], [2.0]]) / math.pi
    expected = torch.tensor([0.3, 0.295520, 0.564642, 0.955336, 0.825336])
    features = Fourier(frequencies, include_input=True)(torch.tensor([0.3]))
    torch.testing.assert_close(features, expected, atol=2e-6, rtol=0)


def test_positional_puts_all_bands_of_x_before_those_of_y() -> None:
    frequencies = positional(Domain((8, 8)), num_frequencies=3).frequencies
    assert frequencies.tolist() == [[1, 0], [2, 0], [4, 0], [0, 1], [0, 2], [0, 4]]


def test_golden_basic() -> None:
    """cos and sin of 2 pi u with u in [0, 1] (Tancik et al.): x = 2 u - 1 turns both by half a cycle."""
    u = 0.15
    features = basic(Domain((8,)))(torch.tensor([2 * u - 1]))
    expected = [-math.sin(2 * math.pi * u), -math.cos(2 * math.pi * u)]
    torch.testing.assert_close(features, torch.tensor(expected), atol=1e-6, rtol=0)


def test_dense_is_the_papers_formula() -> None:
    """b = 2^linspace(0, 6, m / d) - 1 with phase 2 pi b u, u in [0, 1], at 256 training samples per axis."""
    encoding = log_linear(Domain((512, 512), train_stride=2), num_frequencies=256)
    b = np.exp2(np.linspace(0, 6, 128)) - 1
    frequencies = encoding.frequencies.double().numpy()
    assert frequencies[:128, 0] == pytest.approx(b, abs=1e-4)
    assert frequencies[128:, 1] == pytest.approx(b, abs=1e-4)
    assert (frequencies[:128, 1] == 0).all() and (frequencies[128:, 0] == 0).all()
    u, v = 0.2, 0.7
    theirs = 2 * np.pi * b * (v - u)
    moved = encoding(torch.tensor([2 * v - 1, 0]))
    start = encoding(torch.tensor([2 * u - 1, 0]))
    # Between two points, in either unit, a wave turns by the same phase.
    turned = start[256:384] * moved[256:384] + start[:128] * moved[:128]
    # Phases up to 63 pi are rounded to 1.5e-5, frequencies to as much again.
    assert turned.numpy() == pytest.approx(np.cos(theirs), abs=1e-4)


def test_gaussian_frequencies_are_normal_with_the_scale() -> None:
    frequencies = gaussian(Domain((512, 512)), scale=10, num_frequencies=20000).frequencies
    # 20000 draws: a relative error of the standard deviation of 1 / sqrt(40000), taken five times.
    torch.testing.assert_close(frequencies.std(0), torch.tensor([10.0, 10.0]), atol=0, rtol=0.025)
    assert frequencies.mean(0).abs().max() < 5 * 10 / math.sqrt(20000)
    assert abs(torch.corrcoef(frequencies.T)[0, 1]) < 5 / math.sqrt(20000)


def test_gaussian_draw_follows_its_seed_and_nothing_else() -> None:
    domain = Domain((64, 64))
    torch.manual_seed(0)
    first = gaussian(domain, seed=1).frequencies
    torch.manual_seed(5)
    assert torch.equal(gaussian(domain, seed=1).frequencies, first)
    assert (gaussian(domain, seed=2).frequencies - first).abs().max() > 1


def test_gaussian_draw_is_saved() -> None:
    assert "frequencies" in gaussian(Domain((64, 64))).state_dict()


@pytest.mark.parametrize("distance", [0.02, 0.05, 0.1])
def test_gaussian_kernel_tends_to_a_gaussian(distance: float) -> None:
    """Mean of cos(pi b . delta) over b ~ N(0, s^2) is exp(-pi^2 s^2 delta^2 / 2)."""
    count, scale = 40000, 10.0
    encoding = gaussian(Domain((512, 512)), scale=scale, num_frequencies=count)
    x = torch.tensor([0.1, -0.3])
    y = x + distance * torch.tensor([0.6, 0.8])
    mean = (encoding(x) @ encoding(y)).item() / count
    # A mean of 40000 cosines has a standard error of at most 1 / 200 / sqrt(2), taken four times.
    assert mean == pytest.approx(math.exp(-((math.pi * scale * distance) ** 2) / 2), abs=0.015)


def general() -> Fourier:
    frequencies = torch.tensor([[1.0, 2.0], [-3.0, 5.0], [0.0, 0.0], [7.5, -0.25]], dtype=torch.float64)
    return Fourier(frequencies, torch.tensor([1.0, 0.5, 2.0, 0.1], dtype=torch.float64)).double()


def test_kernel_is_a_sum_of_cosines_of_the_difference() -> None:
    encoding = general()
    x, y = points(2, 6, 2, dtype=torch.float64)
    assert encoding.amplitudes is not None
    expected = np.zeros(6)
    for b, a in zip(encoding.frequencies.tolist(), encoding.amplitudes.tolist(), strict=True):
        expected += a**2 * np.cos(np.pi * (np.asarray(x - y) @ np.array(b)))
    assert (encoding(x) * encoding(y)).sum(-1).numpy() == pytest.approx(expected, abs=1e-12)


def test_a_shift_of_the_input_rotates_each_pair_of_waves() -> None:
    encoding = general()
    x, shift = points(5, 2, dtype=torch.float64), torch.tensor([0.21, -0.4], dtype=torch.float64)
    angle = math.pi * (encoding.frequencies @ shift)
    sine, cosine = encoding(x).chunk(2, dim=-1)
    turned = [sine * angle.cos() + cosine * angle.sin(), cosine * angle.cos() - sine * angle.sin()]
    torch.testing.assert_close(encoding(x + shift), torch.cat(turned, dim=-1), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    "size, stride, count",
    [(512, 2, 7), (512, 1, 8), (500, 1, 8), (514, 2, 8), (8, 1, 2), (9, 1, 3), (6, 1, 2), (3, 1, 1)],
)
def test_default_positional_count_is_the_most_below_nyquist(size: int, stride: int, count: int) -> None:
    domain = Domain((size, size), stride)
    frequencies = positional(domain).frequencies
    assert len(frequencies) == 2 * count
    assert frequencies.max() == 2 ** (count - 1)
    assert frequencies.max() < max(domain.nyquist) <= 2 * frequencies.max()


@pytest.mark.parametrize("encoding", [positional, log_linear, gaussian])
def test_phases_in_float32_are_as_good_as_float32_is(encoding: Any) -> None:
    single = encoding(Domain((512, 512), 2))
    coords = Domain((512, 512)).grid()[::7, ::5]
    frequencies = single.frequencies.double()
    phase = coords.double() @ (math.pi * frequencies).T
    expected = torch.cat([phase.sin(), phase.cos()], dim=-1)
    # pi f, both products and their sum are each rounded by 2^-24: within 4 of those of the largest phase.
    largest = math.pi * frequencies.abs().sum(-1).max().item()
    assert (single(coords) - expected).abs().max() < 4 * 2**-24 * largest + 1e-6


@pytest.mark.parametrize(
    "function, options, key",
    [
        (positional, {"num_frequencies": 0}, "num_frequencies"),
        (log_linear, {"num_frequencies": 3}, "num_frequencies"),
        (log_linear, {"octaves": 0.0}, "octaves"),
        (gaussian, {"scale": 0.0}, "scale"),
        (gaussian, {"scale": -1.0}, "scale"),
        (gaussian, {"num_frequencies": 0}, "num_frequencies"),
    ],
)
def test_impossible_options_are_refused_by_name(function: Any, options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}=[^\n]*$"):
        function(Domain((16, 16)), **options)


def test_identity_scales_and_shifts() -> None:
    encoding = Identity(Domain((4, 4)), scale=0.5, offset=0.5)
    assert encoding(torch.tensor([-1.0, 0.5])).tolist() == [0.0, 0.75]
    coords = points(9, 2)
    assert torch.equal(Identity(Domain((4, 4)))(coords), coords)


@every_encoding
def test_a_run_of_every_shipped_encoding_ends_with_scores(file: Path, tmp_path: Path) -> None:
    on_the_sphere = file.stem == "spherical_harmonics"
    signal = ["signal=sphere", "signal.num_samples=256"] if on_the_sphere else [SMALL[0]]
    config = make_config(f"encoding={file.stem}", *signal, *SMALL[1:])
    metrics = start(config, tmp_path)
    assert metrics["step"] == 12
    assert math.isfinite(metrics["train/nmse" if on_the_sphere else "test/psnr"])


# Axes with a unit of their own


VIDEO = Domain((16, 12, 200), 2, (16, 16, 200))


@every_encoding
def test_default_frequencies_stay_below_the_nyquist_frequency_of_their_axis(file: Path) -> None:
    if file.stem in PRESETS:
        pytest.skip("a preset pins the frequencies of its source")
    for domain in (VIDEO, VIDEO.select_axes([0, 2])):
        try:
            frequencies = build(load(file), "encoding", domain=domain).feature_frequencies()
        except UserError:
            continue
        if frequencies is not None:
            assert (frequencies.abs().amax(dim=0) < torch.tensor(domain.nyquist)).all()


@pytest.mark.parametrize("name", ["positional", "sine", "triangle", "geometric", "log_linear", "transformer"])
def test_default_frequencies_of_an_axis_are_those_of_its_own_domain(name: str) -> None:
    options = make_config(f"encoding={name}")["encoding"]
    if name in ("geometric", "log_linear"):
        # The number of frequencies is that of all axes together, or of each.
        options |= {"num_frequencies": 12}
    whole = build(options, "encoding", domain=VIDEO).feature_frequencies()
    for axis in range(3):
        one = options | ({"num_frequencies": 4} if name == "log_linear" else {})
        one |= {"num_features": 22} if name == "transformer" else {}
        alone = build(one, "encoding", domain=VIDEO.select_axes([axis])).feature_frequencies()
        along = whole[:, axis]
        assert torch.equal(along[along != 0].unique(), alone[alone != 0].unique())


def test_random_frequencies_have_the_spread_of_their_axis() -> None:
    found = gaussian(VIDEO, num_frequencies=20000).frequencies
    torch.testing.assert_close(found.std(dim=0), 0.08 * torch.tensor(VIDEO.nyquist), rtol=0.03, atol=0)
    explicit = gaussian(VIDEO, scale=3.0, num_frequencies=20000).frequencies
    torch.testing.assert_close(explicit.std(dim=0), torch.full((3,), 3.0), rtol=0.03, atol=0)


@pytest.mark.parametrize("name", ["grid", "hash_grid", "binary", "index", "planes"])
def test_codes_of_unequal_axes_tell_all_training_samples_apart(name: str) -> None:
    torch.manual_seed(0)
    domain = Domain((4, 40), 1, (4, 40))
    encoding = build(make_config(f"encoding={name}")["encoding"], "encoding", domain=domain)
    features = encoding(domain.grid().reshape(-1, 2))
    assert len(torch.unique(features, dim=0)) == domain.num_samples
