"""A scene without files: a ball of radius 1/2, colored by its normal, on a white background."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from coordnet.coords import Domain
from coordnet.encodings.factorized_grid import vector_matrix
from coordnet.encodings.no_encoding import NoEncoding
from coordnet.encodings.spherical import SphericalHarmonics
from coordnet.fields.radiance_field import RadianceField
from coordnet.forward_maps.hierarchical import HierarchicalRenderer
from coordnet.networks.mlp import Mlp
from coordnet.runs.load import LoadedRun
from coordnet.signals.base import Signal
from coordnet.signals.spec import SignalSpec

DOMAIN = Domain((32, 32, 32))
RADIUS = 0.5


def rays(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rays from all sides at distance 3, toward points near the center."""
    draws = torch.Generator().manual_seed(seed)
    origins = 3 * F.normalize(torch.randn(count, 3, generator=draws), dim=-1)
    targets = 0.6 * (2 * torch.rand(count, 3, generator=draws) - 1)
    return origins, F.normalize(targets - origins, dim=-1)


def ball(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Colors (n, 3) and distances (n, 1), infinite where a ray misses the ball."""
    along = -(origins * directions).sum(-1, keepdim=True)
    height2 = origins.square().sum(-1, keepdim=True) - along**2
    hit = height2 < RADIUS**2
    distance = torch.where(hit, along - (RADIUS**2 - height2).clamp(min=0).sqrt(), torch.inf)
    normal = (origins + along.minimum(distance) * directions) / RADIUS
    return torch.where(hit, (normal + 1) / 2, 1.0), distance


class Solid:
    """The ball as a field, so dense that one sample inside hides everything behind the sample."""

    def __call__(self, coords: Tensor) -> Tensor:
        return self.density(coords)[0]

    def density(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        return 1e4 * (coords.norm(dim=-1, keepdim=True) < RADIUS), coords

    def color(
        self, coords: Tensor, directions: Tensor, features: Tensor, ray_indices: Tensor | None = None
    ) -> Tensor:
        return (F.normalize(features, dim=-1) + 1) / 2


class Balls(Signal):
    """The colors of rays toward the ball."""

    domain = DOMAIN
    channels = 3
    value_range = (0.0, 1.0)

    def __init__(self, num_observations: int = 4096) -> None:
        self.num_observations = num_observations
        self.origins, self.directions = rays(num_observations)
        self.value = ball(self.origins, self.directions)[0]

    def get_batch(self, index: Tensor) -> dict[str, Tensor]:
        given = {"origins": self.origins, "directions": self.directions, "value": self.value}
        return {name: tensor[index] for name, tensor in given.items()}


def small_field(**options: Any) -> RadianceField:
    """A field of planes and lines with a small network, initialized from seed 0."""
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "network": partial(Mlp, depth=1, width=16),
        "direction": partial(SphericalHarmonics, degree=2),
        "color_encoding": NoEncoding,
        "color_network": partial(Mlp, depth=1, width=16),
        "encoding": vector_matrix(DOMAIN, num_features=4),
    }
    return RadianceField(DOMAIN, 3, (0.0, 1.0), **(given | options))


def loaded_scene(directory: Path, spec: SignalSpec, num_samples: int, field: Any = None) -> LoadedRun:
    """A run of the ball, or of another field, with the cameras of a spec."""
    renderer = HierarchicalRenderer(num_samples=num_samples).eval()
    return LoadedRun(directory, "last", {}, spec, 0, field or Solid(), renderer, torch.device("cpu"))
