"""Encodings in radiance fields: the tables and the figure of docs/scenes.md.

    python scripts/scene_encodings.py [--lego] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=scene_encodings` or, with `--lego`, `scene_encodings_lego` (about ten minutes each), or reads a
finished sweep. Prints means, and differences to no encoding, paired by view and by what was swept besides, with 95 %
intervals over these pairs. Without `--lego` it draws the contrast that each variant recovers over the scene's
frequency. Further overrides go to `coordnet train`.
"""

import argparse
from collections.abc import Hashable, Mapping
from pathlib import Path

from matplotlib.figure import Figure
from reproduction import print_table, save, train

from coordnet.reports.results import Result, load_sweep
from coordnet.reports.statistics import mean_and_std, paired_difference
from coordnet.reports.tables import Table
from coordnet.reports.variants import Variant, make_variants

NONE = "none"
# Lego, 400 x 400 pixels, 50000 steps of 1024 rays: the notebook of Tancik et al. 2020, in its table 7.
PUBLISHED = {"none": 22.41, "basic": 23.16, "log_linear": 26.27, "gaussian": 25.48}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lego", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    name = "scene_encodings" + "_lego" * options.lego
    variants = make_variants(load_sweep(options.sweep or train(name, overrides)))
    print_table("Held-out views, PSNR in dB, and SSIM", scores(variants, PUBLISHED if options.lego else {}))
    print_table(f"PSNR above the variant {NONE}, over pairs of view and run", lead(variants))
    print_table("Error by octave, relative to the target's energy there", bands(variants))
    if not options.lego:
        print_table(
            "Recovered contrast seen from above, by frequency in cycles across the box", contrasts(variants)
        )
        options.figures.mkdir(parents=True, exist_ok=True)
        save(curves(variants), options.figures / f"{name}.png")


# Tables


def scores(variants: list[Variant], published: Mapping[str, float]) -> Table:
    table = []
    for variant in variants:
        psnr = mean_and_std(variant.values("val/psnr"))
        line = {
            "variant": variant.name,
            "runs": str(psnr.n),
            "parameters": f"{variant.results[0].parameters or 0:,}",
        }
        line["learning rate"] = f"{variant.results[0].config['optimizer']['lr']:g}"
        line["train PSNR"] = f"{mean_and_std(variant.values('train/psnr')).mean:.2f}"
        line["held-out PSNR"] = f"{psnr.mean:.2f} ± {psnr.std:.2f}"
        line["SSIM"] = f"{mean_and_std(variant.values('val/ssim')).mean:.3f}"
        line["seconds"] = f"{mean_and_std(variant.values('seconds')).mean:.0f}"
        if published:
            line["published"] = f"{published[variant.name]:.2f}" if variant.name in published else "-"
        table.append(line)
    return table


def lead(variants: list[Variant]) -> Table:
    reference = by_view(next(variant for variant in variants if variant.name == NONE))
    table = []
    for variant in variants:
        if variant.name == NONE:
            continue
        found = paired_difference(by_view(variant), reference)
        line = {"variant": variant.name, "pairs": str(found.pairs)}
        line["difference"] = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        table.append(line | {"excludes 0": "yes" if found.excludes_zero else "no"})
    return table


def by_view(variant: Variant) -> dict[Hashable, float]:
    return {
        (result.pair, metric): value
        for result in variant.finished
        for metric, value in result.metrics.items()
        if metric.startswith("view_psnr/")
    }


def bands(variants: list[Variant]) -> Table:
    names = [name for name in variants[0].scores[0] if name.startswith("band_error/")]
    return [
        {"variant": variant.name}
        | {
            name.removeprefix("band_error/"): f"{mean_and_std(variant.values(name)).mean:.3f}"
            for name in names
        }
        for variant in variants
    ]


def contrasts(variants: list[Variant]) -> Table:
    return [
        {"variant": variant.name} | {f"{f:g}": f"{value:.2f}" for f, value in by_frequency(variant).items()}
        for variant in variants
    ]


def by_frequency(variant: Variant) -> dict[float, float]:
    found: dict[float, list[float]] = {}
    for result in sorted(variant.finished, key=frequency):
        found.setdefault(frequency(result), []).append(result.metrics["top_down/contrast"])
    return {f: mean_and_std(values).mean for f, values in found.items()}


def frequency(result: Result) -> float:
    return float(result.config["signal"]["frequency"])


# Figure


def curves(variants: list[Variant]) -> Figure:
    figure = Figure(figsize=(7, 4.5), dpi=80, layout="constrained")
    ax = figure.subplots()
    for i, variant in enumerate(variants):
        line = by_frequency(variant)
        color = "black" if variant.name == NONE else f"C{i % 10}"
        ax.plot(list(line), list(line.values()), ".-", color=color, label=variant.name)
    ax.set(
        xscale="log",
        xlabel="frequency of the scene's waves (cycles across the box)",
        ylabel="contrast recovered, seen from above",
    )
    ticks = list(by_frequency(variants[0]))
    ax.set_xticks(ticks, [f"{f:g}" for f in ticks])
    ax.minorticks_off()
    ax.grid(color="0.9")
    ax.legend(fontsize="small")
    return figure


if __name__ == "__main__":
    main()
