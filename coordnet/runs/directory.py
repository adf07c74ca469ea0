"""A run's own directory: claimed by one process, and its state in status.json."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from coordnet.errors import UserError
from coordnet.files import atomic_file

# The version of a run's files: config.yaml and checkpoints of another version are refused.
RUN_FORMAT = 2
LOCK = "run.lock"
STATUS = "status.json"
# States of runs that cannot be continued.
ENDED = ("finished", "diverged")
# `is_locked` in another process holds the lock for an instant.
_ATTEMPTS = 10


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader finds the old text or the new text."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader finds the old bytes or the new bytes."""
    with atomic_file(path, replace=True) as partial:
        partial.write_bytes(data)


def lock_run_dir(directory: Path) -> IO[str]:
    """Lock a directory for this process until the returned file is closed.

    Raises:
        UserError: Another live process holds the lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / LOCK).open("a+", errors="replace")
    try:
        _lock_or_refuse(lock, directory)
    except BaseException:
        lock.close()
        raise
    # Killed processes leave partial files.
    for partial in directory.glob(".*.tmp-*"):
        partial.unlink(missing_ok=True)
    lock.truncate(0)
    lock.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
    lock.flush()
    return lock


def _lock_or_refuse(lock: IO[str], directory: Path) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt < _ATTEMPTS - 1:
                time.sleep(0.02)
    raise UserError(_in_use(directory, lock))


def ensure_unlocked(directory: Path) -> None:
    """Refuse a directory that a live process has locked.

    Raises:
        UserError: The message names the process.
    """
    if is_locked(directory):
        with (directory / LOCK).open(errors="replace") as lock:
            raise UserError(_in_use(directory, lock))


def _in_use(directory: Path, lock: IO[str]) -> str:
    lock.seek(0)
    return (
        f"{directory} is in use by {' '.join(lock.read().split())}; wait for it or choose another directory"
    )


def is_locked(directory: Path) -> bool:
    """True if a live process has locked the directory."""
    try:
        with (directory / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


def write_status(directory: Path, status: str, **details: Any) -> None:
    """Replace status.json by a status and further plain values."""
    write_text(directory / STATUS, json.dumps({"status": status, **details}, indent=2) + "\n")


def read_status(directory: Path) -> Mapping[str, Any]:
    """Read status.json; a status of "running" becomes "killed" if the process of the run is gone.

    Raises:
        UserError: The directory is no run, or the file is damaged.
    """
    try:
        status = json.loads((directory / STATUS).read_text())
    except FileNotFoundError:
        raise UserError(f"{directory} is no run: it has no {STATUS}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{directory / STATUS} is damaged: {error}") from None
    if not isinstance(status, dict) or not isinstance(status.get("status"), str):
        raise UserError(f"{directory / STATUS} is damaged: it holds no status")
    if status["status"] == "running" and not is_locked(directory):
        return {**status, "status": "killed"}
    return status


def is_run(directory: Path) -> bool:
    """True if the directory holds a status.json."""
    return (directory / STATUS).is_file()
