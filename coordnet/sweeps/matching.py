"""What the rows of an ablation have in common besides the signal."""

from collections.abc import Mapping, Sequence
from typing import Any

from coordnet.errors import UserError
from coordnet.sweeps.sweep import TOLERANCE
from coordnet.training.assemble import assemble
from coordnet.training.build_field import is_trained

MAX_WIDTH = 8192

Config = Mapping[str, Any]


def count_parameters(config: Config, allow: Sequence[str]) -> int:
    """Trainable parameters of a run."""
    model = assemble(config, allow)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def with_width(config: Config, width: int) -> dict[str, Any]:
    return {**config, "network": {**config["network"], "width": width}}


def equal_parameters(config: Config, target: int, allow: Sequence[str]) -> int | None:
    """The network.width that brings a run nearest to `target` parameters; None for one that is not trained.

    Raises:
        UserError: The network has no width, or none comes within 2 % of the target.
    """
    if not is_trained(config):
        return None
    name = f"{config['label'] or config['name']}"
    if "width" not in config["network"]:
        raise UserError(f"fairness=parameters needs a network with a width, which that of {name} has not")

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
            f"fairness=parameters: {name} comes no nearer to {target:,} parameters than {counts[width]:,} "
            f"(network.width={width}), which is beyond {TOLERANCE:.0%}"
        )
    return width
