"""`coordnet report DIR`."""

import argparse
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet report",
        description="Print the table of a sweep or of one run; a sweep's files are remade.",
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args(argv).directory
    from coordnet.ablation.report import load, markdown, table, write_report
    from coordnet.runs.directory import is_run

    if directory.is_dir() and not is_run(directory):
        write_report(directory)
    print("\n".join(markdown(table(load(directory)))))
