"""The worker, killed by itself (SIGKILL) at the n-th time that its flush reaches a named step, or
that it forwards readings (`send`: before, `sent`: after the inboxes have them).

`STOP_AT=announce:3` in the environment; `faust -A tests.proof.stopping_worker worker` runs it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from agents.detection import detection
from agents.rekeying import Forward, Forwarder
from pipeline.app import app
from tables.devices import Partition

__all__ = ["app"]

step_name, _, times = os.environ["STOP_AT"].partition(":")
remaining = int(times)
go_on = detection.writer.step


def reached(name: str) -> None:
    global remaining
    if name == step_name:
        remaining -= 1
        if remaining <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def stop_at(name: str, partition: Partition) -> None:
    # only a flush that announces something: the interesting one
    if any(row.outbox for row in partition.rows.values()):
        reached(name)
    await go_on(name, partition)


class StoppingForwarder(Forwarder):
    async def send(self, forwards: Sequence[Forward]) -> None:
        reached("send")
        await super().send(forwards)
        reached("sent")


detection.writer.step = stop_at  # type: ignore[method-assign]
detection.intake._forwarder = StoppingForwarder(app.settings, app.names.forwarded)
