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

from coordnet.errors import UserError, shown
from coordnet.files import atomic_file
from coordnet.runs.directory import RUN_FORMAT

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


def save(content: Mapping[str, Any], path: Path, previous: Path | None = None) -> None:
    """Write a file beside `path`, verify the file, and replace `path` in one step.

    Args:
        content: Tensors and plain values by name.
        path: The checkpoint.
        previous: The new name of the old checkpoint; None removes the old checkpoint.

    Raises:
        OSError: The disk is full or cannot be written; the old file is as it was.
    """
    # Processes that were killed in this function leave partial files.
    for partial in path.parent.glob(f".{path.name}.tmp-*"):
        partial.unlink(missing_ok=True)
    try:
        with atomic_file(path, replace=True, previous=previous) as partial:
            torch.save({"format_version": RUN_FORMAT, **content}, partial)
            load_checkpoint(partial)
    except (OSError, RuntimeError) as error:
        needed, free = _num_bytes(content), shutil.disk_usage(path.parent).free
        # The error of torch for a full disk names an unexpected position in the file.
        reason = os.strerror(errno.ENOSPC) if needed > free else str(error).splitlines()[0]
        raise OSError(
            f"{path} cannot be saved: {reason}; it takes {needed:,} bytes and {free:,} are free"
        ) from None


def _num_bytes(content: Any) -> int:
    """Number of bytes of all tensors in nested mappings and lists."""
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    entries = content.values() if isinstance(content, Mapping) else content
    return sum(map(_num_bytes, entries)) if isinstance(content, Mapping | list | tuple) else 0


def load_checkpoint(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read and verify a checkpoint.

    Raises:
        UserError: The file is missing, damaged (by the zip's CRC, which `torch.load` does not check), of another
            format, or holds more than tensors and plain values.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            # Torch stores its members unpacked; unpacking other archives could fill the memory.
            packed = [info for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
            damaged = None if packed else archive.testzip()
        content = {} if packed or damaged else torch.load(path, map_location, weights_only=True)
    except Exception as error:  # The unpickler raises nearly every type of exception.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"checkpoint {path} cannot be read: {reason}") from None
    if damaged:
        raise UserError(f"checkpoint {path} is damaged in {damaged}")
    found = content.get("format_version") if isinstance(content, dict) else None
    if type(found) is not int or found != RUN_FORMAT:
        raise UserError(
            f"checkpoint {path} has format {shown(found)}; this version reads format {RUN_FORMAT}"
        )
    return content


def newest(folder: Path) -> Path | None:
    """Find the first of last, previous and best that can be read; damaged files before that are renamed and reported.

    Returns:
        The path, or None if the folder holds no checkpoint.

    Raises:
        UserError: The folder holds checkpoints, and none can be read.
    """
    damaged: dict[Path, UserError] = {}
    for path in (folder / LAST, folder / PREVIOUS, folder / BEST):
        if not path.exists():
            continue
        try:
            step = load_checkpoint(path).get("global_step")
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
    """True if two contents, or parts of contents, are equal bit for bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
