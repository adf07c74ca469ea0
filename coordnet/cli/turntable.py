"""`coordnet turntable RUN`."""

from pathlib import Path

from coordnet.cli.run_options import load_run, named_as_flags, numbers, parse, parser_of_run


def main(argv: list[str]) -> None:
    parser = parser_of_run("turntable", "A video around the scene of a trained run, as a GIF or MP4 file.")
    parser.add_argument("--num-frames", type=int, metavar="N", help="frames around the scene (default 60)")
    parser.add_argument("--fps", type=float, default=20.0, help="frames per second (default 20)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=numbers(2, int), metavar="WxH", help="pixels of a frame")
    size.add_argument(
        "--scale", type=float, default=1.0, help="pixels per pixel of the training pictures (default 1)"
    )
    parser.add_argument(
        "--elevation",
        type=float,
        metavar="DEGREES",
        help="elevation of the cameras (default: mean of the training cameras)",
    )
    parser.add_argument(
        "--camera-path",
        type=Path,
        metavar="FILE",
        help="a JSON file in Blender format with the cameras of the frames",
    )
    parser.add_argument(
        "--output", type=Path, help="default: turntable.gif in the run; a new file, .gif or .mp4"
    )
    options = parse(parser, argv)
    from coordnet.export.turntable import export_turntable

    run = load_run(options)
    with named_as_flags():
        path = export_turntable(
            run,
            num_frames=options.num_frames,
            fps=options.fps,
            scale=options.scale,
            size=options.size,
            elevation=options.elevation,
            camera_path=options.camera_path,
            output=options.output,
        )
    print(path)
