"""`coordnet render RUN`."""

from pathlib import Path

from coordnet.cli.run_options import load_run, named_as_flags, numbers, parse, parser_of_run
from coordnet.errors import UserError


def main(argv: list[str]) -> None:
    parser = parser_of_run(
        "render",
        "Evaluate a trained image at any size and crop, or a view of a trained scene at any scale, in chunks, to PNG.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=numbers(2, int), metavar="WxH", help="pixels of the result")
    size.add_argument("--scale", type=float, default=1.0, help="pixels per pixel of the original (default 1)")
    parser.add_argument(
        "--crop", type=numbers(4, float), metavar="L,T,R,B", help="part to show, in pixels of the original"
    )
    parser.add_argument("--view", type=int, metavar="N", help="number of a view of a scene, from 0")
    parser.add_argument(
        "--split",
        choices=("val", "test", "train"),
        help="the views of a scene that N counts (default: the first of these that the scene has)",
    )
    parser.add_argument(
        "--depth", action="store_true", help="write the depth of a view too, beside the view as ...-depth.png"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="default: images/render-WxH.png or images/view-SPLIT-N-WxH.png in the run; a new file",
    )
    options = parse(parser, argv)
    is_view = options.view is not None
    for name in ("size", "crop") if is_view else ("split", "depth"):
        if getattr(options, name):
            raise UserError(f"--{name} goes {'without' if is_view else 'with'} --view")
    from coordnet.export.image import export_image
    from coordnet.export.view import export_view

    run = load_run(options)
    with named_as_flags():
        if is_view:
            paths = export_view(
                run, options.view, options.split, options.scale, options.output, options.depth
            )
        else:
            paths = [export_image(run, options.scale, options.size, options.crop, options.output)]
    print(*paths, sep="\n")
