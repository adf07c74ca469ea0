"""`coordnet resume DIR [KEY=VALUE ...]`."""

import argparse
import sys
from pathlib import Path


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="coordnet resume",
        description="Continue a run, or all that is left of a sweep, from the last checkpoints.",
    )
    parser.add_argument("directory", type=Path, help="directory of a run or of a sweep")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="new values for a run, such as max_steps=2000, or signal.path=... where the data have moved",
    )
    parser.add_argument(
        "--allow", action="append", default=[], help="prefix of targets to trust, such as mypkg."
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side, for a sweep")
    parser.add_argument("--job-timeout", type=float, help="seconds after which a job is ended, for a sweep")
    options = parser.parse_intermixed_args(argv)
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs} must be at least 1")
    if options.job_timeout is not None and not options.job_timeout > 0:
        parser.error(f"--job-timeout {options.job_timeout} must be above 0")
    from coordnet.sweeps.sweep import SWEEP

    if (options.directory / SWEEP).is_file():
        from coordnet.errors import UserError
        from coordnet.reports.finish import write_and_print_report
        from coordnet.sweeps.jobs import run_jobs

        if options.overrides:
            raise UserError(
                f"{options.overrides[0]}: a sweep is resumed as it was; values change for a run only"
            )
        try:
            run_jobs(options.directory, options.jobs, options.allow, options.job_timeout)
        finally:
            all_finished = write_and_print_report(options.directory)
        if not all_finished:
            sys.exit(1)
        return
    from coordnet.console import say
    from coordnet.runs import metrics_file
    from coordnet.training.run import resume

    metrics = resume(options.directory, options.allow, options.overrides)
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items() if metrics_file.is_main(name))
    say(f"{shown}\n  {options.directory}")
