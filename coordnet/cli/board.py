"""`coordnet board [DIR]`."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet board",
        description="TensorBoard on this machine only, showing every picture of every run.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path("outputs"))
    parser.add_argument("--port", type=int, default=6006)
    options = parser.parse_args(argv)
    from coordnet.errors import UserError

    if not options.directory.is_dir():
        raise UserError(
            f"{options.directory} does not exist; train something first, or name another directory"
        )
    sys.argv = ["tensorboard", "--logdir", str(options.directory), "--port", str(options.port)]
    sys.argv += ["--host", "localhost", "--samples_per_plugin", "images=1000,scalars=10000"]
    from tensorboard.main import run_main

    run_main()
