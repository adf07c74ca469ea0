import math
from functools import partial
from typing import Any

import pytest
import torch
from support import SMALL, make_config

from coordnet.config.build import build
from coordnet.coords import Domain
from coordnet.encodings.coarse_to_fine import CoarseToFine
from coordnet.encodings.composite import Composite
from coordnet.encodings.fourier import basic, gaussian, positional
from coordnet.encodings.identity import Identity
from coordnet.encodings.one_blob import OneBlob
from coordnet.errors import UserError
from coordnet.training.assemble import assemble

DOMAIN = Domain((64, 32, 8))
COORDS = torch.tensor([[0.3, -0.2, 0.1], [-0.9, 0.45, -0.05]])


def part(columns: list[int] | None, encoding: Any, **options: Any) -> dict[str, Any]:
    return {"columns": columns, "encoding": partial(encoding, **options)}


def test_a_concatenation_is_each_encoding_of_its_columns_in_the_order_of_the_parts() -> None:
    parts = {
        "later": part([2, 0], positional, num_frequencies=2),
        "all": part(None, gaussian, num_frequencies=3),
        "y": {"encoding": Identity, "columns": [1]},
    }
    encoding = Composite(DOMAIN, "concat", parts)
    expected = [
        positional(Domain((8, 64)), num_frequencies=2)(COORDS[:, [2, 0]]),
        gaussian(DOMAIN, num_frequencies=3)(COORDS),
        COORDS[:, 1:2],
    ]
    assert torch.equal(encoding(COORDS), torch.cat(expected, dim=-1))
    assert encoding.in_dim == 3 and encoding.out_dim == 8 + 6 + 1


def test_absent_columns_are_all_columns() -> None:
    encoding = Composite(DOMAIN, "concat", {"all": {"encoding": basic}})
    assert torch.equal(encoding(COORDS), basic(DOMAIN)(COORDS))


def test_sums_and_products_are_taken_feature_by_feature() -> None:
    """sin and cos of pi x on one column and of pi z on another."""
    parts = {"x": part([0], basic), "yz": part([1, 2], OneBlob, num_bins=1)}
    x, y, z = COORDS[0].tolist()

    def blob(v: float) -> float:
        """One bin holds all of a blob that is as wide as the domain, but for what hangs over its ends."""

        def below(t: float) -> float:
            return 0.5 + 15 / 16 * t * (1 - 2 / 3 * t**2 + t**4 / 5)

        return below((1 - v) / 2) - below(-(1 + v) / 2)

    waves = [math.sin(math.pi * x), math.cos(math.pi * x)]
    total = Composite(DOMAIN, "sum", parts)
    assert total(COORDS)[0].tolist() == pytest.approx([waves[0] + blob(y), waves[1] + blob(z)], abs=1e-6)
    product = Composite(DOMAIN, "product", parts)
    assert product(COORDS)[0].tolist() == pytest.approx([waves[0] * blob(y), waves[1] * blob(z)], abs=1e-6)
    assert total.out_dim == product.out_dim == 2


def test_parts_of_a_domain_that_is_no_cube_keep_coordinates_and_nyquist() -> None:
    """The y of 512 x 128 pixels spans [-1/4, 1/4]; alone it still does, and its default bands reach as high."""
    domain = Domain((512, 128), train_stride=2)
    encoding = Composite(domain, "concat", {"x": part([0], positional), "y": part([1], positional)})
    whole = positional(domain)
    bands = len(whole.frequencies) // 2
    sines_x, sines_y, cosines_x, cosines_y = whole(domain.grid()).split(bands, dim=-1)
    expected = torch.cat([sines_x, cosines_x, sines_y, cosines_y], dim=-1)
    # Phases up to 64 pi are rounded to 1.5e-5 at most, in one matrix product and in another.
    torch.testing.assert_close(encoding(domain.grid()), expected, atol=5e-5, rtol=0)


def test_frequencies_lie_along_the_columns_of_their_part() -> None:
    parts = {
        "zx": part([2, 0], basic),
        "raw": part([1], Identity),
        "y": part([1], positional, num_frequencies=2, include_input=True),
    }
    frequencies = Composite(DOMAIN, "concat", parts).feature_frequencies()
    assert frequencies is not None
    rows = [[0, 0, 1], [1, 0, 0]] * 2 + [[0, 0, 0]] * 2 + [[0, 1, 0], [0, 2, 0]] * 2
    assert frequencies.tolist() == rows


def test_a_window_masks_the_waves_of_a_concatenation_octave_by_octave() -> None:
    parts = {"xy": part([0, 1], positional, num_frequencies=3), "z": part([2], Identity)}
    window = CoarseToFine(DOMAIN, partial(Composite, combine="concat", parts=parts), end=1.0)
    window.on_step(1, 3)
    expected = Composite(DOMAIN, "concat", parts)(COORDS)
    # alpha = 1: octave 0, the first of three bands, is open, and z is never masked.
    mask = torch.tensor([1.0, 0, 0] * 4 + [1])
    torch.testing.assert_close(window(COORDS), mask * expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_sums_and_products_tell_of_no_frequencies(combine: Any) -> None:
    parts = {"xy": part([0, 1], positional, num_frequencies=1), "z": part([2], positional, num_frequencies=2)}
    assert Composite(DOMAIN, combine, parts).feature_frequencies() is None


def test_no_waves_at_all_are_no_frequencies() -> None:
    assert Composite(DOMAIN, "concat", {"all": part(None, Identity)}).feature_frequencies() is None


@pytest.mark.parametrize(
    "combine, encodings, raw",
    [
        ("concat", [Identity, basic], True),
        ("concat", [basic, basic], False),
        ("sum", [Identity, Identity], True),
        ("sum", [Identity, partial(OneBlob, num_bins=1)], False),
        ("product", [Identity, Identity], False),
        ("product", [Identity, partial(OneBlob, num_bins=1)], False),
        ("product", [Identity], True),
    ],
)
def test_raw_is_told_of_a_feature_that_is_still_a_coordinate(
    combine: Any, encodings: list[Any], raw: bool
) -> None:
    """By the test of the contract: such a feature is an affine function of the coordinates."""
    domain = Domain((8, 8))
    parts = {str(i): {"encoding": encoding} for i, encoding in enumerate(encodings)}
    composite = Composite(domain, combine, parts).double()
    coords = domain.grid().double().reshape(-1, 2)
    features = composite(coords)
    design = torch.cat([coords, torch.ones(64, 1)], dim=1)
    residual = features - design @ torch.linalg.lstsq(design, features).solution
    assert composite.includes_input == bool((residual.abs().amax(0) < 1e-10).any()) == raw


def test_footprints_reach_the_parts_that_average_over_them() -> None:
    spread = torch.tensor([[0.02, 0.01, 0.0], [0.01, 0.03, 0.005], [0.0, 0.005, 0.04]])
    averaging = part([2, 0], positional, num_frequencies=2, integrates=True)
    parts = {"zx": averaging, "y": part([1], positional, num_frequencies=4)}
    covariance = spread.expand(2, 3, 3)
    inner = positional(DOMAIN.select_axes([2, 0]), num_frequencies=2, integrates=True)
    swapped = torch.tensor([[0.04, 0.0], [0.0, 0.02]])
    first = inner(COORDS[:, [2, 0]], swapped.expand(2, 2, 2))
    second = positional(DOMAIN.select_axes([1]), num_frequencies=4)(COORDS[:, 1:2])
    composite = Composite(DOMAIN, "concat", parts)
    assert composite.integrates
    assert torch.equal(composite(COORDS, covariance), torch.cat([first, second], dim=-1))
    assert torch.equal(Composite(DOMAIN, "sum", parts)(COORDS, covariance), first + second)
    assert not Composite(DOMAIN, "product", parts).integrates


def test_state_dict_round_trip() -> None:
    def make(seed: int) -> Composite:
        trained = part(None, gaussian, num_frequencies=4, seed=seed, trainable=True)
        return Composite(
            DOMAIN, "concat", {"a": trained, "b": part([1], gaussian, num_frequencies=2, seed=seed)}
        )

    first, second = make(0), make(1)
    assert not torch.equal(first(COORDS), second(COORDS))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(COORDS), second(COORDS))


@pytest.mark.parametrize("combine", ["concat", "sum", "product"])
def test_gradients_reach_coordinates_and_trained_frequencies(combine: Any) -> None:
    parts = {
        "all": part(None, gaussian, num_frequencies=3, scale=2.0, trainable=True),
        "z": part([2], positional, num_frequencies=3),
    }
    encoding = Composite(DOMAIN, combine, parts).double()
    coords = COORDS.double().requires_grad_()
    assert torch.autograd.gradcheck(encoding, coords, atol=1e-5)
    assert torch.autograd.gradgradcheck(encoding, coords, atol=1e-4)
    # Not of squares, whose sum over a sine and its cosine is 1 whatever the frequency.
    encoding(coords).pow(3).sum().backward()
    (frequencies,) = encoding.parameters()
    assert frequencies.grad is not None and frequencies.grad.abs().max() > 0


def test_an_encoding_is_swapped_from_the_command_line() -> None:
    swap = "encoding@encoding.parts.x.encoding=gaussian"
    config = make_config("encoding=composite", swap, "encoding.parts.x.encoding.num_frequencies=6", "seed=3")
    domain = Domain((32, 16))
    encoding = build(config["encoding"], "encoding", domain=domain)
    coords = domain.grid()
    x = gaussian(domain.select_axes([0]), num_frequencies=6, seed=3)(coords[..., :1])
    assert torch.equal(
        encoding(coords), torch.cat([x, positional(domain.select_axes([1]))(coords[..., 1:])], dim=-1)
    )


def test_a_third_part_is_added_from_the_command_line() -> None:
    config = make_config(
        "encoding=composite",
        "+encoding@encoding.parts.rest.encoding=one_blob",
        "+encoding.parts.rest.columns=[2]",
        "encoding.parts.y.encoding.num_frequencies=1",
    )
    encoding = build(config["encoding"], "encoding", domain=DOMAIN)
    x, y = positional(DOMAIN.select_axes([0])), positional(DOMAIN.select_axes([1]), num_frequencies=1)
    expected = [x(COORDS[:, :1]), y(COORDS[:, 1:2]), OneBlob(DOMAIN.select_axes([2]))(COORDS[:, 2:])]
    assert torch.equal(encoding(COORDS), torch.cat(expected, dim=-1))


def test_the_shipped_one_trains_on_images() -> None:
    model = assemble(make_config("encoding=composite", *SMALL))
    assert model.field.encoding.in_dim == 2
    assert model.field(torch.zeros(5, 2)).shape == (5, 3)


@pytest.mark.parametrize(
    "combine, parts, message",
    [
        ("concat", {}, "parts=[] must hold all columns, 0 to 2; add [0, 1, 2]"),
        ("concat", {"x": None}, "parts.x=None must be a mapping with columns and encoding"),
        (
            "concat",
            {"x": {"column": [0], "encoding": basic}},
            "parts.x.column=[0] is unknown; known are columns and encoding",
        ),
        ("concat", {"x": {"columns": [0]}}, "parts.x.encoding=None must be a node with a _target_"),
        (
            "concat",
            {"x": part([0], basic), "yz": part([2], basic)},
            "parts=['x', 'yz'] must hold all columns, 0 to 2; add [1]",
        ),
        (
            "sum",
            {"x": part([0], basic), "yz": part([1, 2], basic)},
            "combine='sum' must have parts of one width, but the widths are {'x': 2, 'yz': 4}",
        ),
    ],
)
def test_what_cannot_be_combined_is_refused_by_name(
    combine: Any, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        Composite(DOMAIN, combine, parts)
    assert str(refused.value) == message


FOURIER = "coordnet.encodings.fourier"
COMPOSITE = "coordnet.encodings.composite.Composite"
INNER = {
    "_target_": COMPOSITE,
    "combine": "concat",
    "parts": {"b": {"columns": [3], "encoding": {"_target_": f"{FOURIER}.basic"}}},
}


@pytest.mark.parametrize(
    "node, message",
    [
        (
            {"_target_": f"{FOURIER}.positional", "min_frequency": -1.0},
            "encoding.parts.a.encoding.min_frequency=-1.0 must be a number from 2^-24 to 2^24 cycles across the domain",
        ),
        (
            INNER,
            "encoding.parts.a.encoding.parts.b.columns=[3] must be distinct numbers from 0 to 2, or null for all",
        ),
        (
            {"_target_": "coordnet.training.optimizers.adam"},
            "encoding.parts.a.encoding._target_=coordnet.training.optimizers.adam does not fit here: "
            "missing a required argument: 'params'",
        ),
    ],
)
def test_what_a_part_refuses_comes_with_its_full_key(node: dict[str, Any], message: str) -> None:
    whole = {"_target_": COMPOSITE, "combine": "concat", "parts": {"a": {"encoding": node}}}
    with pytest.raises(UserError) as refused:
        build(whole, "encoding", domain=DOMAIN)
    assert str(refused.value) == message


@pytest.mark.parametrize("columns", [[], [3], [-1], [0, 0], 0, "x", [True], [0.0], [[0]]])
def test_columns_are_different_numbers_within_the_dimension(columns: Any) -> None:
    with pytest.raises(UserError) as refused:
        Composite(DOMAIN, "concat", {"x": part(columns, basic)})
    expected = f"parts.x.columns={columns!r} must be distinct numbers from 0 to 2, or null for all"
    assert str(refused.value) == expected
