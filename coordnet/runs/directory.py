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

LOCK = "run.lock"
STATUS = "status.json"
# What cannot go on.
ENDED = ("finished", "diverged")
# Another process that only looks whether the lock is held holds it for an instant.
ATTEMPTS = 10


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that a reader sees the old text or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def lock_run_dir(directory: Path) -> IO[str]:
    """Lock a directory for this process until the returned file is closed.

    Raises:
        UserError: Another live process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / LOCK).open("a+", errors="replace")
    try:
        lock_or_refuse(lock, directory)
    except BaseException:
        lock.close()
        raise
    # Of processes that were killed while they wrote.
    for partial in directory.glob(".*.tmp-*"):
        partial.unlink(missing_ok=True)
    lock.truncate(0)
    lock.write(f"pid {os.getpid()} on {socket.gethostname()}\n")
    lock.flush()
    return lock


def lock_or_refuse(lock: IO[str], directory: Path) -> None:
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt < ATTEMPTS - 1:
                time.sleep(0.02)
    raise UserError(in_use(directory, lock))


def ensure_unlocked(directory: Path) -> None:
    """Name who holds a directory, if anybody does.

    Raises:
        UserError: Somebody does.
    """
    if is_locked(directory):
        with (directory / LOCK).open(errors="replace") as lock:
            raise UserError(in_use(directory, lock))


def in_use(directory: Path, lock: IO[str]) -> str:
    lock.seek(0)
    return (
        f"{directory} is in use by {' '.join(lock.read().split())}; wait for it or choose another directory"
    )


def is_locked(directory: Path) -> bool:
    """Whether a live process has claimed the directory."""
    try:
        with (directory / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


def write_status(directory: Path, status: str, **details: Any) -> None:
    write_text(directory / STATUS, json.dumps({"status": status, **details}, indent=2) + "\n")


def read_status(directory: Path) -> Mapping[str, Any]:
    """What status.json says, with "killed" for a run that says running and whose process is gone."""
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
    return (directory / STATUS).is_file()
