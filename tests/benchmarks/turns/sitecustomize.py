"""Python imports this before all else where its folder is on the path. Each call of an event loop
that takes long becomes a line of JSON in the file that `TURNS` names."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from asyncio import Handle

LONG = 0.01  # seconds by the clock

_run = Handle._run


def _timed(handle: Handle) -> None:
    began, used = time.perf_counter(), time.thread_time()
    _run(handle)
    took = time.perf_counter() - began
    if took > LONG:
        turn = {
            "command": COMMAND,
            "thread": threading.current_thread().name,
            "after": round(time.perf_counter() - START, 1),
            "clock_ms": round(took * 1e3, 1),
            "processor_ms": round((time.thread_time() - used) * 1e3, 1),
            "what": repr(handle)[:300],
        }
        os.write(FILE, json.dumps(turn).encode() + b"\n")


if "TURNS" in os.environ:
    START = time.perf_counter()
    COMMAND = " ".join(sys.orig_argv)[-80:]
    FILE = os.open(os.environ["TURNS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    Handle._run = _timed  # type: ignore[method-assign]
