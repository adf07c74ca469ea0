"""Encodings one by one, and grids beside what PyTorch offers."""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from config import composed
from plain import PlainHashGrid, PlainLevels, PlainPlanes
from timing import in_turns, ratios, show, spread
from torch import Tensor, nn

from coordnet.config.build import build
from coordnet.config.shipped import config_dir
from coordnet.coords import Domain
from coordnet.encodings.factorized_grid import planes
from coordnet.encodings.hash_grid import HashGrid
from coordnet.errors import UserError
from coordnet.training.runtime import keep_memory

POINTS = 16384
RESOLUTION, CHANNELS = 256, 16


def forward_and_back(module: nn.Module, coords: Tensor) -> Callable[[], None]:
    """Features, and where something is trained in them the gradients of their sum."""

    def run() -> None:
        module.zero_grad()
        features = module(coords)
        if features.requires_grad:
            features.sum().backward()

    return run


def encodings(rounds: int) -> Any:
    """Features of 16,384 points of a picture of 512 x 512, trained on every second pixel, by each shipped encoding."""
    keep_memory()
    domain = Domain((512, 512), 2)
    coords = 2 * torch.rand(POINTS, 2) - 1
    cases, widths = {}, {}
    for file in sorted((config_dir() / "encoding").glob("*.yaml")):
        try:
            encoding = build(composed(f"encoding={file.stem}")["encoding"], "encoding", domain=domain)
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
    2^19 entries, in 3-D, beside gathering and summing the corners, from one table for all levels or from one for each;
    and planes of 256 x 256 with 16 channels beside PyTorch's grid_sample, which has no second derivatives."""
    keep_memory()
    torch.manual_seed(0)
    coords = 2 * torch.rand(POINTS, 3) - 1
    unit = (coords + 1) / 2
    hashed = HashGrid(Domain((2048,) * 3), max_resolution=2048)
    one = PlainHashGrid(hashed.resolutions, 2**hashed.log2_hashmap_size)
    each = PlainLevels(hashed.resolutions, 2**hashed.log2_hashmap_size)
    one.values.data.copy_(hashed.values.data)
    for table, values in zip(each.parameters(), hashed.values.data.split(hashed.sizes), strict=True):
        table.data.copy_(values)
    with torch.no_grad():
        features = hashed(coords)
        apart = max(float((features - other).abs().max()) for other in (one(unit), each(unit)))
    assert apart < 1e-8, f"hash grids are {apart} apart, of values up to 1e-4"
    factors = planes(Domain((RESOLUTION,) * 3), num_features=CHANNELS)
    cases = {
        "hash grid": forward_and_back(hashed, coords),
        "gather and sum, one table": forward_and_back(one, unit),
        "gather and sum, a table per level": forward_and_back(each, unit),
        "planes": forward_and_back(factors, coords),
        "grid_sample": forward_and_back(PlainPlanes(RESOLUTION, CHANNELS), coords),
    }
    times = in_turns(cases, rounds, "grids", repeats=3)
    ours = dict.fromkeys(cases, "hash grid") | {"grid_sample": "planes"}
    show(
        [
            {
                "what": name,
                "ms": spread(ms),
                "times ours": "" if name in ours.values() else spread(ratios(ms, times[ours[name]])),
            }
            for name, ms in times.items()
        ]
    )
    return times
