"""Equal parameter counts for the variants of an ablation."""

from collections.abc import Mapping, Sequence
from typing import Any

from coordnet.errors import UserError
from coordnet.sweeps.sweep import TOLERANCE
from coordnet.training.assemble import assemble
from coordnet.training.build_field import is_trained

# Widest network that the search tries.
MAX_WIDTH = 8192

Config = Mapping[str, Any]


def count_parameters(config: Config, allow: Sequence[str]) -> int:
    """Count the trainable parameters of the run that a config describes."""
    model = assemble(config, allow)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def with_width(config: Config, width: int) -> dict[str, Any]:
    """Return a copy of a config with another network.width."""
    return {**config, "network": {**config["network"], "width": width}}


def equal_parameters(config: Config, target: int, allow: Sequence[str]) -> int | None:
    """Find the network.width that brings a run nearest to `target` parameters.

    Returns:
        The width, or None for a run that is not trained.

    Raises:
        UserError: The network has no width, or no width comes within 2 % of the target.
    """
    if not is_trained(config):
        return None
    name = f"{config['label'] or config['name']}"
    if "width" not in config["network"]:
        raise UserError(f"match=parameters needs network.width, which the network of {name} does not have")

    def count(width: int) -> int:
        return count_parameters(with_width(config, width), allow)

    low, high = 1, 2
    while high < MAX_WIDTH and count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    counts = {width: count(width) for width in (low, high)}
    width = min(counts, key=lambda w: abs(counts[w] - target))
    if abs(counts[width] - target) > TOLERANCE * target:
        raise UserError(
            f"match=parameters: the parameter count of {name} nearest to {target:,} is {counts[width]:,} "
            f"(network.width={width}), further off than {TOLERANCE:.0%}"
        )
    return width
