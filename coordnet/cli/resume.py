"""`coordnet resume RUN`."""

import argparse
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet resume", description="Continue a run exactly where its last checkpoint stands."
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    options = parser.parse_args(argv)
    from coordnet.runs.run import resume

    metrics = resume(options.run, options.allow)
    print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if "/" in name))
