"""Encodings one by one, and grids beside what PyTorch offers."""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import yaml
from plain import PlainHashGrid
from timing import in_turns, ratios, show, spread
from torch import Tensor, nn
from torch.nn import functional as F

from coordnet.build import build
from coordnet.coords import Domain
from coordnet.encodings.factors import planes
from coordnet.encodings.hash_grid import HashGrid
from coordnet.errors import UserError
from coordnet.runtime import keep_memory
from coordnet.shipped import config_dir

POINTS = 16384
RESOLUTION, CHANNELS = 256, 16


def forward_and_back(function: nn.Module | Callable[[Tensor], Tensor], coords: Tensor) -> Callable[[], None]:
    """Features, and where something is trained in them the gradients of their sum."""

    def run() -> None:
        features = function(coords)
        if features.requires_grad:
            for weight in function.parameters() if isinstance(function, nn.Module) else ():
                weight.grad = None
            features.sum().backward()

    return run


def shipped(name: str, domain: Domain) -> Any:
    """The encoding of a yaml, on its own; what its config takes from elsewhere is 0."""
    node = yaml.safe_load((config_dir() / "encoding" / f"{name}.yaml").read_text())
    chosen = {
        key: 0 if isinstance(value, str) and value.startswith("${") else value for key, value in node.items()
    }
    return build(chosen, "encoding", domain=domain)


def encodings(rounds: int) -> Any:
    """Features of 16,384 points of a picture of 512 x 512, trained on every second pixel, by each shipped encoding."""
    keep_memory()
    domain = Domain((512, 512), 2)
    coords = 2 * torch.rand(POINTS, 2) - 1
    cases, widths = {}, {}
    for file in sorted((config_dir() / "encoding").glob("*.yaml")):
        if "defaults:" in file.read_text():
            continue
        try:
            encoding = shipped(file.stem, domain)
        except UserError:  # It takes another number of columns.
            continue
        cases[file.stem] = forward_and_back(encoding, coords)
        widths[file.stem] = encoding.out_dim
    times = in_turns(cases, rounds, "encodings", repeats=3)
    each = {name: median(ms) * 1e6 / POINTS / widths[name] for name, ms in times.items()}
    show(
        [
            {
                "what": name,
                "features": str(widths[name]),
                "ms": spread(ms),
                "ns a feature": f"{each[name]:.2f}",
            }
            for name, ms in times.items()
        ]
    )
    return times


def grids(rounds: int) -> Any:
    """Forward and backward of 16,384 points: the hash grid of 16 levels of 2 channels, from 16 to 2,048 cells and with
    2^19 entries, in 3-D, beside gathering and summing the corners; and planes of 256 x 256 with 16 channels beside
    PyTorch's grid_sample, which has no second derivatives."""
    keep_memory()
    torch.manual_seed(0)
    domain = Domain((2048,) * 3)
    coords = 2 * torch.rand(POINTS, 3) - 1
    hashed = HashGrid(domain, finest=2048)
    direct = PlainHashGrid(hashed.resolutions, 2**19)
    direct.values.data.copy_(hashed.values.data)
    with torch.no_grad():
        apart = float((hashed(coords) - direct((coords + 1) / 2)).abs().max())
    assert apart < 1e-8, f"the two hash grids are {apart} apart, of values up to 1e-4"
    factors = planes(Domain((RESOLUTION,) * 3), channels=CHANNELS)
    tables = nn.ParameterList(nn.Parameter(torch.rand(1, CHANNELS, RESOLUTION, RESOLUTION)) for _ in range(3))

    class Sampled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = tables

        def forward(self, coords: Tensor) -> Tensor:
            pairs = [coords[None, None, :, axes] for axes in ([0, 1], [0, 2], [1, 2])]
            return torch.cat(
                [
                    F.grid_sample(table, pair, padding_mode="border", align_corners=True)[0, :, 0]
                    for table, pair in zip(self.tables, pairs, strict=True)
                ]
            )

    cases = {
        "hash grid": forward_and_back(hashed, coords),
        "hash grid, gather and sum": forward_and_back(direct, (coords + 1) / 2),
        "planes": forward_and_back(factors, coords),
        "planes, grid_sample": forward_and_back(Sampled(), coords),
    }
    times = in_turns(cases, rounds, "grids", repeats=3)
    beside = {"hash grid": "hash grid, gather and sum", "planes": "planes, grid_sample"}
    show(
        [
            {
                "what": name,
                "ms": spread(ms),
                "times as fast": spread(ratios(times[beside[name]], ms)) if name in beside else "",
            }
            for name, ms in times.items()
        ]
    )
    return times
