"""`coordnet mesh RUN`."""

import argparse
import signal
from pathlib import Path

from coordnet.cli.render import end


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet mesh",
        description="The surface of the scene of a trained run, as a PLY or OBJ file with colours.",
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument(
        "--resolution", type=int, default=128, help="cells along each axis of the box (default 128)"
    )
    parser.add_argument(
        "--level",
        type=float,
        help="density on the surface (default: half opaque at a thickness of 1/32 of the box's side)",
    )
    parser.add_argument("--out", type=Path, help="default: mesh.ply in the run; a new file, .ply or .obj")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, end)
    from coordnet.runs.mesh import DEFAULT_LEVEL, mesh

    level = DEFAULT_LEVEL if options.level is None else options.level
    print(mesh(options.run, options.resolution, level, options.out, options.checkpoint, options.allow))
