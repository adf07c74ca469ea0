"""`coordnet report DIR`."""

import argparse
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet report",
        description="Print the table of a sweep or of one run; a sweep's report.html and other files are remade.",
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args(argv).directory
    from coordnet.reports.report import path_lines, summary_lines, write_report
    from coordnet.runs.directory import is_run

    if is_run(directory):
        print("\n".join(summary_lines(directory)))
    else:
        write_report(directory)
        print("\n".join([*summary_lines(directory), "", *path_lines(directory)]))
