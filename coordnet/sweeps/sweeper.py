"""A Hydra sweeper with variants: the methods of an ablation, each with overrides of its own."""

import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from coordnet.config.build import did_you_mean
from coordnet.config.check import SWEEP_KEYS, check_config, check_sweep
from coordnet.config.compose import to_run_config
from coordnet.config.hydra_adapter import allowed_packages
from coordnet.errors import UserError
from coordnet.sweeps.jobs import warm_up
from coordnet.sweeps.launcher import ProcessLauncher
from coordnet.sweeps.sweep import Job, create_sweep, run_names, select_variants
from coordnet.training.cores import available_cores


class VariantsSweeper(Sweeper):
    """Makes one job for each pair of a variant and an element of the product of all comma-separated overrides.

    Args:
        params: Keys and comma-separated values to sweep, such as `seed: 0,1,2`.
        variants: Label to overrides; None for a plain product.
        reference: Label of the variant that the others are compared with; None for the first variant.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        variants: Mapping[str, Sequence[str]] | None = None,
        reference: str | None = None,
    ) -> None:
        self.params = [f"{key}={value}" for key, value in (params or {}).items()]
        self.variants = {str(label): list(own) for label, own in (variants or {}).items()}
        self.reference = reference

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        config: Any = self.config
        check_sweep({key: config[key] for key in SWEEP_KEYS})
        if self.reference is not None and self.reference not in self.variants:
            raise UserError(
                f"hydra.sweeper.reference={self.reference} is not a variant"
                f"{did_you_mean(self.reference, self.variants)}"
            )
        own_launcher = isinstance(self.launcher, ProcessLauncher)
        if own_launcher:
            warm_up()
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        jobs = _product(parser.parse_overrides([*self.params, *arguments]))
        if self.variants:
            jobs = select_variants(self.variants, jobs)
        if config.threads is None:
            jobs = [[*job, f"threads={_threads_each(config.jobs)}"] for job in jobs]
        configs = [self._validated_config(job) for job in jobs]
        for each in configs:
            _dry_run_build(each)
        if config.match == "parameters":
            jobs, configs = self._at_equal_parameters(jobs, configs)
        directory = Path(config.hydra.sweep.dir)
        create_sweep(directory, jobs, configs, self.reference, config.match)
        inside = "hydra.sweep.dir='" + str(directory).replace("'", "\\'") + "'"
        runs = run_names(jobs)
        placed = [[*job, inside, f"hydra.sweep.subdir={run}"] for job, run in zip(jobs, runs, strict=True)]
        from coordnet.reports.finish import write_and_print_report

        try:
            returned = self.launcher.launch(placed, initial_job_idx=0)
            for run, job_return in zip(runs, returned, strict=not own_launcher):
                _report_failure(run, job_return)
        finally:
            all_finished = write_and_print_report(directory)
        if not all_finished:
            sys.exit(1)

    def _validated_config(self, job: Job) -> dict[str, Any]:
        """The checked config of a job."""
        assert self.config is not None and self.hydra_context is not None
        config = to_run_config(self.hydra_context.config_loader.load_sweep_config(self.config, job))
        check_config(config, allowed_packages())
        return config

    def _at_equal_parameters(
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
        target = count_parameters(first, allowed_packages())
        widened, changed = [], []
        for job, config in zip(jobs, configs, strict=True):
            width = equal_parameters(config, target, allowed_packages())
            kept = [override for override in job if not override.lstrip("+").startswith("network.width=")]
            widened.append(job if width is None else [*kept, f"network.width={width}"])
            changed.append(config if width is None else with_width(config, width))
        return widened, changed


def _threads_each(jobs: int) -> int:
    """Return the number of threads of each of `jobs` parallel jobs, at least 1."""
    return max(1, available_cores() // jobs)


def _product(overrides: Sequence[Override]) -> list[Job]:
    """All combinations of the values of overrides; a later override of a key replaces an earlier one.

    Raises:
        UserError: An override sweeps over an interval, which has no list of values.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            values[key] = list(override.sweep_string_iterator())
        else:
            raise UserError(
                f"{override.input_line}: an interval cannot be swept; list its values with commas"
            )
    named = [[f"{key}={value}" for value in listed] for key, listed in values.items()]
    return [list(job) for job in product(*named)]


def _dry_run_build(config: Mapping[str, Any]) -> None:
    """Build all objects of a job and estimate its memory, so that a mistake shows before any file is written."""
    from coordnet.training.memory import check_memory
    from coordnet.training.prepare import build_run

    check_memory(build_run(config, allowed_packages())[1], config["max_memory"])


def _report_failure(run: str, job_return: JobReturn) -> None:
    """Print why a job failed; the status.json of its run holds the traceback."""
    try:
        _ = job_return.return_value
    except Exception as error:
        print(f"{run}: {type(error).__name__}: {error}", file=sys.stderr)
