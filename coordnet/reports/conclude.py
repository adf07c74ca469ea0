"""What is said at the end of a sweep."""

import sys
from pathlib import Path

from coordnet.reports.report import summary, where_to_look, write_report


def conclude(directory: Path) -> bool:
    """Write a sweep's report and print its table; returns whether all jobs have finished."""
    statuses = write_report(directory)
    print("\n".join(["", *summary(directory), "", *where_to_look(directory)]))
    if all(status == "finished" for status in statuses):
        return True
    print(f"coordnet: {directory}: not all jobs finished; see report.md there", file=sys.stderr)
    return False
