"""A process that another one started does not outlive it."""

import multiprocessing
import os
import signal
import threading
import time

GRACE = 30.0


def start_parent_watchdog() -> None:
    """Watch the process that started this one; when it is gone, save and stop, after 30 s at once."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
