"""How good is the scale that `coordnet inspect` proposes? A table against a sweep, a constant, and SIREN's rule.

    python scripts/proposal.py [--signals tuned] [--output table.csv]

Six signals at two sizes, none of which the proposal was tuned on: two photographs, two texts, two noises of falling
spectrum. Every second pixel in each direction is trained on, and the offset grid between them is the test. ReLU
networks with 3 hidden layers of 128; 128 Gaussian frequencies, or octaves; 500 steps of 2,048 pixels, Adam with cosine
decay from 0.003 (octaves 0.006), seed 0, float32. `--signals tuned` takes those that the proposal's three constants
were chosen on. Takes about eight minutes on two cores (tuned: three times that).
"""

import argparse
import csv
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.progress import track
from torch.nn import functional as F

from coordnet.diagnostics.proposal import propose
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import gaussian, nyquist_positional, positional
from coordnet.evaluation.image import ImageEvaluator
from coordnet.fields.field import Field
from coordnet.networks.mlp import Mlp
from coordnet.signals.images.analytic import power_noise, text
from coordnet.signals.images.image import Image, skimage_image
from coordnet.training.batches import BatchSampler
from coordnet.training.runtime import keep_memory

SCALES = (1.5, 2.5, 4.0, 6.0, 9.0, 13.0, 19.0, 27.0)
CONSTANT = 10.0
FREQUENCIES = 128
STEPS = 500
BATCH = 2048

Signals = dict[str, Callable[[], Image]]

HELD_OUT: Signals = {
    "motorcycle 256": partial(skimage_image, "motorcycle_left", 2, (120, 0, 620, 500), (256, 256)),
    "tissue 128": partial(skimage_image, "ihc", 2, resize=(128, 128)),
    "text of 36 pixels 256": partial(text, 256, 2, font_size=36, seed=21),
    "text of 20 pixels 128": partial(text, 128, 2, font_size=20, seed=22),
    "1/f^1.25 noise 256": partial(power_noise, 256, 2, 1.25, 23),
    "1/f^1.75 noise 128": partial(power_noise, 128, 2, 1.75, 24),
}
TUNED: Signals = {
    "coffee 256": partial(skimage_image, "coffee", 2, (100, 0, 500, 400), (256, 256)),
    "chelsea 128": partial(skimage_image, "chelsea", 2, (75, 0, 375, 300), (128, 128)),
    "retina 256": partial(skimage_image, "retina", 2, (200, 200, 1224, 1224), (256, 256)),
    "rocket 128": partial(skimage_image, "rocket", 2, (100, 0, 527, 427), (128, 128)),
    "text of 24 pixels 256": partial(text, 256, 2, font_size=24, seed=12),
    "text of 40 pixels 256": partial(text, 256, 2, font_size=40, seed=15),
    "text of 14 pixels 128": partial(text, 128, 2, font_size=14, seed=13),
    "1/f noise 256": partial(power_noise, 256, 2, 1.0, 16),
    "1/f^1.5 noise 256": partial(power_noise, 256, 2, 1.5, 12),
    "1/f^2 noise 256": partial(power_noise, 256, 2, 2.0, 13),
    "1/f noise 128": partial(power_noise, 128, 2, 1.0, 11),
    "1/f^1.25 noise 128": partial(power_noise, 128, 2, 1.25, 14),
    "astronaut 256": partial(skimage_image, "astronaut", 2, resize=(256, 256)),
    "camera 128": partial(skimage_image, "camera", 2, resize=(128, 128)),
    "text of 48 pixels 256": partial(text, 256, 2, font_size=48, seed=3),
    "text of 24 pixels 128": partial(text, 128, 2, font_size=24, seed=4),
    "1/f^1.75 noise 256": partial(power_noise, 256, 2, 1.75, 5),
    "1/f^1.5 noise 128": partial(power_noise, 128, 2, 1.5, 6),
}


def fit(signal: Image, encoding: Encoding, lr: float) -> float:
    """Test PSNR in dB after training on every second pixel."""
    torch.manual_seed(0)
    field = Field(encoding, Mlp(encoding.out_dim, signal.channels, depth=3, width=128), signal.value_range)
    optimizer = torch.optim.Adam(field.parameters(), lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    batches = BatchSampler(signal, BATCH, seed=0)
    for step in range(STEPS):
        batch = batches(step)
        optimizer.zero_grad()
        F.mse_loss(field(batch["coords"]), batch["value"]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return ImageEvaluator().evaluate(signal, field, lambda batch: batch).metrics["test/psnr"]


def measure(name: str, signal: Image) -> dict[str, Any]:
    """One row of the table: what was proposed, what it and its rivals score, and the best of the sweep."""
    domain = signal.domain
    proposal = propose(signal.training_grid().numpy(), max(domain.nyquist))
    scales = [scale for scale in SCALES if scale < max(domain.nyquist) / 2]

    def with_scale(scale: float) -> float:
        return fit(signal, gaussian(domain, scale, FREQUENCIES), lr=0.003)

    sweep = {scale: with_scale(scale) for scale in scales}
    proposed = with_scale(proposal["scale"])
    best = max([*sweep, proposal["scale"]], key=lambda scale: {**sweep, proposal["scale"]: proposed}[scale])
    octaves = proposal["num_frequencies"]
    return {
        "signal": name,
        "proposed scale": proposal["scale"],
        "its PSNR": proposed,
        "best scale": best,
        "best PSNR": max(*sweep.values(), proposed),
        "behind": max(*sweep.values(), proposed) - proposed,
        f"scale {CONSTANT:g}": with_scale(CONSTANT),
        "0.08 Nyquist": with_scale(0.08 * max(domain.nyquist)),
        "proposed octaves": octaves,
        "their PSNR": fit(signal, positional(domain, octaves, include_input=True), lr=0.006),
        "SIREN's rule": fit(signal, nyquist_positional(domain), lr=0.006),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signals", choices=("held_out", "tuned"), default="held_out")
    parser.add_argument("--output", type=Path, help="write the table as CSV too")
    options = parser.parse_args()
    keep_memory()
    signals = HELD_OUT if options.signals == "held_out" else TUNED
    rows = [measure(name, signals[name]()) for name in track(list(signals), "fitting", transient=True)]
    heads = [str(head) for head in rows[0]]
    averages = {head: mean(row[head] for row in rows) for head in heads[1:]}
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in [*rows, {"signal": "mean", **averages}]:
        print("| " + " | ".join(shown(head, row[head]) for head in heads) + " |")
    print(f"furthest behind the best of the sweep: {max(row['behind'] for row in rows):.2f} dB")
    if options.output:
        with options.output.open("w", newline="") as file:
            writer = csv.DictWriter(file, heads)
            writer.writeheader()
            writer.writerows(rows)


def shown(head: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if math.isclose(value, round(value)) or head in ("proposed scale", "best scale"):
        return f"{value:.3g}"
    return f"{value:.2f}"


if __name__ == "__main__":
    main()
