"""Draw the figure of docs/scenes.md: three views of each synthetic scene, rendered as `signal=scene` renders them.

python scripts/synthetic_scenes.py [--figures docs/images]
"""

import argparse
from pathlib import Path
from typing import get_args

import imageio.v3 as imageio
from torch import Tensor

from coordnet import viz
from coordnet.signals.synthetic.synthetic_scene import SceneName, render_split

NUM_VIEWS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figures", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    columns = [
        viz.vconcat([viz.to_rgb(image.numpy() / 255) for image in _views(name)])
        for name in get_args(SceneName)
    ]
    options.figures.mkdir(parents=True, exist_ok=True)
    path = options.figures / "synthetic_scenes.jpg"
    imageio.imwrite(path, viz.hconcat(columns), quality=90)
    print(path)


def _views(name: str) -> Tensor:
    """The views (n, height, width, 4) uint8 of a scene."""
    return render_split(name, "val", size=160, num_eval_views=NUM_VIEWS).images


if __name__ == "__main__":
    main()
