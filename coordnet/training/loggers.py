"""Loggers of a run: views of its metrics.csv."""

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger


def tensorboard(directory: Path, purge_step: int = 0) -> TensorBoardLogger:
    """A logger that writes TensorBoard's event files.

    Args:
        directory: The directory of the run; event files are in its subdirectory "tb".
        purge_step: The first step whose earlier events TensorBoard hides.
    """
    return TensorBoardLogger(
        directory, name="", version="", sub_dir="tb", default_hp_metric=False, purge_step=purge_step
    )
