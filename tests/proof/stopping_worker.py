"""The worker, killed by itself (SIGKILL) at the n-th time that its flush reaches a named step.

`STOP_AT=announce:3` in the environment; `faust -A tests.proof.stopping_worker worker` runs it.
"""

from __future__ import annotations

import os
import signal

from agents.detection import detection
from pipeline.app import app
from tables.devices import Partition

__all__ = ["app"]

step_name, _, times = os.environ["STOP_AT"].partition(":")
remaining = int(times)
go_on = detection.writer.step


async def stop_at(name: str, partition: Partition) -> None:
    global remaining
    # only a flush that announces something: the interesting one
    if name == step_name and any(row.outbox for row in partition.rows.values()):
        remaining -= 1
        if remaining <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
    await go_on(name, partition)


detection.writer.step = stop_at  # type: ignore[method-assign]
