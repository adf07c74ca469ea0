"""Rows and media of a run: metrics.csv and images/ are the record, and loggers are views of the record."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
from lightning.pytorch.loggers import Logger

from coordnet.evaluation.media import Media, Picture
from coordnet.runs import metrics_file
from coordnet.runs.directory import write_bytes
from coordnet.training.loggers import flush, log_hyperparameters, log_media


class RunLogger:
    """Writes to a run's directory and to Lightning's loggers.

    Every logger gets each row once, at the optimizer's step, and the media that the logger can show.

    Args:
        loggers: Lightning's loggers.
        directory: The directory that gets metrics.csv and images/; None writes to the loggers alone.
    """

    def __init__(self, loggers: Sequence[Logger], directory: Path | None) -> None:
        self.loggers = list(loggers)
        self.directory = directory

    @property
    def metrics_file(self) -> Path | None:
        return None if self.directory is None else self.directory / metrics_file.NAME

    def truncate_after(self, step: int) -> None:
        """Drop the rows after a step: a resumed run makes them again."""
        if self.metrics_file is not None:
            metrics_file.truncate_after(self.metrics_file, step)

    def write_row(self, row: Mapping[str, float]) -> None:
        """Append a row, which holds "step", to metrics.csv, and log the row's finite values."""
        if self.metrics_file is not None:
            metrics_file.append(self.metrics_file, row)
        self.log({name: value for name, value in row.items() if name != "step"}, int(row["step"]))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log the finite ones of some values to every logger."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for logger in self.loggers:
            logger.log_metrics(finite, step=step)

    def log_hyperparameters(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Log the flat config once, and for TensorBoard the metrics that its HParams tab lists."""
        for logger in self.loggers:
            log_hyperparameters(logger, values, metrics)

    def show(self, media: Mapping[str, Media], step: int) -> None:
        """Write pictures to images/ as <name>-<step>.png, and give all media to the loggers."""
        for name, each in media.items():
            if isinstance(each, Picture) and self.directory is not None:
                folder = self.directory / "images"
                folder.mkdir(exist_ok=True)
                slug = re.sub(r"\W+", "-", name)
                data = imageio.imwrite("<bytes>", each.pixels, extension=".png")
                write_bytes(folder / f"{slug}-{step:07d}.png", data)
            for logger in self.loggers:
                log_media(logger, name, each, step)

    def flush(self) -> None:
        """Write what the loggers hold back, so that a reader finds the newest row at once."""
        for logger in self.loggers:
            flush(logger)
