import math

import pytest
import torch
from support import make_config
from torch import Tensor, nn

from coordnet.config import shipped
from coordnet.config.build import build
from coordnet.errors import UserError
from coordnet.forward_maps.base import ForwardMap
from coordnet.forward_maps.line_integral import LineIntegral
from coordnet.forward_maps.point import PointEvaluation

FILES = sorted((shipped.config_dir() / "forward_map").glob("*.yaml"))


def lines(count: int = 7, dim: int = 2) -> Tensor:
    return 2 * torch.rand(count, 2, dim, generator=torch.Generator().manual_seed(0)) - 1


def lengths(segments: Tensor) -> Tensor:
    return (segments[:, 1] - segments[:, 0]).norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_every_shipped_forward_map_builds_and_names_what_it_needs(name: str) -> None:
    forward_map = build(make_config(f"forward_map={name}")["forward_map"], "forward_map")
    assert isinstance(forward_map, ForwardMap)
    assert forward_map.required_keys


def test_sample_passes_the_field_through() -> None:
    coords = torch.rand(5, 2)
    assert torch.equal(PointEvaluation()(torch.sin, {"coords": coords})["value"], coords.sin())


@pytest.mark.parametrize("num_samples", [1, 2, 128])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_integral_of_a_constant_is_the_length(dim: int, num_samples: int) -> None:
    segments = lines(dim=dim)
    value = LineIntegral(num_samples)(lambda x: torch.ones(len(x), 1), {"lines": segments})["value"]
    torch.testing.assert_close(value, lengths(segments))


@pytest.mark.parametrize("num_samples", [1, 2, 128])
def test_integral_of_a_linear_field_is_exact(num_samples: int) -> None:
    segments, slope = lines(), torch.tensor([[2.0, -3.0]])
    value = LineIntegral(num_samples)(lambda x: x @ slope.T + 0.5, {"lines": segments})["value"]
    torch.testing.assert_close(value, lengths(segments) * (segments.mean(dim=1) @ slope.T + 0.5))


def test_integral_of_a_gaussian_is_the_error_function() -> None:
    segments = lines().double()
    rate = 4.0
    value = LineIntegral(512)(lambda x: (-rate * (x**2).sum(-1, keepdim=True)).exp(), {"lines": segments})[
        "value"
    ]
    length = lengths(segments)
    direction = (segments[:, 1] - segments[:, 0]) / length
    near, far = ((segments[:, end] * direction).sum(-1, keepdim=True) for end in (0, 1))
    distance2 = (segments[:, 0] ** 2).sum(-1, keepdim=True) - near**2
    reach = math.sqrt(rate)
    along = math.sqrt(math.pi) / (2 * reach) * (torch.erf(reach * far) - torch.erf(reach * near))
    torch.testing.assert_close(value, (-rate * distance2).exp() * along, rtol=1e-4, atol=1e-6)


def test_a_line_has_the_same_integral_backwards() -> None:
    segments = lines()
    forward, backward = (
        LineIntegral(9)(lambda x: x.sin().sum(-1, keepdim=True), {"lines": s})["value"]
        for s in (segments, segments.flip(1))
    )
    torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_field_is_evaluated_once_at_all_points(count: int) -> None:
    seen = []

    def field(coords: Tensor) -> Tensor:
        seen.append(coords.shape)
        return coords.repeat(1, 2)

    value = LineIntegral(5)(field, {"lines": lines(count, dim=3)})["value"]
    assert seen == [(count * 5, 3)]
    assert value.shape == (count, 6)


def test_gradients_reach_the_parameters() -> None:
    field = nn.Linear(2, 1)
    segments = lines()
    LineIntegral(4)(field, {"lines": segments})["value"].sum().backward()
    assert field.bias.grad is not None and field.weight.grad is not None
    torch.testing.assert_close(field.bias.grad, lengths(segments).sum()[None])
    torch.testing.assert_close(field.weight.grad, (lengths(segments) * segments.mean(dim=1)).sum(0)[None])


def test_no_samples_are_refused() -> None:
    with pytest.raises(UserError, match=r"^num_samples=0 must be a whole number from 1 to 65536$"):
        LineIntegral(0)
