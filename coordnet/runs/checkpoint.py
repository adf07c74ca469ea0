"""Checkpoints are data: tensors and plain values, written whole or not at all, verified on write and on read."""

import errno
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO

from coordnet.errors import UserError, shown

FORMAT = 1
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


def save(content: Mapping[str, Any], path: Path, previous: Path | None = None) -> None:
    """Write beside `path`, verify, and replace `path` in one step; the old file stays until then.

    Args:
        content: Tensors and plain values by name.
        path: Of the checkpoint.
        previous: Where the old file goes; None lets it go.

    Raises:
        OSError: The disk is full or cannot be written; the old file is as it was.
    """
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("wb") as file:
            torch.save({"format_version": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        load(partial)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        needed, free = size_of(content), shutil.disk_usage(path.parent).free
        # Torch says of a full disk that some position was unexpected.
        reason = os.strerror(errno.ENOSPC) if needed > free else str(error).splitlines()[0]
        raise OSError(
            f"{path} cannot be saved: {reason}; it takes {needed:,} bytes and {free:,} are free"
        ) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if previous is not None and path.exists():
        path.replace(previous)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def size_of(content: Any) -> int:
    """Bytes of all tensors in nested mappings and lists."""
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    entries = content.values() if isinstance(content, Mapping) else content
    return sum(map(size_of, entries)) if isinstance(content, Mapping | list | tuple) else 0


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read and verify a checkpoint.

    Raises:
        UserError: It is missing, damaged (by the zip's CRC, which `torch.load` does not check), of another format, or
            holds more than tensors and plain values.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            # Those of torch are stored as they are; unpacking others could fill the memory.
            packed = [info for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
            damaged = None if packed else archive.testzip()
        content = {} if packed or damaged else torch.load(path, map_location, weights_only=True)
    except Exception as error:  # The unpickler raises nearly all there are.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"checkpoint {path} cannot be read: {reason}") from None
    if damaged:
        raise UserError(f"checkpoint {path} is damaged in {damaged}")
    found = content.get("format_version") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:
        raise UserError(f"checkpoint {path} has format {shown(found)}; this version reads format {FORMAT}")
    return content


def newest(folder: Path) -> Path | None:
    """The first of last, previous and best that can be read; those before it are named and set aside.

    Returns:
        None where there is no checkpoint at all.

    Raises:
        UserError: There are some, and none can be read.
    """
    damaged: dict[Path, UserError] = {}
    for path in (folder / LAST, folder / PREVIOUS, folder / BEST):
        if not path.exists():
            continue
        try:
            step = load(path).get("global_step")
            if not isinstance(step, int):
                raise UserError(f"checkpoint {path} is none of a run: it has no global_step")
        except UserError as error:
            damaged[path] = error
            continue
        for bad, reason in damaged.items():
            aside = bad.with_name(f"{bad.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
            bad.rename(aside)
            print(f"{reason}; it is now {aside.name}", file=sys.stderr)
        if path.name != LAST:
            print(f"going on from {path.name}, step {step}", file=sys.stderr)
        return path
    if damaged:
        raise next(iter(damaged.values()))
    return None


def same(a: object, b: object) -> bool:
    """Whether two contents, or parts of them, are equal bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's way in and out, through `save` and `load`.

    Args:
        facts: Plain values that each checkpoint holds besides Lightning's, such as the run's config.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        previous = Path(path).with_name(PREVIOUS) if Path(path).name == LAST else None
        save({**self.facts, **checkpoint}, Path(path), previous)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        raise RuntimeError(f"coordnet removes no checkpoint, so not {path} either")
