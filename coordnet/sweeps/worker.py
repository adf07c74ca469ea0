"""One job of a sweep, in a process of its own."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coordnet.errors import STORAGE, Diverged, Interrupted, UserError
from coordnet.training.parent_watchdog import start_parent_watchdog

LOG = "job.log"


def work(run: Path, config: Mapping[str, Any], allow: Sequence[str]) -> None:
    """Run a job with its output in job.log; the exit codes are those of `coordnet train`."""
    # Ctrl-C reaches the driver only, which passes it on once: a second signal would end the job unsaved.
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
