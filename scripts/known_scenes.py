"""The figure of docs/scenes.md: the scenes that are known exactly, each from three of its cameras.

    python scripts/known_scenes.py [--figures docs/images]

They are photographed as `signal=scene` does it.
"""

import argparse
from pathlib import Path
from typing import get_args

import imageio.v3 as imageio
from torch import Tensor

from coordnet import viz
from coordnet.signals.synthetic.synthetic_scene import Name, take

VIEWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    columns = [
        viz.vconcat([viz.to_rgb(image.numpy() / 255) for image in photographs(name)])
        for name in get_args(Name)
    ]
    options.figures.mkdir(parents=True, exist_ok=True)
    path = options.figures / "known_scenes.jpg"
    imageio.imwrite(path, viz.hconcat(columns), quality=90)
    print(path)


def photographs(name: str) -> Tensor:
    return take(
        name,
        frequency=8,
        split="val",
        count=VIEWS,
        size=160,
        radius=2.7,
        elevation=(5, 75),
        supersample=4,
        seed=0,
    ).images


if __name__ == "__main__":
    main()
