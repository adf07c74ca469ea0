"""`coordnet turntable RUN`."""

from pathlib import Path

from coordnet.cli.run_options import numbers, parse, parser_of_run


def main(argv: list[str]) -> None:
    parser = parser_of_run("turntable", "A video around the scene of a trained run, as a GIF or MP4 file.")
    parser.add_argument("--frames", type=int, help="pictures around the scene (default 60)")
    parser.add_argument("--fps", type=float, default=20.0, help="pictures each second (default 20)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=numbers(2, int), metavar="WxH", help="pixels of a picture")
    size.add_argument(
        "--scale", type=float, default=1.0, help="pixels per pixel of the pictures trained on (default 1)"
    )
    parser.add_argument(
        "--elevation",
        type=float,
        metavar="DEGREES",
        help="of the cameras (default: mean of those trained on)",
    )
    parser.add_argument(
        "--path", type=Path, metavar="FILE", help="cameras instead: a JSON file in Blender format"
    )
    parser.add_argument(
        "--out", type=Path, help="default: turntable.gif in the run; a new file, .gif or .mp4"
    )
    options = parse(parser, argv)
    from coordnet.export.turntable import turntable

    path = turntable(
        options.run,
        options.frames,
        options.fps,
        options.scale,
        options.size,
        options.elevation,
        options.path,
        options.out,
        options.checkpoint,
        options.allow,
    )
    print(path)
