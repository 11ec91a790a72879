"""One run per portal at a time.

Belongs here: the lock that `estafeta run`, runs started by Dagster and commands that write share. Does not belong here:
the lock of the embedded warehouse (`warehouse_sql/engine.py`), which readers take too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.5


class RunBusyError(Exception):
    """Another run of the same portal is at work."""


@contextlib.contextmanager
def run_lock(state: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Holds the portal's run lock; the system drops it when the process dies, however it dies.

    Args:
        state: folder of Estafeta's own files.
        wait_seconds: how long to wait for whoever holds it.

    Raises:
        RunBusyError: somebody else holds it, after the wait too.
    """
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _takes(descriptor):
            if time.monotonic() >= deadline:
                raise RunBusyError("Another run of this portal is at work; wait until it ends.")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _takes(descriptor: int) -> bool:
    """Takes the lock if it is free; whether it did."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
