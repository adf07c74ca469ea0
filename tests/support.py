"""Helpers of several test files: configs as the command line composes them, and small, quick runs."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coordnet.config.compose import compose_config

if TYPE_CHECKING:
    from coordnet.coords import FieldFunction
    from coordnet.evaluation.base import EvaluationResult, Predict
    from coordnet.signals.base import Signal

SMALL = (
    "signal.resize=[48,32]",
    "network.depth=2",
    "network.width=16",
    "trainer.batch_size=64",
    "max_steps=12",
    "eval_every=5",
    "threads=1",
)


def make_config(*overrides: str) -> dict[str, Any]:
    """The plain config that `coordnet train *overrides` runs."""
    return compose_config(*overrides)


def coordnet(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "coordnet.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, **options)


def evaluate(signal: "Signal", field: "FieldFunction", predict: "Predict") -> "EvaluationResult":
    """Score a field with the evaluator for the kind of signal."""
    # Tests of quick refusals import this file without torch.
    from coordnet.evaluation.default import evaluator_for

    return evaluator_for(signal).evaluate(signal, field, predict)


def pictures(result: "EvaluationResult") -> dict[str, np.ndarray]:
    """The pixels of the pictures among the media of an evaluation."""
    from coordnet.evaluation.media import Picture

    return {name: media.pixels for name, media in result.make_media().items() if isinstance(media, Picture)}
