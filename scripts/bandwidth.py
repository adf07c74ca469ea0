"""Train and test PSNR against the bandwidth of an encoding: the U-curve over sigma and over octaves.

    python scripts/bandwidth.py [--paper] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=bandwidth` (minutes), with `--paper` by the published protocol (a week), or reads a finished sweep.
Further overrides go to `coordnet train`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reproduction import print_table, save, train

from coordnet.config.build import build
from coordnet.reports.results import load_sweep
from coordnet.reports.tables import Table
from coordnet.reports.variants import Variant, make_variants

# Values of Tancik et al. 2020, fig. 10: 512 pixels, training on every second pixel.
PUBLISHED_BEST, PUBLISHED_NYQUIST = 10.0, 128.0
SCORES = {"train/psnr": "training pixels", "test/psnr": "pixels between them (test)"}


class Point(NamedTuple):
    """One bandwidth of an encoding.

    Attributes:
        band: sigma, or the highest of the octaves, in cycles across the image.
        variant: Runs of this bandwidth, one per image.
    """

    band: float
    variant: Variant

    def score(self, name: str) -> float:
        return mean(self.variant.values(name))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    name = "bandwidth" + "_paper" * options.paper
    sweep = load_sweep(options.sweep or train(name, overrides))
    variants = make_variants(sweep)
    nyquist = max(build(variants[0].results[0].config["signal"], "signal").domain.nyquist)
    gaussian, octaves = (points(variants, encoding) for encoding in ("gaussian", "positional"))
    print_table(f"PSNR against sigma; the training Nyquist is {nyquist:g}", table(gaussian, nyquist))
    print_table(f"PSNR against the top octave; the training Nyquist is {nyquist:g}", table(octaves, nyquist))
    best = max(gaussian, key=lambda point: point.score("test/psnr")).band
    print(
        f"\nBest sigma {best:g}, which is {best / nyquist:.3f} of the training Nyquist; "
        f"published {PUBLISHED_BEST:g} of {PUBLISHED_NYQUIST:g}, {PUBLISHED_BEST / PUBLISHED_NYQUIST:.3f} of it"
    )
    options.figures.mkdir(parents=True, exist_ok=True)
    save(figure(gaussian, octaves, nyquist), options.figures / f"{name}.png")


def points(variants: Sequence[Variant], encoding: str) -> list[Point]:
    """Return the variants of an encoding, from the narrowest band to the widest."""
    found = []
    for variant in variants:
        options = variant.results[0].config["encoding"]
        if options["_target_"].endswith(f".{encoding}"):
            band = options["scale"] if encoding == "gaussian" else 2.0 ** (options["num_frequencies"] - 1)
            found.append(Point(band, variant))
    return sorted(found, key=lambda point: point.band)


# Tables


def table(curve: Sequence[Point], nyquist: float) -> Table:
    return [
        {
            "cycles across": f"{point.band:g}",
            "/ Nyquist": f"{point.band / nyquist:.3f}",
            "images": str(len(point.variant.finished)),
            "train PSNR": f"{point.score('train/psnr'):.2f}",
            "test PSNR": f"{point.score('test/psnr'):.2f}",
            "on all pixels": f"{point.score('test/psnr_all'):.2f}",
        }
        for point in curve
    ]


# Figure


def figure(gaussian: Sequence[Point], octaves: Sequence[Point], nyquist: float) -> Figure:
    drawn = Figure(figsize=(11, 4), dpi=80, layout="constrained")
    panels = drawn.subplots(1, 2, sharey=True)
    draw(panels[0], gaussian, nyquist)
    panels[0].axvline(
        PUBLISHED_BEST / PUBLISHED_NYQUIST * nyquist, color="C2", linestyle=":", label="best of the paper"
    )
    panels[0].set(title="Gaussian features", xlabel="sigma (cycles across the image)", ylabel="PSNR (dB)")
    draw(panels[1], octaves, nyquist)
    panels[1].set(title="octaves on the axes", xlabel="highest octave (cycles across the image)")
    panels[0].legend()
    return drawn


def draw(ax: Axes, curve: Sequence[Point], nyquist: float) -> None:
    bands = [point.band for point in curve]
    for name, label in SCORES.items():
        ax.plot(bands, [point.score(name) for point in curve], "o-", label=label)
    ax.axvline(nyquist, color="black", linestyle="--", linewidth=1, label="training Nyquist")
    ax.set_xscale("log", base=2)
    ax.set_xticks(bands, [f"{band:g}" for band in bands])


if __name__ == "__main__":
    main()
