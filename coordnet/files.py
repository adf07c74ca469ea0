"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coordnet.errors import OptionError


@contextmanager
def atomic_file(path: Path, replace: bool = False, previous: Path | None = None) -> Iterator[Path]:
    """Yield a partial file beside `path`, which becomes `path` when the block ends without an error.

    A reader finds the old file or the new file, never a part. A block that fails leaves nothing behind.

    Args:
        path: The file to write.
        replace: True replaces an existing file. False makes a new file, and missing parent directories.
        previous: The name that an existing file at `path` gets; None removes the existing file.

    Raises:
        FileExistsError: A file at `path` has appeared, and `replace` is false.
        OSError: The file cannot be written. A faulty directory raises this error before the block starts.
    """
    if not replace:
        path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        partial.touch()
        yield partial
        _flush(partial)
        if not replace and path.exists():
            raise FileExistsError(f"{path} has appeared meanwhile; it is left as it is")
        if previous is not None and path.exists():
            path.replace(previous)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file or the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_new(option: str, path: Path, suffixes: Sequence[str]) -> None:
    """Refuse a path for a new file.

    Args:
        option: The name of the option that holds the path, for the message.
        path: The path.
        suffixes: The endings that are allowed.

    Raises:
        OptionError: The path exists, or ends otherwise.
    """
    if path.suffix not in suffixes:
        raise OptionError(option, str(path), f"must end in {' or '.join(suffixes)}")
    if path.exists():
        raise OptionError(option, str(path), "exists already; choose another file")
