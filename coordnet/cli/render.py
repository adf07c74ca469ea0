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
    parser.add_argument("--frame", type=int, metavar="N", help="of a scene: view number N, from 0")
    parser.add_argument(
        "--split",
        choices=("val", "test", "train"),
        help="of a scene: the views that N counts (default: the first of these that there are)",
    )
    parser.add_argument(
        "--depth", action="store_true", help="of a scene: write the depth too, beside it as ...-depth.png"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="default: images/render-WxH.png or images/view-SPLIT-N-WxH.png in the run; a new file",
    )
    options = parse(parser, argv)
    is_view = options.frame is not None
    for name in ("size", "crop") if is_view else ("split", "depth"):
        if getattr(options, name):
            raise UserError(f"--{name} goes {'without' if is_view else 'with'} --frame")
    if is_view:
        from coordnet.export.view import render_view

        with named_as_flags():
            paths = render_view(
                options.run,
                options.frame,
                options.split,
                options.scale,
                options.output,
                options.depth,
                options.checkpoint,
                options.allow,
            )
        print(*paths, sep="\n")
        return
    from coordnet.export.image import render

    run = load_run(options)
    with named_as_flags():
        print(render(run, options.scale, options.size, options.crop, options.output))
