"""Due times in, check messages out: a timer nominates devices, their partition decides.

For every device the partition keeps in memory when something may next fall due (`plan`). Once a
second the timer takes those whose time has come and sends each an empty message, on the checks
topic, to the device's own partition: only the task that reads that partition changes its state.
A check carries no time; what it settles up to is decided where it is read (`judge`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.errors import KafkaError

from pipeline.batches import Batches, Outbound
from pipeline.rows import Row
from pipeline.rules.engine import Engine
from pipeline.streams import end_process
from tables.partition import Partition

WAIT = 5.0  # seconds that the word of a device's silence waits for that of its fleet's (`fleet`)
INTERVAL = 1.0  # seconds between two looks
AT_MOST = 5_000  # devices of a partition that one look takes up: the rest waits for the next one
AGAIN = 5.0  # seconds after which an unanswered check is sent again

NEVER = float("inf")


def plan(engine: Engine, partition: Partition, row: Row) -> None:
    """Note when the device may next be due; of most it is enough to know when it can't be yet."""
    device, marked = row.device, partition.silences.marked
    alerts = device.alerts
    if (alerts is not None and alerts.open) or (marked and device.id in marked):
        partition.plan.note(row, due(engine, partition, row))
    else:
        partition.plan.note(row, device.last_seen + device.patience)


def due(engine: Engine, partition: Partition, row: Row) -> float:
    """When a check of the device may next have something to settle."""
    silenced_until = partition.silences.due(row.device)
    return min(silenced_until, engine.due(row.device, partition.clock.judged_from))


def nominate(engine: Engine, partition: Partition) -> list[str]:
    """The devices that may be due now; each is planned again, in case its check is lost."""
    horizon = partition.horizon()
    due_now: list[str] = []
    for row in partition.plan.take(horizon, AT_MOST):
        when = due(engine, partition, row)
        if when <= horizon:
            waits = _has_fallen_silent(engine, partition, row, horizon)
            if not waits:
                due_now.append(row.device.id)
            when = horizon + (WAIT if waits else AGAIN)
        partition.plan.note(row, when)
    return due_now


def _has_fallen_silent(engine: Engine, partition: Partition, row: Row, horizon: float) -> bool:
    """Note a silence that is new. A replay's devices aren't silent together: it has no one time."""
    if not partition.clock.live or row.device.id in partition.silent:
        return False
    silent_at = engine.silent_at(row.device, partition.clock.judged_from)
    if silent_at > horizon:
        return False
    partition.silent[row.device.id] = (horizon, silent_at)
    return True


async def send_checks(
    batches: Batches, topic: str, engine: Engine, partitions: Iterable[Partition]
) -> None:
    """One look at every partition; returns when the broker has the checks."""
    for partition in list(partitions):
        due_now = [] if partition.closed else nominate(engine, partition)
        checks = [Outbound(device_id.encode(), None) for device_id in due_now]
        try:
            if checks:  # one by one, thousands would hold the event loop
                await batches.send(topic, partition.number, checks)
        except KafkaError as error:
            end_process(f"checks can't be sent: {error!r}")
        await asyncio.sleep(0)
