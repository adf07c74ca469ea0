"""Which numbers the options of shipped targets may be. No torch here, so that a slip shows before it is loaded."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from coordnet.errors import UserError, shown


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Attributes:
        low: The lowest.
        high: The highest.
        unit: Of both.
        whole: Whole numbers only.
        null: None is allowed too.
        above: All numbers are above `low`.
        below: All numbers are below `high`.
        entries: Numbers in a list; 0 for any number of them, and None for one without a list.
    """

    low: float
    high: float
    unit: str = ""
    whole: bool = False
    null: bool = False
    above: bool = False
    below: bool = False
    entries: int | None = None

    def holds(self, value: Any) -> bool:
        if value is None:
            return self.null
        if self.entries is None:
            return self.holds_one(value)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        return len(value) == (self.entries or len(value)) and all(map(self.holds_one, value))

    def holds_one(self, value: Any) -> bool:
        kind: Any = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        over = value > self.low if self.above else value >= self.low
        under = value < self.high if self.below else value <= self.high
        return bool(over and under)

    def check(self, key: str, value: object) -> None:
        """Refuse a value of the option `key` that is none of these numbers.

        Raises:
            UserError: The message names key, value and range.
        """
        if not self.holds(value):
            raise UserError(f"{key}={shown(value)} must be {self}")

    def __str__(self) -> str:
        what = "whole number" if self.whole else "number"
        if self.entries is not None:
            what = f"list of {f'{self.entries} ' if self.entries else ''}{what}s"
        low = f"above {spelled(self.low)} and up" if self.above else f"from {spelled(self.low)}"
        high = f"below {spelled(self.high)}" if self.below else spelled(self.high)
        unit = f" {self.unit}" if self.unit else ""
        return f"a {what} {low} to {high}{unit}{', or null' if self.null else ''}"


def spelled(bound: float) -> str:
    """A number as a person writes it: large and small powers of 2 as such."""
    exponent = math.frexp(bound)[1] - 1
    if abs(exponent) > 16 and abs(bound) == 2**exponent:
        return f"{'-' if bound < 0 else ''}2^{exponent}"
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def or_null(numbers: Range) -> Range:
    return replace(numbers, null=True)


# What float32 coordinates in [-1, 1] can follow, and can see at all.
MAX_FREQUENCY = 2**24
MIN_FREQUENCY = 2**-24
# What is trained, in float32 with Adam's two moments and the gradients, then takes up to 4 GiB.
MAX_WEIGHTS = 2**28
# Of frequencies, features or bins: a batch of 8192 samples then takes gigabytes.
COUNT = Range(1, 2**16, whole=True)
TWO_OR_MORE = replace(COUNT, low=2)
CYCLES = Range(MIN_FREQUENCY, MAX_FREQUENCY, "cycles across the domain")
SHIFT = Range(-MAX_FREQUENCY, MAX_FREQUENCY)
SEED = Range(0, 2**63 - 1, whole=True)
SHARE = Range(0, 1)

DEPTH = Range(0, 1024, "hidden layers", whole=True)
WIDTH = Range(1, MAX_WEIGHTS, whole=True)
OMEGA = Range(1e-6, 1e6)

# Rates have no scale; these are what float32 holds.
RATE = Range(0, 1e38)
STEPS = Range(1, 10**9, whole=True)


GRID = {"resolution": or_null(TWO_OR_MORE), "num_features": COUNT}
SAMPLED = {"scale": or_null(CYCLES), "num_frequencies": COUNT, "seed": SEED}

# Of each target with such options. Bounds that depend on other values are the constructor's to check.
RANGES: Mapping[str, Mapping[str, Range]] = {
    "coordnet.encodings.fourier.positional": {
        "num_frequencies": or_null(COUNT),
        "min_frequency": CYCLES,
        "max_frequency": or_null(CYCLES),
    },
    "coordnet.encodings.fourier.transformer": {
        "num_features": TWO_OR_MORE,
        "base": Range(1, 1e12, above=True),
    },
    "coordnet.encodings.fourier.log_linear": {
        "num_frequencies": TWO_OR_MORE,
        "octaves": Range(0, math.log2(MAX_FREQUENCY), null=True, above=True),
    },
    "coordnet.encodings.fourier.geometric": {"num_frequencies": COUNT, "scale": or_null(CYCLES)},
    "coordnet.encodings.fourier.harmonic": {"num_frequencies": or_null(COUNT), "decay": Range(-3, 1000)},
    "coordnet.encodings.fourier.gaussian": SAMPLED,
    "coordnet.encodings.fourier.random_fourier": SAMPLED,
    "coordnet.encodings.factorized_grid.plane_product": GRID,
    "coordnet.encodings.factorized_grid.planes": GRID,
    "coordnet.encodings.factorized_grid.vector_matrix": GRID,
    "coordnet.encodings.grid.Grid": GRID,
    "coordnet.encodings.hash_grid.HashGrid": {
        "num_levels": Range(1, 64, whole=True),
        "features_per_level": COUNT,
        "log2_hashmap_size": Range(1, 24, whole=True),
        "base_resolution": COUNT,
        "max_resolution": or_null(COUNT),
    },
    "coordnet.encodings.identity.Identity": {"scale": SHIFT, "offset": SHIFT},
    # The digits that float32 coordinates hold.
    "coordnet.encodings.ladder.Binary": {"num_digits": Range(1, 24, whole=True, null=True)},
    "coordnet.encodings.ladder.Sine": {"num_frequencies": or_null(COUNT), "min_frequency": CYCLES},
    "coordnet.encodings.learnable.LearnableFourier": {**SAMPLED, "width": COUNT, "num_features": COUNT},
    "coordnet.encodings.one_blob.OneBlob": {"num_bins": COUNT},
    "coordnet.encodings.spherical.SphericalHarmonics": {"degree": Range(1, 5, whole=True)},
    "coordnet.encodings.triangle.Triangle": {"num_frequencies": or_null(COUNT)},
    "coordnet.encodings.coarse_to_fine.CoarseToFine": {"start": SHARE, "end": SHARE},
    "coordnet.networks.mlp.Mlp": {
        "depth": DEPTH,
        "width": WIDTH,
        "skip": Range(1, DEPTH.high - 1, "hidden layers", whole=True, null=True),
    },
    "coordnet.networks.siren.Siren": {
        "depth": replace(DEPTH, low=1),
        "width": WIDTH,
        "omega_first": OMEGA,
        "omega_hidden": OMEGA,
    },
    "torch.optim.Adam": {
        "lr": RATE,
        "encoding_lr": or_null(RATE),
        "betas": Range(0, 1, below=True, entries=2),
        "eps": SHARE,
        "weight_decay": RATE,
    },
    "torch.optim.SGD": {
        "lr": RATE,
        "encoding_lr": or_null(RATE),
        "momentum": SHARE,
        "dampening": SHARE,
        "weight_decay": RATE,
    },
}


def check_ranges(target: Callable[..., object], **options: object) -> None:
    """What a shipped constructor asks of its numbers.

    Args:
        target: The constructor.
        options: Values by name.

    Raises:
        UserError: One is outside its range; the message names it as encoding.scale.
    """
    module = target.__module__
    group = module.split(".")[1].removesuffix("s")
    ranges = RANGES[f"{module}.{target.__qualname__}"]
    for name, value in options.items():
        ranges[name].check(f"{group}.{name}", value)
