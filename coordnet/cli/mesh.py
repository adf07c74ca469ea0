"""`coordnet mesh RUN`."""

from pathlib import Path

from coordnet.cli.run_options import load_run, named_as_flags, parse, parser_of_run


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
        help="density on the surface (default: a layer of 1/32 of the box's side is half opaque)",
    )
    parser.add_argument("--output", type=Path, help="default: mesh.ply in the run; a new file, .ply or .obj")
    options = parse(parser, argv)
    from coordnet.export.mesh import DEFAULT_LEVEL, export_mesh

    level = DEFAULT_LEVEL if options.level is None else options.level
    run = load_run(options)
    with named_as_flags():
        print(export_mesh(run, options.resolution, level, options.output))
