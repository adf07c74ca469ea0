"""A Hydra sweeper with variants: the methods of an ablation, each with overrides of its own."""

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
from coordnet.sweeps.sweep import SETTINGS, Job, check_settings, create_sweep, run_names, select_variants
from coordnet.training.cores import available_cores


def report_failure(run: str, job_return: JobReturn) -> None:
    """Print the error of a failed job; the run's status.json holds the traceback."""
    try:
        _ = job_return.return_value
    except Exception as error:
        print(f"{run}: {type(error).__name__}: {error}", file=sys.stderr)


class VariantsSweeper(BasicSweeper):
    """Makes one job for each pair of a variant and an element of the product of all comma-separated overrides.

    Args:
        max_batch_size: Passed to Hydra's basic sweeper.
        params: Keys and comma-separated values to sweep, such as `seed: 0,1,2`.
        variants: Label to overrides; None for a plain product.
        reference: Label of the variant that the others are compared with; None for the first variant.
    """

    checked: Callable[[Any], dict[str, Any]]
    tried: Callable[[Mapping[str, Any]], None]
    allow: Sequence[str] = ()

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: Mapping[str, Any] | None = None,
        variants: Mapping[str, Sequence[str]] | None = None,
        reference: str | None = None,
    ) -> None:
        super().__init__(max_batch_size, {k: str(v) for k, v in (params or {}).items()})
        self.variants = {str(label): list(own) for label, own in (variants or {}).items()}
        self.reference = reference

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        config: Any = self.config
        check_settings(*(config[key] for key in SETTINGS))
        if self.reference is not None and self.reference not in self.variants:
            raise UserError(
                f"hydra.sweeper.reference={self.reference} is not a variant"
                f"{did_you_mean(self.reference, self.variants) or ': ' + ', '.join(self.variants)}"
            )
        own_launcher = isinstance(self.launcher, ProcessLauncher)
        if own_launcher:
            warm_up()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        parsed = parser.parse_overrides([*self._parse_config(), *arguments])
        product = self.split_arguments(parsed, None)[0]
        jobs = select_variants(self.variants, product) if self.variants else product
        if config.threads is None:
            jobs = [[*job, f"threads={threads_each(config.jobs)}"] for job in jobs]
        configs = [self.composed(job) for job in jobs]
        for each in configs:
            type(self).tried(each)
        if config.match == "parameters":
            jobs, configs = self.at_equal_parameters(jobs, configs)
        directory = Path(config.hydra.sweep.dir)
        create_sweep(directory, jobs, configs, self.reference, config.match)
        inside = "hydra.sweep.dir='" + str(directory).replace("'", "\\'") + "'"
        runs = run_names(jobs)
        placed = [[*job, inside, f"hydra.sweep.subdir={run}"] for job, run in zip(jobs, runs, strict=True)]
        from coordnet.reports.finish import write_and_print_report

        try:
            returned = self.launcher.launch(placed, initial_job_idx=0)
            for run, job_return in zip(runs, returned, strict=not own_launcher):
                report_failure(run, job_return)
        finally:
            all_finished = write_and_print_report(directory)
        if not all_finished:
            sys.exit(1)

    def composed(self, job: Job) -> dict[str, Any]:
        assert self.config is not None and self.hydra_context is not None
        return type(self).checked(self.hydra_context.config_loader.load_sweep_config(self.config, job))

    def at_equal_parameters(
        self, jobs: Sequence[Job], configs: Sequence[dict[str, Any]]
    ) -> tuple[list[Job], list[dict[str, Any]]]:
        """Return the jobs and configs with the network.width that gives each the reference variant's parameters."""
        from coordnet.sweeps.matching import count_parameters, equal_parameters, with_width
        from coordnet.training.build_field import is_trained

        found = [config for config in configs if config["label"] == self.reference]
        first = (found or configs)[0]
        if not is_trained(first):
            raise UserError(
                f"match=parameters: the reference variant {first['label'] or first['name']} is not trained; "
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
    """Return the number of threads of each of `jobs` parallel jobs, at least 1."""
    return max(1, available_cores() // jobs)
