import math
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.networks.base import Network
from coordnet.networks.mlp import Mlp
from coordnet.networks.siren import Siren

FILES = sorted((shipped.config_dir() / "network").glob("*.yaml"))
every_network = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def make(file: Path, in_dim: int = 6, out_dim: int = 3, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    network = build(yaml.safe_load(file.read_text()), "network", in_dim=in_dim, out_dim=out_dim)
    assert isinstance(network, Network)
    return network


def features(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(1)) - 1


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# The contract of every shipped network


@every_network
@pytest.mark.parametrize("in_dim, out_dim", [(1, 1), (2, 3), (512, 4)])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_maps_in_dim_to_out_dim_for_any_batch_shape(
    file: Path, in_dim: int, out_dim: int, shape: tuple[int, ...]
) -> None:
    network = make(file, in_dim, out_dim)
    raw = network(features(*shape, in_dim))
    assert raw.shape == network.output_activation(raw).shape == (*shape, out_dim)
    assert raw.isfinite().all()


@every_network
def test_each_point_is_mapped_on_its_own(file: Path) -> None:
    network, x = make(file), features(5, 6)
    torch.testing.assert_close(network(x), torch.stack([network(row) for row in x]), atol=1e-4, rtol=1e-4)


@every_network
def test_every_parameter_and_the_input_have_finite_gradients(file: Path) -> None:
    network, x = make(file), features(20, 6).requires_grad_()
    network.output_activation(network(x)).square().sum().backward()
    for tensor in (x, *network.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.any()


@every_network
def test_same_seed_same_weights_and_state_dict_round_trip(file: Path) -> None:
    x = features(4, 6)
    first, again, other = make(file, seed=0), make(file, seed=0), make(file, seed=1)
    assert torch.equal(first(x), again(x))
    assert not torch.allclose(first(x), other(x))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(x), other(x))


@every_network
def test_moves_to_other_dtypes(file: Path) -> None:
    network, x = make(file), features(4, 6)
    single = network(x)
    double = network.double()(x.double())
    assert double.dtype == torch.float64
    # A few dozen roundings per sum of 256 terms, amplified by omega 30 in each of three sine layers.
    torch.testing.assert_close(double.float(), single, atol=1e-3, rtol=0)


@every_network
def test_to_unit_rises_through_one_half(file: Path) -> None:
    unit = make(file).output_activation(torch.tensor([-1.0, 0.0, 1.0]))
    assert unit[1] == 0.5
    assert 0 <= unit[0] < unit[1] < unit[2] <= 1


@pytest.mark.parametrize("network", [Mlp, Siren])
@pytest.mark.parametrize("depth, width", [(1, 8), (3, 256), (5, 17)])
def test_parameters_have_a_closed_form(network: type[Mlp] | type[Siren], depth: int, width: int) -> None:
    expected = (2 + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * 3
    assert count(network(2, 3, depth=depth, width=width)) == expected


@pytest.mark.parametrize(
    "network, options",
    [(Mlp, {"depth": -1}), (Mlp, {"width": 0}), (Siren, {"depth": 0}), (Siren, {"width": 0})],
)
def test_impossible_shapes_are_refused_by_name(
    network: type[Mlp] | type[Siren], options: dict[str, int]
) -> None:
    ((name, value),) = options.items()
    with pytest.raises(UserError, match=rf"^{name}={value} [^\n]*$"):
        network(2, 3, **options)


# Mlp


def test_mlp_weights_are_glorot_normal_and_biases_small() -> None:
    torch.manual_seed(0)
    network = Mlp(400, 300, depth=2, width=256)
    for layer in (*network.hidden, network.out):
        rows, columns = layer.weight.shape
        # At least 65536 draws: a relative error of 1 / sqrt(2 * 65536) = 0.3 %, taken five times.
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / (rows + columns)), rel=0.015)
        # Normal, not uniform: the kurtosis is 3, not 1.8.
        kurtosis = (layer.weight**4).mean() / (layer.weight**2).mean() ** 2
        assert kurtosis.item() == pytest.approx(3, abs=0.15)
        # 256 draws at least: 4.4 %, taken five times.
        assert layer.bias.std().item() == pytest.approx(0.01, rel=0.22)


def test_mlp_of_pytorchs_init_is_uniform_within_one_over_the_root_of_the_inputs() -> None:
    torch.manual_seed(0)
    network = Mlp(400, 300, depth=2, width=256, init="torch")
    for layer in (*network.hidden, network.out):
        bound = layer.in_features**-0.5
        for tensor in (layer.weight, layer.bias):
            # Uniform in +-bound: standard deviation bound / sqrt(3), of 256 draws at least known to 2.8 %, five times.
            assert 0.95 * bound < tensor.abs().max().item() <= bound
            assert tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.14)


def test_mlp_of_lecuns_init_keeps_the_variance_of_a_linear_layer_and_has_no_bias() -> None:
    torch.manual_seed(0)
    network = Mlp(400, 300, depth=2, width=256, init="lecun_normal")
    for layer in (*network.hidden, network.out):
        assert layer.weight.std().item() == pytest.approx(layer.in_features**-0.5, rel=0.015)
        kurtosis = (layer.weight**4).mean() / (layer.weight**2).mean() ** 2
        assert kurtosis.item() == pytest.approx(3, abs=0.15)
        assert not layer.bias.any()


def test_mlp_without_hidden_layers_is_linear_in_its_features() -> None:
    torch.manual_seed(0)
    network, x = Mlp(5, 2, depth=0, width=7), features(9, 5)
    torch.testing.assert_close(network(x), x @ network.out.weight.T + network.out.bias)
    assert count(network) == 5 * 2 + 2


def test_mlp_is_its_formula() -> None:
    torch.manual_seed(0)
    network, x = Mlp(2, 3, depth=2, width=16), features(9, 2)
    (w0, b0), (w1, b1) = ((layer.weight, layer.bias) for layer in network.hidden)
    h = (x @ w0.T + b0).clamp(min=0)
    h = (h @ w1.T + b1).clamp(min=0)
    expected = h @ network.out.weight.T + network.out.bias
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(network.output_activation(expected), 1 / (1 + (-expected).exp()))


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_skip_concatenates_the_features_to_the_output_of_that_many_layers(skip: int) -> None:
    torch.manual_seed(0)
    plain, skipping = Mlp(5, 1, depth=4, width=8), Mlp(5, 1, depth=4, width=8, skip=skip)
    assert count(skipping) - count(plain) == 5 * 8
    assert skipping.hidden[skip].in_features == 5 + 8
    # All layers alike, and the columns that read the features again set to zero: the skip has no effect.
    skipping.load_state_dict(
        plain.state_dict()
        | {f"hidden.{skip}.weight": torch.cat([torch.zeros(8, 5), plain.hidden[skip].weight.detach()], dim=1)}
    )
    x = features(7, 5)
    torch.testing.assert_close(skipping(x), plain(x))
    # With those columns alone, nothing before the skip matters.
    with torch.no_grad():
        skipping.hidden[skip].weight.copy_(torch.cat([torch.ones(8, 5), torch.zeros(8, 8)], dim=1))
        before = skipping(x)
        skipping.hidden[0].weight.mul_(7)
        assert torch.equal(skipping(x), before)
        assert not torch.allclose(skipping(x + 1), before)


@pytest.mark.parametrize("skip", [0, 4, 5, -1])
def test_skip_outside_the_hidden_layers_is_refused(skip: int) -> None:
    with pytest.raises(UserError, match=rf"^skip={skip} [^\n]*$"):
        Mlp(2, 1, depth=4, skip=skip)


# Siren


def test_siren_golden() -> None:
    """sin(30 z) at z = 0.1 is 0.141120; a second layer takes the sine of that."""
    network = Siren(1, 1, depth=2, width=1, omega_first=30, omega_hidden=2)
    with torch.no_grad():
        for layer in (*network.hidden, network.out):
            layer.weight.fill_(1)
            layer.bias.zero_()
        network.hidden[0].bias.fill_(0.04)
        value = network(torch.tensor([0.06])).item()
    assert value == pytest.approx(math.sin(2 * 0.141120), abs=1e-6)


def test_siren_weights_are_uniform_within_the_papers_bounds() -> None:
    torch.manual_seed(0)
    network = Siren(300, 256, depth=3, width=256, omega_hidden=30)
    bounds = [1 / 300, math.sqrt(6 / 256) / 30, math.sqrt(6 / 256) / 30]
    for layer, bound in zip((*network.hidden, network.out), [*bounds, bounds[1]], strict=True):
        largest = layer.weight.abs().max().item()
        # The largest of 65536 uniform draws lies within 0.1 % of the bound but for odds of e^-65.
        assert 0.999 * bound < largest <= bound
        # A uniform variable's standard deviation is bound / sqrt(3), known here to 0.2 %, taken five times.
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    "bias_init, low, high",
    # Reference C: 0.92 to 1.0, and 1.46 to 1.51, at width 256; widened by the spread over seeds.
    [("siren", 0.88, 1.05), ("torch", 1.4, 1.6)],
)
def test_siren_pre_activations_keep_their_standard_deviation(bias_init: str, low: float, high: float) -> None:
    torch.manual_seed(0)
    network = Siren(2, 1, depth=5, width=256, bias_init=bias_init)  # type: ignore[arg-type]
    h = features(2000, 2)
    with torch.no_grad():
        for i, layer in enumerate(network.hidden):
            z = 30 * layer(h)
            if i > 0:
                assert low < z.std() < high
            h = z.sin()


@pytest.mark.parametrize("name", ["omega_first", "omega_hidden"])
def test_siren_refuses_an_omega_of_zero(name: str) -> None:
    with pytest.raises(UserError, match=rf"^{name}=0"):
        Siren(2, 1, **{name: 0.0})


def test_siren_output_in_minus_one_to_one_is_read_as_zero_to_one() -> None:
    assert Siren(2, 1).output_activation(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 0.5, 1]


def test_siren_asks_for_float32() -> None:
    assert Mlp.bfloat16_safe and not Siren.bfloat16_safe
