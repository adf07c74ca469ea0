"""The last act of a sweep: write the report and print the table."""

import sys
from pathlib import Path

from coordnet.reports.report import path_lines, summary_lines, write_report


def write_and_print_report(directory: Path) -> bool:
    """Write a sweep's report and print its table; returns True if all jobs have finished."""
    statuses = write_report(directory)
    print("\n".join(["", *summary_lines(directory), "", *path_lines(directory)]))
    if all(status == "finished" for status in statuses):
        return True
    print(f"coordnet: {directory}: not all jobs finished; see report.md there", file=sys.stderr)
    return False
