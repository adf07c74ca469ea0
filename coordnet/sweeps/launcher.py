"""The Hydra launcher that runs each job in a process of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from coordnet.config.hydra_adapter import allowed_packages
from coordnet.sweeps.jobs import run_jobs


class ProcessLauncher(Launcher):
    """Runs the jobs of the sweep.json that the sweeper has written, by `run_jobs`."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        config: Any = self.config
        run_jobs(Path(config.hydra.sweep.dir), config.jobs, allowed_packages(), config.job_timeout)
        return []
