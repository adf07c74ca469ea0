from functools import partial

import pytest
import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.coarse_to_fine import CoarseToFine
from coordnet.encodings.fourier import gaussian, positional
from coordnet.encodings.identity import Identity
from coordnet.errors import UserError
from coordnet.fields.field import Field
from coordnet.fields.interpolation import Interpolation
from coordnet.networks.mlp import Mlp
from coordnet.networks.siren import Siren
from coordnet.signals.images.image import Image

DOMAIN = Domain((512, 512), 2)


def make(encoding: Encoding, precision: str = "float32", **options: int) -> Field:
    torch.manual_seed(0)
    network = Mlp(encoding.out_dim, 3, **{"width": 64, **options})
    return Field(encoding, network, (0.0, 1.0), precision)  # type: ignore[arg-type]


def points(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(1)) - 1


def read_by(layer: nn.Module, field: Field, coords: Tensor) -> tuple[Tensor, Tensor]:
    """The input and the output of a layer when the field is evaluated."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    field(coords)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_any_batch_shape(shape: tuple[int, ...], precision: str) -> None:
    value = make(gaussian(DOMAIN), precision)(points(*shape, 2))
    assert value.shape == (*shape, 3)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (5.0, 7.0)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_values_fill_their_range_and_never_leave_it(low: float, high: float, precision: str) -> None:
    field = make(gaussian(DOMAIN), precision)
    field.value_range = (low, high)
    with torch.no_grad():
        field.network.out.weight.mul_(1000)
        value = field(points(1000, 2))
    assert low <= value.min() < low + 1e-3 and high - 1e-3 < value.max() <= high


def test_range_of_a_siren_is_affine() -> None:
    torch.manual_seed(0)
    network = Siren(2, 1, width=16)
    x = points(9, 2)
    raw = network(x)
    torch.testing.assert_close(Field(Identity(DOMAIN), network, (2.0, 6.0))(x), 4 + 2 * raw)


def test_without_a_range_the_network_speaks_for_itself() -> None:
    field = make(gaussian(DOMAIN))
    field.value_range = None
    x = points(9, 2)
    assert torch.equal(field(x), field.network(field.encoding(x)))


@pytest.mark.parametrize("encoding", [gaussian(DOMAIN), positional(DOMAIN), Identity(DOMAIN)])
def test_bfloat16_is_close_to_float32(encoding: Encoding) -> None:
    x = points(2000, 2)
    full, half = make(encoding)(x), make(encoding, "bfloat16")(x)
    assert not torch.equal(full, half)
    # bfloat16 rounds each of four layers' values, near 1, by up to 2^-9 = 0.002 and more through their sums of
    # 64; the sigmoid then divides by 4 at least.
    assert (full - half).abs().max() < 0.02


def test_hidden_layers_run_in_bfloat16_but_what_leaves_is_float32() -> None:
    field = make(gaussian(DOMAIN), "bfloat16", depth=3)
    for layer in field.network.hidden:
        assert read_by(layer, field, points(9, 2))[1].dtype == torch.bfloat16
    assert field(points(9, 2)).dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in field.parameters())


def test_phases_stay_in_float32_under_bfloat16() -> None:
    field = make(gaussian(DOMAIN), "bfloat16")
    x = points(500, 2)
    features, _ = read_by(field.network.hidden[0], field, x)
    # Waves are rounded to bfloat16 (2^-9 = 0.002) after the sine; rounded before it, phases of 100 would be off by 0.2.
    assert (features.float() - field.encoding(x)).abs().max() <= 2**-9


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_autocast_around_a_field_changes_nothing(precision: str) -> None:
    field, x = make(gaussian(DOMAIN), precision), points(100, 2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = field(x)
    assert torch.equal(inside, field(x))


def test_the_layer_that_reads_raw_coordinates_tells_all_512_neighbors_apart_under_bfloat16() -> None:
    field = make(Identity(Domain((512,))), "bfloat16")
    coords = Domain((512,)).grid()
    read, written = read_by(field.network.hidden[0], field, coords)
    assert read.dtype == written.dtype == torch.float32
    assert len(written.unique(dim=0)) == 512
    # The reason for the rule: bfloat16 itself knows fewer.
    assert len(coords.bfloat16().unique()) < 512


@pytest.mark.parametrize("encoding", [Identity(DOMAIN), positional(DOMAIN, include_input=True)])
def test_a_skip_reads_raw_coordinates_in_float32_too(encoding: Encoding) -> None:
    field = make(encoding, "bfloat16", depth=4, skip=2)
    dtypes = [read_by(layer, field, points(9, 2))[1].dtype for layer in field.network.hidden]
    assert dtypes == [torch.float32, torch.bfloat16, torch.float32, torch.bfloat16]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradients_reach_every_weight(precision: str) -> None:
    field = make(gaussian(DOMAIN), precision, depth=4, skip=2)
    field(points(64, 2)).square().mean().backward()
    for parameter in field.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any()


# Footprints


def footprints(*shape: int) -> Tensor:
    root = 0.05 * torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(3))
    return root @ root.mT


@pytest.mark.parametrize("encoding", [gaussian(DOMAIN), positional(DOMAIN), Identity(DOMAIN)])
def test_an_encoding_that_does_not_integrate_never_hears_of_a_footprint(encoding: Encoding) -> None:
    field, x = make(encoding), points(9, 2)
    assert torch.equal(field(x, footprints(9)), field(x))


@pytest.mark.parametrize(
    "encoding",
    [
        positional(DOMAIN, 4, integrates=True),
        positional(DOMAIN, 4, include_input=True, integrates=True),
        CoarseToFine(DOMAIN, partial(positional, num_frequencies=4, integrates=True)),
    ],
)
def test_an_encoding_that_integrates_gets_the_footprint(encoding: Encoding) -> None:
    field, x, covariance = make(encoding), points(9, 2), footprints(9)
    (read, _) = read_by(field.network.hidden[0], field, x)
    assert torch.equal(read, encoding(x))
    value = field(x, covariance)
    # The sigmoid of the network on the features that the encoding gives with the footprint.
    assert torch.equal(value, torch.sigmoid(field.network(encoding(x, covariance))))
    assert not torch.equal(value, field(x))
    # A footprint of no size is a point.
    torch.testing.assert_close(field(x, torch.zeros(9, 2, 2)), field(x))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_footprints_stay_in_float32_under_autocast(precision: str) -> None:
    field = make(positional(DOMAIN, 7, integrates=True), precision)
    x, covariance = points(100, 2), footprints(100)
    with torch.autocast("cpu", torch.bfloat16):
        inside = field(x, covariance)
    assert torch.equal(inside, field(x, covariance))


# Interpolation


def picture(height: int, width: int, channels: int = 2) -> Tensor:
    return torch.rand(height, width, channels, generator=torch.Generator().manual_seed(2))


def interpolation(samples: Tensor, mode: str) -> tuple[Interpolation, Domain]:
    height, width = samples.shape[:2]
    domain = Domain((width, height))
    grid = domain.grid()
    return Interpolation(samples, grid[0, 0], grid[-1, -1], mode), domain  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", [(5, 7), (8, 3), (1, 6), (6, 1), (1, 1)])
def test_samples_are_reproduced_at_their_centers(mode: str, shape: tuple[int, int]) -> None:
    samples = picture(*shape)
    field, domain = interpolation(samples, mode)
    # A position among 8 samples is rounded by 2^-21, and values change by at most a few per sample.
    torch.testing.assert_close(field(domain.grid()), samples, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_any_batch_shape_interpolates(mode: str) -> None:
    field, _ = interpolation(picture(5, 7, 3), mode)
    for shape in ((), (4,), (2, 3), (0,)):
        assert field(points(*shape, 2)).shape == (*shape, 3)


def test_bilinear_reproduces_a_ramp_between_the_samples() -> None:
    domain = Domain((9, 6))
    slope = torch.tensor([0.3, -0.2])
    field, _ = interpolation((domain.grid() @ slope)[..., None], "bilinear")
    ends = domain.grid()[-1, -1]
    inside = points(500, 2) * ends
    torch.testing.assert_close(field(inside)[:, 0], inside @ slope, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_two_samples_beyond_the_outermost_the_border_is_repeated(mode: str) -> None:
    samples = picture(4, 4)
    field, domain = interpolation(samples, mode)
    beyond = domain.grid()[-1, 0] + 2 * domain.spacing[0] * torch.tensor([-1, 1])
    torch.testing.assert_close(field(beyond), samples[-1, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "mode, weights",
    # Keys' kernel with a = -0.75 at t = 1/2: a/8 for the outer samples, 1/2 - a/8 for the inner ones.
    [("bilinear", [0, 0.5, 0.5, 0]), ("bicubic", [-0.09375, 0.59375, 0.59375, -0.09375])],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_midpoint_weights(mode: str, weights: list[float], axis: int) -> None:
    """The response half-way between samples 3 and 4 of 8, to each sample set to 1 in turn."""
    for i, weight in zip(range(2, 6), weights, strict=True):
        samples = torch.zeros(8, 8, 1)
        samples.select(1 - axis, i).fill_(1)
        field, _ = interpolation(samples, mode)
        assert field(torch.zeros(2)).item() == pytest.approx(weight, abs=1e-5)


def test_a_held_out_image_is_interpolated_from_its_training_pixels_alone() -> None:
    pixels = picture(9, 12, 3)
    spoilt = torch.full_like(pixels, torch.nan)
    spoilt[::3, ::3] = pixels[::3, ::3]
    image = Image(spoilt, train_stride=3)
    values = Interpolation(*image.training_samples(), "bicubic")(image.domain.grid())
    assert values.isfinite().all()
    torch.testing.assert_close(values[::3, ::3], pixels[::3, ::3], atol=1e-5, rtol=0)


def test_unknown_interpolation_is_refused() -> None:
    with pytest.raises(UserError, match=r"^baseline='nearest' must be one of bilinear, bicubic$"):
        interpolation(picture(3, 3), "nearest")
