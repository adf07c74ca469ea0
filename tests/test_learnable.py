import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erf
from torch import nn

from coordnet.coords import Domain
from coordnet.encodings.learnable import LearnableFourier
from coordnet.errors import UserError

DOMAIN = Domain((64, 64), train_stride=2)


def test_it_is_the_formula_of_the_paper() -> None:
    """[cos xW, sin xW] / sqrt(F), then a layer, x Phi(x) and a layer, in numpy; W = pi B."""
    torch.manual_seed(0)
    encoding = LearnableFourier(DOMAIN, scale=3.0, num_frequencies=5, width=7, num_features=4).double()
    weights = {name: value.detach().numpy() for name, value in encoding.state_dict().items()}
    x = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    phase = x @ (math.pi * weights["fourier.frequencies"]).T
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=-1) / math.sqrt(10)
    # The first layer's columns for cosines come after those for sines here.
    first = np.concatenate([weights["mlp.0.weight"][:, 5:], weights["mlp.0.weight"][:, :5]], axis=1)
    hidden = waves @ first.T + weights["mlp.0.bias"]
    active = hidden * (1 + erf(hidden / math.sqrt(2))) / 2
    expected = active @ weights["mlp.2.weight"].T + weights["mlp.2.bias"]
    # The factor 1 / sqrt(F) is kept in float32.
    assert encoding(torch.from_numpy(x)).detach().numpy() == pytest.approx(expected, abs=1e-7)


def test_waves_have_the_same_length_everywhere() -> None:
    """sum_j (cos^2 + sin^2) / 2m = 1/2."""
    waves = LearnableFourier(DOMAIN).fourier(DOMAIN.grid())
    # 128 squares of at most 1/128, rounded in float32.
    torch.testing.assert_close(waves.square().sum(-1), torch.full((64, 64), 0.5), atol=1e-6, rtol=0)


def test_all_of_it_is_trained() -> None:
    encoding = LearnableFourier(DOMAIN, num_frequencies=8, width=12, num_features=6)
    encoding(torch.rand(20, 2)).square().sum().backward()
    gradients = {name: p.grad for name, p in encoding.named_parameters()}
    assert gradients.keys() == {
        "fourier.frequencies",
        *(f"mlp.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")),
    }
    assert all(g is not None and g.abs().max() > 0 for g in gradients.values())
    assert sum(p.numel() for p in encoding.parameters()) == 8 * 2 + (16 + 1) * 12 + (12 + 1) * 6


def test_training_moves_the_frequencies_toward_those_of_the_signal() -> None:
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    target = torch.sin(3 * math.pi * x)
    encoding = LearnableFourier(Domain((64,)), scale=1.0, num_frequencies=16, width=32, num_features=8)
    model = nn.Sequential(encoding, nn.Linear(8, 1))
    start = encoding.fourier.frequencies.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    errors = []
    for _ in range(200):
        loss = (model(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.05 * errors[0]
    assert (encoding.fourier.frequencies - start).abs().max() > 0.01


def test_the_default_scale_is_a_share_of_the_training_nyquist() -> None:
    frequencies = LearnableFourier(DOMAIN, num_frequencies=20000, width=1).fourier.frequencies.detach()
    # 40000 draws around 0.08 of 16 cycles: a relative error of 1 / sqrt(80000), taken five times.
    assert frequencies.std().item() == pytest.approx(0.08 * 16, rel=0.018)


def test_the_draw_follows_its_seed_and_nothing_else() -> None:
    torch.manual_seed(0)
    first = LearnableFourier(DOMAIN, seed=3)
    torch.manual_seed(1)
    second = LearnableFourier(DOMAIN, seed=3)
    assert torch.equal(first.fourier.frequencies, second.fourier.frequencies)
    assert not torch.equal(first.mlp[0].weight, second.mlp[0].weight)
    assert not torch.equal(LearnableFourier(DOMAIN, seed=4).fourier.frequencies, first.fourier.frequencies)


def test_its_features_are_no_waves() -> None:
    assert LearnableFourier(DOMAIN).feature_frequencies() is None


@pytest.mark.parametrize(
    "options, key",
    [
        ({"scale": 0.0}, "scale"),
        ({"num_frequencies": 0}, "num_frequencies"),
        ({"width": 0}, "width"),
        ({"num_features": 0}, "num_features"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}=[^\n]*$"):
        LearnableFourier(DOMAIN, **options)
