"""A Hydra sweeper that knows rows: an ablation's methods, each with overrides of its own."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn

from coordnet.config.build import did_you_mean
from coordnet.errors import UserError
from coordnet.sweeps.jobs import warm_up
from coordnet.sweeps.launcher import ProcessLauncher
from coordnet.sweeps.sweep import SETTINGS, Job, check_settings, create_sweep, narrow, run_names


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
        reference: Label of the row that the others are compared with; the first row if not given.
    """

    checked: Callable[[Any], dict[str, Any]]
    tried: Callable[[Mapping[str, Any]], None]
    allow: Sequence[str] = ()

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: Mapping[str, Any] | None = None,
        rows: Mapping[str, Sequence[str]] | None = None,
        reference: str | None = None,
    ) -> None:
        super().__init__(max_batch_size, {k: str(v) for k, v in (params or {}).items()})
        self.rows = {str(label): list(row) for label, row in (rows or {}).items()}
        self.reference = reference

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        config: Any = self.config
        check_settings(*(config[key] for key in SETTINGS))
        if self.reference is not None and self.reference not in self.rows:
            raise UserError(
                f"hydra.sweeper.reference={self.reference} is no row"
                f"{did_you_mean(self.reference, self.rows) or ': ' + ', '.join(self.rows)}"
            )
        own_launcher = isinstance(self.launcher, ProcessLauncher)
        if own_launcher:
            warm_up()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        product = self.split_arguments(parsed, None)[0]
        jobs = narrow(self.rows, product) if self.rows else product
        if config.threads is None:
            jobs = [[*job, f"threads={threads_each(config.jobs)}"] for job in jobs]
        configs = [self.composed(job) for job in jobs]
        for each in configs:
            type(self).tried(each)
        if config.fairness == "parameters":
            jobs, configs = self.at_equal_parameters(jobs, configs)
        directory = Path(config.hydra.sweep.dir)
        create_sweep(directory, jobs, configs, self.reference, config.fairness)
        inside = "hydra.sweep.dir='" + str(directory).replace("'", "\\'") + "'"
        runs = run_names(jobs)
        placed = [[*job, inside, f"hydra.sweep.subdir={run}"] for job, run in zip(jobs, runs, strict=True)]
        from coordnet.reports.conclude import conclude

        try:
            returned = self.launcher.launch(placed, initial_job_idx=0)
            for run, job_return in zip(runs, returned, strict=not own_launcher):
                report_failure(run, job_return)
        finally:
            all_finished = conclude(directory)
        if not all_finished:
            sys.exit(1)

    def composed(self, job: Job) -> dict[str, Any]:
        assert self.config is not None and self.hydra_context is not None
        return type(self).checked(self.hydra_context.config_loader.load_sweep_config(self.config, job))

    def at_equal_parameters(
        self, jobs: Sequence[Job], configs: Sequence[dict[str, Any]]
    ) -> tuple[list[Job], list[dict[str, Any]]]:
        """The jobs with the network.width that gives each the parameters of the reference row."""
        from coordnet.sweeps.matching import count_parameters, equal_parameters, with_width
        from coordnet.training.build_field import is_trained

        found = [config for config in configs if config["label"] == self.reference]
        first = (found or configs)[0]
        if not is_trained(first):
            raise UserError(
                f"fairness=parameters: the reference row {first['label'] or first['name']} is not trained; "
                "choose another with hydra.sweeper.reference"
            )
        target = count_parameters(first, self.allow)
        widened, changed = [], []
        for job, config in zip(jobs, configs, strict=True):
            width = equal_parameters(config, target, self.allow)
            kept = [override for override in job if not override.lstrip("+").startswith("network.width=")]
            widened.append(job if width is None else [*kept, f"network.width={width}"])
            changed.append(config if width is None else with_width(config, width))
        return widened, changed


def threads_each(jobs: int) -> int:
    """The share of this process's cores that each of `jobs` jobs gets."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)
