"""Table 1 of Fourier features (Tancik et al. 2020), natural or text images, beside the published numbers.

    python scripts/image_encodings.py [--text] [--paper] [--figures docs/images] [--sweep DIR] [key=value ...]

Trains `ablation=image_encodings` or `text_encodings` (minutes), with `--paper` by the published protocol in full (a day
or two), or reads a finished sweep. Prints means over the images and paired differences between variants with 95 %
intervals, and writes a sheet of details. Further overrides go to `coordnet train`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import imageio.v3 as imageio
from reproduction import print_table, train

from coordnet import viz
from coordnet.config.build import build
from coordnet.reports.results import Result, load_sweep
from coordnet.reports.statistics import mean_and_std
from coordnet.reports.tables import Table
from coordnet.reports.variants import Variant, make_variants

SCORE = "test/psnr"
# Mean and standard deviation over 16 images, which are not those here; the latter are the ones it was tuned on.
PUBLISHED = {
    "natural": {
        "none": (19.32, 2.48),
        "basic": (21.71, 2.71),
        "positional": (24.95, 3.72),
        "gaussian": (25.57, 4.19),
    },
    "text": {
        "none": (18.40, 2.23),
        "basic": (20.48, 1.96),
        "positional": (27.57, 3.07),
        "gaussian": (30.47, 2.11),
    },
}
PAIRS = (
    ("basic", "none"),
    ("positional", "basic"),
    ("gaussian", "positional"),
    ("positional", "octaves"),
    ("gaussian", "bicubic"),
    ("grid", "bilinear"),
)
SHOWN = 3
DETAIL, STEP = 96, 32
ZOOM = 2

Variants = Mapping[str, Variant]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", action="store_true")
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    parser.add_argument("--sweep", type=Path, help="directory of a finished sweep; then nothing is trained")
    options, overrides = parser.parse_known_args()
    kind = "text" if options.text else "natural"
    name = ("text" if options.text else "image") + "_encodings" + "_paper" * options.paper
    directory = options.sweep or train(name, overrides)
    variants = {variant.name: variant for variant in make_variants(load_sweep(directory))}
    print_table(f"Test PSNR, {kind} images: mean ± std", scores(variants, PUBLISHED[kind]))
    print_table("Paired differences of test PSNR with 95 % intervals", differences(variants, PUBLISHED[kind]))
    options.figures.mkdir(parents=True, exist_ok=True)
    path = options.figures / f"{name}.jpg"
    imageio.imwrite(path, sheet(directory, variants), quality=85)
    print(path)


# Tables

Published = Mapping[str, tuple[float, float]]


def scores(variants: Variants, published: Published) -> Table:
    table = []
    for name, variant in variants.items():
        here = mean_and_std(variant.values(SCORE))
        line = {
            "variant": name,
            "images": str(here.n),
            "parameters": f"{variant.results[0].parameters or 0:,}",
        }
        line["train"] = f"{mean_and_std(variant.values('train/psnr')).mean:.2f}"
        line["test"] = f"{here.mean:.2f} ± {here.std:.2f}"
        mean, std = published.get(name, (None, None))
        line["published"] = "-" if mean is None else f"{mean:.2f} ± {std:.2f}"
        line["deviation"] = "-" if mean is None else f"{here.mean - mean:+.2f}"
        line["test SSIM"] = f"{mean_and_std(variant.values('test/ssim')).mean:.3f}"
        line["seconds"] = f"{mean_and_std(variant.values('seconds')).mean:.1f}"
        table.append(line)
    return table


def differences(variants: Variants, published: Published) -> Table:
    table = []
    for better, worse in PAIRS:
        if better not in variants or worse not in variants:
            continue
        found = variants[better].paired_difference_to(variants[worse], SCORE)
        line = {"difference": f"{better} - {worse}", "images": str(found.pairs)}
        line["here"] = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
        line["excludes 0"] = "yes" if found.excludes_zero else "no"
        known = better in published and worse in published
        line["published"] = f"{published[better][0] - published[worse][0]:+.2f}" if known else "-"
        table.append(line)
    return table


# Figure


def sheet(directory: Path, variants: Variants) -> viz.Picture:
    """Arrange a detail of some images: the target, and the prediction of each variant."""
    pictures: dict[str, viz.Picture] = {}
    for number in range(min(SHOWN, *(len(variant.finished) for variant in variants.values()))):
        for name, variant in variants.items():
            result = variant.finished[number]
            index = result.config["signal"]["index"]
            target, prediction = details(directory, result)
            pictures.setdefault(f"{index:02} target", target)
            pictures[f"{index:02} {name} {result.metrics[SCORE]:.1f}"] = prediction
    return viz.image_grid(pictures, columns=len(variants) + 1)


def details(directory: Path, result: Result) -> tuple[viz.Picture, viz.Picture]:
    """Crop target and prediction to the part with most variation, from the last picture of a run."""
    strip = imageio.imread(max((directory / result.run / "images").glob("target-prediction*.png")))
    side = build(result.config["signal"], "signal").domain.size[0]
    above = (len(strip) - side) // 2
    corners = [
        (y, x) for y in range(above, above + side - DETAIL, STEP) for x in range(0, side - DETAIL, STEP)
    ]
    top, left = max(corners, key=lambda corner: part(strip, *corner).std())
    target, prediction = (
        part(strip, top, start).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
        for start in (left, left + side + viz.GAP)
    )
    return target, prediction


def part(picture: viz.Picture, top: int, left: int) -> viz.Picture:
    return picture[top : top + DETAIL, left : left + DETAIL]


if __name__ == "__main__":
    main()
