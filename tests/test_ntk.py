"""The empirical tangent kernel: the layer-wise form, the Jacobian's, and what gradient descent does."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from coordnet.coords import Domain
from coordnet.diagnostics.ntk import (
    condition_number,
    effective_rank,
    eigendecomposition,
    energy_shares,
    entropy_rank,
    jacobian_kernel,
    num_for_share,
    predicted_loss,
    predicted_residuals,
    tangent_kernel,
)
from coordnet.diagnostics.proposal import infinite_width_ntk
from coordnet.encodings.fourier import gaussian
from coordnet.encodings.learnable import LearnableFourier
from coordnet.fields.field import Field
from coordnet.networks.mlp import Mlp
from coordnet.networks.siren import Siren

DOMAIN = Domain((32, 32), 2)


def points(n: int, dim: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, dim, generator=generator, dtype=torch.float64) * 2 - 1


def flat_jacobian(field: nn.Module, x: Tensor) -> Tensor:
    """J, (n * C, weights), one backward pass per value."""
    weights = [weight for weight in field.parameters() if weight.requires_grad]
    rows = [torch.autograd.grad(value, weights, retain_graph=True) for value in field(x).flatten()]
    return torch.stack([torch.cat([slope.flatten() for slope in row]) for row in rows])


class Tied(nn.Module):
    """One layer, called twice, and a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.tensor([0.7, 1.3]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.scale * self.layer(x).relu())


class Shared(nn.Module):
    """Two layers that share their weight but not their bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


def frozen_first_layer() -> nn.Module:
    network = Mlp(2, 2, depth=2, width=8)
    network.hidden[0].weight.requires_grad_(False)
    return network


FIELDS = {
    "mlp": partial(Mlp, 2, 3, depth=3, width=8),
    "skip": partial(Mlp, 2, 3, depth=3, width=8, skip=2),
    "linear": partial(Mlp, 2, 3, depth=0),
    "siren": partial(Siren, 2, 2, depth=2, width=8),
    "frozen": frozen_first_layer,
    "sigmoid": lambda: Field(gaussian(DOMAIN, 2.0, 4), Mlp(8, 3, depth=2, width=8), (0.0, 1.0)),
    "trainable frequencies": lambda: Field(gaussian(DOMAIN, 2.0, 4, trainable=True), Mlp(8, 2, 1, 8)),
    "learnable": lambda: Field(
        LearnableFourier(DOMAIN, num_frequencies=4, width=8, num_features=6), Mlp(6, 1, 1, 8)
    ),
    "tied": Tied,
    "shared": Shared,
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_kernel_is_the_gram_matrix_of_the_jacobian(name: str) -> None:
    torch.manual_seed(0)
    field, x = FIELDS[name]().double(), points(7)
    jacobian = flat_jacobian(field, x)
    exact = (jacobian @ jacobian.T).reshape(7, -1, 7, jacobian.shape[0] // 7)
    # A Field gives its value in float32.
    tolerance = {"rtol": 1e-6, "atol": 1e-7} if isinstance(field, Field) else {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(tangent_kernel(field, x, full=True), exact.double(), **tolerance)
    mean = exact.diagonal(dim1=1, dim2=3).mean(dim=-1).double()
    torch.testing.assert_close(tangent_kernel(field, x), mean, **tolerance)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("max_entries", [1, 900, 10**9])
def test_blocks_of_any_size_give_the_same_kernel(max_entries: int, full: bool) -> None:
    torch.manual_seed(0)
    network, x = Mlp(2, 3, depth=2, width=8, skip=1).double(), points(7)
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    blocks = jacobian_kernel(network, weights, x, full=full, max_entries=max_entries)
    torch.testing.assert_close(blocks, tangent_kernel(network, x, full=full), rtol=1e-12, atol=1e-12)


def test_the_kernel_of_a_linear_model_is_its_gram_matrix() -> None:
    encoding = gaussian(DOMAIN, 2.0, 16).double()
    network, x = Mlp(encoding.out_dim, 2, depth=0).double(), points(9)
    features = encoding(x)
    gram = features @ features.T + 1
    kernel = tangent_kernel(nn.Sequential(encoding, network), x, full=True)
    torch.testing.assert_close(kernel, torch.einsum("ij,cd->icjd", gram, torch.eye(2).double()))
    torch.testing.assert_close(tangent_kernel(nn.Sequential(encoding, network), x), gram)


def test_a_wide_network_has_the_kernel_of_the_arc_cosine_recursion() -> None:
    """Cho & Saul (2009): on unit vectors, weights of variance 2/n per layer and no biases, up to one factor."""
    torch.manual_seed(0)
    angle = torch.linspace(0, math.pi, 9, dtype=torch.float64)
    x = torch.stack([angle.cos(), angle.sin()], dim=-1)
    layers = [
        nn.Linear(2, 3000, bias=False),
        nn.Linear(3000, 3000, bias=False),
        nn.Linear(3000, 1, bias=False),
    ]
    for layer in layers:
        nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
    # The recursion counts each layer alike, as in the NTK parametrization: weights w / sqrt(n) with w of variance 1.
    gains = [math.sqrt(layer.in_features / 2) for layer in layers]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).double()
    kernel = torch.zeros(9, 9, dtype=torch.float64)
    for layer, gain in zip(layers, gains, strict=True):
        for other in layers:
            other.weight.requires_grad_(other is layer)
        kernel += tangent_kernel(network, x) / gain**2
    expected = torch.from_numpy(infinite_width_ntk(angle.cos().numpy(), depth=2))
    torch.testing.assert_close(kernel[0] / kernel[0, 0], expected / expected[0], rtol=0.06, atol=0.03)


def test_one_small_step_of_descent_moves_the_values_by_the_kernel_times_the_residual() -> None:
    torch.manual_seed(0)
    network, x = Mlp(2, 2, depth=3, width=32, skip=1).double(), points(12)
    target = torch.randn(12, 2, dtype=torch.float64)
    kernel = tangent_kernel(network, x, full=True)
    before = network(x)
    loss = (before - target).square().sum() / 2
    loss.backward()
    rate = 1e-7
    with torch.no_grad():
        for weight in network.parameters():
            weight -= rate * weight.grad
        moved = (network(x) - before) / rate
        expected = -torch.einsum("icjd,jd->ic", kernel, before - target)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def descend(network: nn.Module, x: Tensor, target: Tensor, lr: float, steps: list[int]) -> list[Tensor]:
    """Residuals after some steps of torch's own SGD on the mean squared error."""
    optimizer = torch.optim.SGD(network.parameters(), lr)
    residuals = []
    for step in range(max(steps) + 1):
        residual = network(x) - target
        if step in steps:
            residuals.append(residual.detach())
        optimizer.zero_grad()
        residual.square().mean().backward()
        optimizer.step()
    return residuals


def test_the_loss_of_a_linear_model_is_predicted_to_the_last_digit() -> None:
    encoding = gaussian(DOMAIN, 2.0, 16).double()
    model, x = nn.Sequential(encoding, Mlp(encoding.out_dim, 2, depth=0).double()), points(20)
    target = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    steps = [0, 1, 2, 10, 100]
    kernel = tangent_kernel(model, x, full=True)
    with torch.no_grad():
        start = model(x) - target
    predicted = predicted_loss(kernel, start, 0.3, torch.tensor(steps))
    measured = [residual.square().mean() for residual in descend(model, x, target, 0.3, steps)]
    torch.testing.assert_close(predicted, torch.stack(measured), rtol=1e-9, atol=0)
    assert predicted[-1] < predicted[0] / 10


def test_residuals_of_a_linear_model_are_predicted_where_it_is_not_trained_too() -> None:
    encoding = gaussian(DOMAIN, 2.0, 16).double()
    model, x = nn.Sequential(encoding, Mlp(encoding.out_dim, 1, depth=0).double()), points(20)
    target = (3 * x[:, :1]).sin()
    trained = torch.arange(20) % 2 == 0
    steps = [0, 1, 7, 60]
    kernel = tangent_kernel(model, x)
    with torch.no_grad():
        start = (model(x) - target)[:, 0]
    predicted = predicted_residuals(kernel, start, 0.02, torch.tensor(steps), trained)
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    for step in range(61):
        residual = (model(x) - target)[:, 0]
        if step in steps:
            torch.testing.assert_close(predicted[steps.index(step)], residual.detach(), rtol=1e-8, atol=1e-8)
        optimizer.zero_grad()
        (residual[trained].square().sum() / 2).backward()
        optimizer.step()


def test_a_wider_network_is_nearer_to_what_its_first_kernel_predicts() -> None:
    """The loss falls by more than half, and the prediction's error shrinks with width as the theory has it."""
    x = points(16, dim=1)
    target = (3 * x).sin() / 4
    off = []
    for width in (32, 1024):
        torch.manual_seed(0)
        network = Mlp(1, 1, depth=2, width=width, init="lecun_normal").double()
        kernel = tangent_kernel(network, x)
        rate = 0.2 * 16 / 2 / float(eigendecomposition(kernel).eigenvalues[0])
        with torch.no_grad():
            start = network(x) - target
        predicted = predicted_loss(kernel, start, rate, torch.tensor([0, 40]))
        measured = descend(network, x, target, rate, [40])[0].square().mean()
        assert predicted[1] < predicted[0] / 2
        off.append(abs(float(measured / predicted[1]) - 1))
    assert off[1] < off[0] / 3 and off[1] < 0.05


def test_a_learning_rate_beyond_the_stable_one_is_refused() -> None:
    kernel = torch.diag(torch.tensor([4.0, 1.0]))
    start = torch.ones(2)
    assert predicted_residuals(kernel, start, 0.49, torch.tensor([1]))[0, 0] == pytest.approx(1 - 0.49 * 4)
    with pytest.raises(ValueError, match=r"above 2 / \(largest eigenvalue\) = 0\.5"):
        predicted_residuals(kernel, start, 0.51, torch.tensor([1]))


def test_a_kernel_of_other_points_than_the_residuals_is_refused() -> None:
    with pytest.raises(ValueError, match="a kernel of 3 rows does not fit 2 residuals"):
        predicted_loss(torch.eye(3), torch.ones(2), 0.1, torch.tensor([1]))


def test_a_direction_that_the_kernel_does_not_have_is_never_learned() -> None:
    kernel = torch.diag(torch.tensor([2.0, 0.0]))
    left = predicted_residuals(kernel, torch.tensor([1.0, 3.0]), 0.25, torch.tensor([0, 1, 1000]))
    torch.testing.assert_close(left[:, 1], torch.full((3,), 3.0).double())
    torch.testing.assert_close(left[:, 0], torch.tensor([1.0, 0.5, 0.0]).double(), atol=1e-12, rtol=0)


def test_ranks_and_condition_have_their_closed_forms() -> None:
    equal, one = torch.full((5,), 3.0).double(), torch.tensor([7.0, 0, 0, 0, 0]).double()
    assert effective_rank(equal) == pytest.approx(5) and entropy_rank(equal) == pytest.approx(5)
    assert effective_rank(one) == pytest.approx(1) and entropy_rank(one) == pytest.approx(1)
    assert condition_number(equal) == 1 and condition_number(one) == math.inf
    two = torch.tensor([3.0, 1.0]).double()
    assert effective_rank(two) == pytest.approx(16 / 10)
    assert entropy_rank(two) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert condition_number(two) == 3


def test_eigenvalues_fall_and_rebuild_the_kernel() -> None:
    matrix = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kernel = matrix @ matrix.T
    values, vectors = eigendecomposition(kernel)
    assert (values.diff() <= 0).all()
    torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, kernel)


def test_energy_is_that_of_the_coefficients_without_the_mean() -> None:
    basis = torch.linalg.qr(torch.cat([torch.ones(4, 1), torch.eye(4)[:, :3]], dim=1).double()).Q
    target = torch.stack([5 + 3 * basis[:, 1], 4 * basis[:, 2] - 7], dim=1)
    shares = energy_shares(basis, target)
    torch.testing.assert_close(
        shares, torch.tensor([0, 9 / 25, 16 / 25, 0], dtype=torch.float64), atol=1e-12, rtol=0
    )
    assert [num_for_share(shares, share) for share in (0.3, 9 / 25, 0.5, 1.0)] == [2, 2, 3, 3]


def test_computing_the_kernel_leaves_the_field_as_it_was() -> None:
    field = Mlp(2, 1, depth=2, width=8)
    before = {name: weight.clone() for name, weight in field.state_dict().items()}
    state = torch.get_rng_state()
    tangent_kernel(field, points(5).float())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], weight) for name, weight in field.state_dict().items())
    assert all(weight.grad is None for weight in field.parameters())
    assert not any(module._forward_hooks for module in field.modules())
