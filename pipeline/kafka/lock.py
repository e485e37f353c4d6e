"""A path in, the only holder of its lock out; the kernel frees it when the last holder is gone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderInUse(Exception):
    """Another process holds the lock; the text names the folder."""


@contextmanager
def locked(path: Path, patience: float = 0.0) -> Iterator[int]:
    """Holds the lock file `path`, after at most `patience` seconds; yields its descriptor.

    A child that inherits the descriptor shares the lock: it is free once both are gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path, time.monotonic() + patience)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise FolderInUse(f"{path.parent} is in use by another process") from None
            time.sleep(0.05)
