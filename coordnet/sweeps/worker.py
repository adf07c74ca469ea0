"""The process of one job of a sweep."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordnet.errors import STORAGE, Diverged, Interrupted, UserError
from coordnet.training.parent_watchdog import start_parent_watchdog

LOG = "job.log"


def run_job_process(run: Path, config: Mapping[str, Any], allow: Sequence[str]) -> None:
    """Run a job and redirect its output to job.log; the process exits with the codes of `coordnet train`."""
    # A process group of its own keeps Ctrl-C from the job: the driver passes the signal on once, because a second
    # signal would end the job before it has saved.
    os.setpgid(0, 0)
    start_parent_watchdog()
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOG).open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from coordnet.training.run import run_job

    try:
        run_job(config, run, allow)
    except (UserError, Diverged, Interrupted) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(STORAGE)
