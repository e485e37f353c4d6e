"""The worker, which kills itself (SIGKILL) the n-th time that it reaches a named place.

In a flush that announces something, before each of its steps: `windows`, `rows`, `store`,
`announce`, `acknowledge`, `finish`; and `half`, in the middle of a cut (the rest of its rows, and
its partition's own, never reach the changelog). In a rebalance: `revoke` before the last flush,
`last-rows`, `last-half` and so on in it, `revoked` after it. While it takes partitions over:
`restore` before anything, `recover` before a write to the local store, `taken` after a partition.
Where it forwards readings: `send` before, `sent` after the inboxes have them.

`STOP_AT=announce:3` in the environment, or later in the file that `STOP_FILE` names. With another
signal (`announce:3 SIGSTOP`) it can go on afterwards, and be told again.
`faust -A tests.proof.stopping_worker worker` runs it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from faust.types import TP

from agents.detection import detection
from agents.rekeying import Forward, Forwarder
from pipeline.app import app
from tables.devices import devices
from tables.partition import Partition

__all__ = ["app"]

ownership, writer = detection.ownership, detection.writer
go_on, append, take, store = writer.step, writer.append, ownership._take, devices.write
giving = False  # our partitions away, in a rebalance


class Order:
    """Where to stop, after how many times, and how."""

    def __init__(self, text: str) -> None:
        where, _, how = text.partition(" ")
        self.place, _, times = where.partition(":")
        self.remaining = int(times or 1)
        self.signal = signal.Signals[how or "SIGKILL"]


order = Order(os.environ.get("STOP_AT", ""))
told_later = Path(os.environ["STOP_FILE"]) if "STOP_FILE" in os.environ else None


def told() -> str:
    """The place to stop at; empty if there is none."""
    global order
    if not order.place and told_later is not None and told_later.is_file():
        order = Order(told_later.read_text())
    return order.place


def reached(place: str) -> None:
    global order
    if place == told():
        order.remaining -= 1
        if order.remaining <= 0:
            if told_later is not None:
                told_later.unlink(missing_ok=True)
            how, order = order.signal, Order("")
            os.kill(os.getpid(), how)


async def stop_at(name: str, partition: Partition) -> None:
    # only a flush that announces something: the interesting one; and the last, whatever it has
    if giving or name == "acknowledge" or any(row.outbox for row in partition.rows.values()):
        reached(f"last-{name}" if giving else name)
    await go_on(name, partition)


async def stop_in_the_middle(
    partition: Partition, rows: Sequence[tuple[bytes, bytes | None]]
) -> int:
    half = "last-half" if giving else "half"
    if told() == half and len(rows) > 1:
        await append(partition, rows[: len(rows) // 2])
        reached(half)
        rows = rows[len(rows) // 2 :]
    return await append(partition, rows)


async def release() -> None:
    global giving
    giving = bool(ownership.owned) and not app.should_stop
    if giving:
        reached("revoke")
    await ownership.release()
    if giving:
        reached("revoked")
    giving = False


async def restore(assigned: frozenset[TP]) -> None:
    reached("restore")
    await ownership.restore(assigned)


def write(partition: int, rows: Iterable[tuple[bytes, bytes | None]], upto: int) -> None:
    if ownership._restoring:
        reached("recover")
    store(partition, rows, upto)


async def taken(*arguments: Any) -> Partition:
    partition = await take(*arguments)
    reached("taken")
    return partition


class StoppingForwarder(Forwarder):
    async def send(self, forwards: Sequence[Forward]) -> None:
        reached("send")
        await super().send(forwards)
        reached("sent")


writer.step = stop_at  # type: ignore[method-assign]
writer.append = stop_in_the_middle  # type: ignore[method-assign]
ownership._take = taken  # type: ignore[method-assign]
devices.write = write  # type: ignore[method-assign]
detection.intake._forwarder = StoppingForwarder(detection.batches, app.names.forwarded)
app.on_release = release
app.on_restore = restore
