"""A Hydra sweeper that knows rows: an ablation's methods, each with overrides of its own."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn

from coordnet.ablation.report import load, markdown, table, where_to_look, write_report
from coordnet.ablation.sweep import create_sweep, narrow, run_names


def report_failure(run: str, job_return: JobReturn) -> None:
    """Say why a job failed; its run's status.json holds the traceback."""
    try:
        _ = job_return.return_value
    except Exception as error:
        print(f"{run}: {type(error).__name__}: {error}", file=sys.stderr)


class RowsSweeper(BasicSweeper):
    """Jobs are rows times the product of all that is swept with commas, seeds among them.

    Args:
        max_batch_size: As in Hydra's basic sweeper.
        params: Keys and comma-separated values to sweep, such as `seed: 0,1,2`.
        rows: Label to overrides; None for a plain product.
    """

    check_job: Callable[[Any], None]

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: Mapping[str, Any] | None = None,
        rows: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, {k: str(v) for k, v in (params or {}).items()})
        self.rows = {str(label): list(row) for label, row in (rows or {}).items()}

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        product = self.split_arguments(parsed, None)[0]
        jobs = narrow(self.rows, product) if self.rows else product
        for job in jobs:
            type(self).check_job(self.hydra_context.config_loader.load_sweep_config(self.config, job))
        directory = Path(self.config.hydra.sweep.dir)
        create_sweep(directory, jobs)
        inside = "hydra.sweep.dir='" + str(directory).replace("'", "\\'") + "'"
        runs = run_names(jobs)
        placed = [[*job, inside, f"hydra.sweep.subdir={run}"] for job, run in zip(jobs, runs, strict=True)]
        try:
            for run, job_return in zip(runs, self.launcher.launch(placed, initial_job_idx=0), strict=True):
                report_failure(run, job_return)
        finally:
            statuses = write_report(directory)
        print("\n".join(["", *markdown(table(load(directory))), "", *where_to_look(directory)]))
        if any(status != "finished" for status in statuses):
            print(f"coordnet: {directory}: not all jobs finished; see report.md there", file=sys.stderr)
            sys.exit(1)
