"""Functions that the scripts for published figures share."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as imageio
from matplotlib.figure import Figure

from coordnet import viz
from coordnet.reports.tables import markdown


def train(name: str, overrides: list[str]) -> Path:
    """Run an ablation in two processes of one thread each; returns the directory of its sweep."""
    place = "hydra.sweep.dir="
    chosen = [value.removeprefix(place) for value in overrides if value.startswith(place)]
    others = [value for value in overrides if not value.startswith(place)]
    directory = Path(chosen[-1]) if chosen else Path("outputs", name, time.strftime("%Y%m%d-%H%M%S"))
    command = [sys.executable, "-m", "coordnet.cli.main", "train", f"ablation={name}", "jobs=2", "threads=1"]
    subprocess.run([*command, f"{place}{directory}", *others], check=True)
    return directory


def print_table(title: str, rows: Iterable[dict[str, str]]) -> None:
    print("\n".join(["", title, "", *markdown(list(rows))]))


def save(figure: Figure, path: Path) -> None:
    imageio.imwrite(path, viz.figure_to_image(figure))
    print(path)
