import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from coordnet.training.module import FieldModule

_PACKAGES = ("torch", "lightning", "hydra-core", "numpy", "tensorboard")


def provenance(model: FieldModule, precision: str) -> dict[str, Any]:
    """Versions, machine and facts of a model that a result depends on besides its config.

    Args:
        model: The module of the run.
        precision: The precision of the hidden layers, such as "float32".
    """
    import coordnet

    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        "coordnet": coordnet.__version__,
        "revision": git_revision(),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "parameters": trained,
        "training_nyquist": max(model.batches.signal.spec().domain.nyquist),
    }


def git_revision() -> str | None:
    """Revision of the checkout that coordnet runs from, with "-dirty" if files differ; None outside one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
