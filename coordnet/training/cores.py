"""The number of CPU cores, without an import of torch."""

import os


def available_cores() -> int:
    """Count the cores that the affinity mask of this process allows."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
