from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scenes import DOMAIN, rays, small_field
from support import make_config
from torch import Tensor
from torch.nn import functional as F

from coordnet.config import shipped
from coordnet.coords import Domain
from coordnet.encodings.factorized_grid import planes
from coordnet.encodings.fourier import positional
from coordnet.encodings.identity import Identity
from coordnet.encodings.no_encoding import NoEncoding
from coordnet.errors import UserError
from coordnet.fields.radiance_field import RadianceField
from coordnet.networks.mlp import Mlp
from coordnet.signals.spec import SignalSpec
from coordnet.training.assemble import assemble
from coordnet.training.build_field import build_field

RADIANCE = sorted(file.stem for file in (shipped.config_dir() / "radiance").glob("*.yaml"))
DIRECTIONS = sorted(file.stem for file in (shipped.config_dir() / "radiance" / "direction").glob("*.yaml"))
COLOR_ENCODINGS = sorted(
    file.stem for file in (shipped.config_dir() / "radiance" / "color_encoding").glob("*.yaml")
)
ENCODINGS = sorted(file.stem for file in (shipped.config_dir() / "encoding").glob("*.yaml"))
SCENE = ("forward_map=hierarchical", "network.depth=1", "network.width=8")


def made(*overrides: str) -> RadianceField:
    """The field of `coordnet train *overrides` on a scene."""
    field = build_field(make_config(*SCENE, *overrides), SignalSpec(DOMAIN, 3, (0.0, 1.0)))
    assert isinstance(field, RadianceField)
    return field


def places(count: int = 50) -> Tensor:
    return 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 1


def check(field: RadianceField) -> None:
    """Densities and colors of the right shapes and ranges, and gradients for every parameter."""
    x, (_, directions) = places(), rays(50)
    density, features = field.density(x)
    color = field.color(x, directions, features)
    assert density.shape == (50, 1) and (density >= 0).all() and density.isfinite().all()
    assert color.shape == (50, 3) and (color >= 0).all() and (color <= 1).all()
    assert density.dtype == color.dtype == torch.float32
    assert torch.equal(field(x), density)
    (density.sum() + color.sum()).backward()
    assert all(parameter.grad is not None for parameter in field.parameters())


@pytest.mark.parametrize("name", RADIANCE)
def test_every_shipped_field_gives_densities_and_colors(name: str) -> None:
    check(made(f"radiance={name}", "encoding=positional"))


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_that_takes_three_coordinates_fits(name: str) -> None:
    columns = ["+encoding@encoding.parts.z.encoding=sine", "+encoding.parts.z.columns=[2]"]
    sizes = {"hash_grid": ["encoding.log2_hashmap_size=8"], "composite": columns}
    check(made("radiance=small", f"encoding={name}", *sizes.get(name, [])))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_every_direction_encoding_fits(name: str) -> None:
    field = made("radiance=small", f"radiance/direction={name}", "encoding=positional")
    check(field)
    x = places(1)
    _, features = field.density(x)
    one, other = (field.color(x, d, features) for d in torch.eye(3)[:2, None])
    assert torch.equal(one, other) == (name == "none")


@pytest.mark.parametrize("name", COLOR_ENCODINGS)
def test_every_color_encoding_fits(name: str) -> None:
    small = [] if name == "none" else ["radiance.color_encoding.resolution=8"]
    check(made("radiance=small", f"radiance/color_encoding={name}", "encoding=positional", *small))


def test_any_encoding_may_encode_directions() -> None:
    chosen = ("radiance/direction=none", "+encoding@radiance.direction=gaussian")
    check(made("radiance=small", *chosen, "encoding=positional"))


def test_density_is_what_the_formula_says() -> None:
    for activation, formula in {
        "softplus": F.softplus,
        "relu": torch.relu,
        "exp": torch.exp,
    }.items():
        field = small_field(activation=activation, density_bias=0.5, density_scale=3.0)
        x = places()
        raw = field.network(field.encoding(x))[:, :1]
        torch.testing.assert_close(field(x), 3 * formula(raw + 0.5))


def test_an_exponential_density_is_finite_however_large_its_logarithm() -> None:
    field = small_field(activation="exp", density_bias=100.0)
    assert field(places()).isfinite().all()


def test_without_a_color_network_the_features_are_the_color() -> None:
    field = small_field(color_network=None, direction=NoEncoding)
    x, (_, directions) = places(), rays(50)
    raw = field.network(field.encoding(x))
    torch.testing.assert_close(field.color(x, directions, field.density(x)[1]), raw[:, 1:].sigmoid())


def test_directions_of_rays_are_those_of_their_samples() -> None:
    field, (_, directions) = small_field(), rays(7)
    ray = torch.arange(50) % 7
    x = places()
    _, features = field.density(x)
    torch.testing.assert_close(
        field.color(x, directions, features, ray), field.color(x, directions[ray], features)
    )


def test_the_color_encoding_reaches_the_color_alone() -> None:
    field = small_field(color_encoding=partial(planes, resolution=8, num_features=2))
    x, (_, directions) = places(), rays(50)
    before = field.density(x)[0], field.color(x, directions, field.density(x)[1])
    for values in field.color_encoding.parameters():
        values.data.uniform_(-1, 1)
    after = field.density(x)[0], field.color(x, directions, field.density(x)[1])
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])


def test_bfloat16_is_close_to_float32() -> None:
    full, half = small_field(), small_field(precision="bfloat16")
    x, (_, directions) = places(), rays(50)
    assert not torch.equal(full(x), half(x))
    torch.testing.assert_close(full(x), half(x), atol=0.02, rtol=0.02)
    colors = [field.color(x, directions, field.density(x)[1]) for field in (full, half)]
    torch.testing.assert_close(*colors, atol=0.02, rtol=0)


def test_phases_stay_in_float32_under_bfloat16() -> None:
    field = small_field(encoding=positional(DOMAIN, 4), precision="bfloat16")
    x = places()
    with torch.autocast("cpu", torch.bfloat16):
        features = field.encode(field.encoding, x)
    assert features.dtype == torch.bfloat16
    assert (features.float() - field.encoding(x)).abs().max() <= 2**-9


def test_no_places_have_no_densities() -> None:
    field = small_field(color_encoding=partial(planes, resolution=8, num_features=2))
    x = torch.zeros(0, 3)
    density, features = field.density(x)
    color = field.color(x, torch.ones(4, 3), features, torch.zeros(0, dtype=torch.long))
    assert density.shape == (0, 1) and color.shape == (0, 3)
    (density.sum() + color.sum()).backward()


def test_a_state_goes_round() -> None:
    field, other = small_field(), small_field()
    for parameter in other.parameters():
        parameter.data += 1
    other.load_state_dict(field.state_dict())
    assert torch.equal(field(places()), other(places()))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"color_network": None}, r"^color_network=None must be a network, .* use radiance/direction=none"),
        ({"num_features": 0, "direction": NoEncoding}, r"^num_features=0 must be at least 1, because"),
    ],
)
def test_what_a_field_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_field(**options)


def test_a_picture_has_no_radiance() -> None:
    with pytest.raises(UserError, match="has 3 dimensions, but the signal has 2; choose a scene"):
        RadianceField(
            Domain((8, 8)),
            3,
            None,
            Identity(Domain((8, 8))),
            Mlp,
            NoEncoding,
            NoEncoding,
            partial(Mlp, depth=1),
        )


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["radiance.color_network.depth=-1"], r"^radiance\.color_network\.depth=-1 must be"),
        (
            ["radiance.direction.degree=9"],
            r"^radiance\.direction\.degree=9 must be a whole number from 1 to 5",
        ),
        (["network.depth=-1"], r"^network\.depth=-1 must be"),
        (["radiance.activation=tanh"], r"^radiance\.activation='tanh' must be one of softplus, exp, relu$"),
    ],
)
def test_errors_name_the_key(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made("radiance=small", "encoding=positional", *overrides)


def test_a_field_and_a_forward_map_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^forward_map=HierarchicalRenderer needs a radiance field; choose one"
    ):
        assemble(make_config("forward_map=hierarchical"))
    with pytest.raises(UserError, match=r"^a radiance field has 3 dimensions"):
        assemble(make_config("radiance=nerf"))
