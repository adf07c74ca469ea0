"""Files that are never overwritten, and stand where they belong once they are whole."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coordnet.errors import UserError


def check_new(path: Path, option: str, kinds: Sequence[str]) -> None:
    """Refuse a path that the user gave by `option`.

    Raises:
        UserError: There is something, or its ending is none of `kinds`.
    """
    if path.suffix not in kinds:
        raise UserError(f"{option}={path} must end in {' or '.join(kinds)}")
    if path.exists():
        raise UserError(f"{option}={path} exists already; choose another file")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which becomes `path` at the end. Whatever happens, nothing else is left.

    Raises:
        OSError: It cannot be written, or a file at `path` has appeared meanwhile. Where the directory is at fault, this
            is at the start.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        partial.touch()
        yield partial
        if path.exists():
            raise FileExistsError(f"{path} has appeared meanwhile; it is left as it is")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
