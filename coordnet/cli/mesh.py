"""`coordnet mesh RUN`."""

from pathlib import Path

from coordnet.cli.run_options import parse, parser_of_run


def main(argv: list[str]) -> None:
    parser = parser_of_run(
        "mesh", "The surface of the scene of a trained run, as a PLY or OBJ file with colors."
    )
    parser.add_argument(
        "--resolution", type=int, default=128, help="cells along each axis of the box (default 128)"
    )
    parser.add_argument(
        "--level",
        type=float,
        help="density on the surface (default: half opaque at a thickness of 1/32 of the box's side)",
    )
    parser.add_argument("--out", type=Path, help="default: mesh.ply in the run; a new file, .ply or .obj")
    options = parse(parser, argv)
    from coordnet.export.mesh import DEFAULT_LEVEL, mesh

    level = DEFAULT_LEVEL if options.level is None else options.level
    print(mesh(options.run, options.resolution, level, options.out, options.checkpoint, options.allow))
