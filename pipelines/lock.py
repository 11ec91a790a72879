"""One run per portal at a time.

Belongs here: the lock that `estafeta run`, runs started by Dagster and commands that write share. Does not belong here:
the lock of the embedded warehouse (`warehouse_sql/engine.py`), which readers take too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class RunBusyError(Exception):
    """Another run of the same portal is at work."""


@contextlib.contextmanager
def run_lock(state: Path) -> Iterator[None]:
    """Holds the portal's run lock; the system drops it when the process dies, however it dies.

    Args:
        state: folder of Estafeta's own files.

    Raises:
        RunBusyError: somebody else holds it.
    """
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        busy = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = True
        if busy:
            raise RunBusyError("Another run of this portal is at work; wait until it ends.")
        yield
    finally:
        os.close(descriptor)
