"""The worker, killed by itself (SIGKILL) at the n-th time that its flush reaches a named step, or
that it forwards readings (`send`: before, `sent`: after the inboxes have them), or in the middle
of a cut (`half`: the rest of its rows, and its partition's own, never reach the changelog).

`STOP_AT=announce:3` in the environment; `faust -A tests.proof.stopping_worker worker` runs it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from agents.detection import detection
from agents.rekeying import Forward, Forwarder
from pipeline.app import app
from tables.partition import Partition

__all__ = ["app"]

step_name, _, times = os.environ["STOP_AT"].partition(":")
remaining = int(times)
go_on, append = detection.writer.step, detection.writer.append


def reached(name: str) -> None:
    global remaining
    if name == step_name:
        remaining -= 1
        if remaining <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def stop_at(name: str, partition: Partition) -> None:
    # only a flush that announces something: the interesting one; its end is that of any
    if name == "acknowledge" or any(row.outbox for row in partition.rows.values()):
        reached(name)
    await go_on(name, partition)


async def stop_in_the_middle(
    partition: Partition, rows: Sequence[tuple[bytes, bytes | None]]
) -> int:
    if step_name == "half" and len(rows) > 1:
        await append(partition, rows[: len(rows) // 2])
        reached("half")
        rows = rows[len(rows) // 2 :]
    return await append(partition, rows)


class StoppingForwarder(Forwarder):
    async def send(self, forwards: Sequence[Forward]) -> None:
        reached("send")
        await super().send(forwards)
        reached("sent")


detection.writer.step = stop_at  # type: ignore[method-assign]
detection.writer.append = stop_in_the_middle  # type: ignore[method-assign]
detection.intake._forwarder = StoppingForwarder(detection.batches, app.names.forwarded)
