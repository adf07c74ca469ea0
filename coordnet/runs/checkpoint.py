"""Checkpoints are data: tensors and plain values, written whole or not at all, verified on write and on read."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from coordnet.errors import UserError


def save(content: dict[str, Any], path: Path) -> None:
    """Write beside `path`, verify, and replace `path` in one step; the old file stays until then."""
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    load(partial)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read and verify a checkpoint.

    Raises:
        UserError: It is missing, damaged (by the zip's CRC, which `torch.load` does not check), or holds more
            than tensors and plain values.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise UserError(f"checkpoint {path} is damaged in {damaged}")
        return torch.load(path, map_location=map_location, weights_only=True)
    except UserError:
        raise
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
    ) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"checkpoint {path} cannot be read: {reason}") from None


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's way in and out, through `save` and `load`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        raise RuntimeError(f"coordnet removes no checkpoint, so not {path} either")
