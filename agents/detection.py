"""Readings and checks in, alerts out: the one task that changes the state of our devices.

Everything that concerns a partition's devices comes through this agent, in order. A chunk is
processed without an `await` (but for a check's look at the source's end), its changes are noted as
dirty, and its acknowledgement waits for the flush that makes them durable (`writer`). A wrong
reading goes to `readings-rejected` with its reason; so does one on which our core fails. Anything
else that goes wrong ends the process without committing: whatever leaves an agent's body would be
acknowledged by Faust, and lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast
from zoneinfo import ZoneInfo

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faust import Stream
from faust.exceptions import ProducerSendError
from faust.types import TP, EventT, StreamT

from agents.checks import INTERVAL, plan, send_checks
from agents.ownership import Ownership
from agents.standstill import mind_the_sources
from agents.writer import Closed, Writer
from pipeline import metrics
from pipeline.records import Rejected, decode, event_json
from pipeline.rules.engine import Engine, Refused
from pipeline.rules.lifecycle import Event
from pipeline.streams import App, app, end_process, sources
from tables.devices import CHECKS, READINGS, Outgoing, Partition, Rejection, Row, Table, devices

log = logging.getLogger(__name__)

LARGEST_REJECTED = 900_000  # bytes of an original that the rejected topic keeps,
LONGEST_KEY = 100_000  # and of its key: together below what a topic takes by default
# What may wait for a flush before the agent waits for one. Events are in their rows until they are
# announced, and a row is one record: 1,000 of them, and what one more chunk adds, are below 5 MB.
MOST_DIRTY = 20_000
MOST_CHUNKS = 200
MOST_EVENTS = 1_000
MOST_BYTES = 32 << 20
ASLEEP = 5.0  # seconds between two looks at the clock, of which there is one a second


class Detection:
    """The pure engine, fed from Kafka."""

    def __init__(self, app: App, table: Table, engine: Engine) -> None:
        self.app = app
        self.engine = engine
        self.writer = Writer(app, table)
        self.ownership = Ownership(app, table, engine, self.writer)
        self.named = engine.rulebook.metrics_named
        self.naive = ZoneInfo(app.settings.naive_timezone)
        self.looked_at = time.time()
        self.beat: Callable[[], None] = lambda: None  # the watchdog's sign of life

    # -- one chunk

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        partition = self.ownership.owned.get(event.message.partition)
        if partition is None:
            return  # given away meanwhile: its next owner reads it
        records = cast(list[ConsumerRecord], event.value)
        if event.message.topic == self.app.names.readings:
            self.readings(partition, records, time.time())
        else:
            await self.checks(partition, records)
        if partition.closed:
            return
        partition.pending.append(event)
        partition.unflushed += sum(len(record.value or b"") for record in records)
        if is_full(partition):
            with contextlib.suppress(Closed):
                await self.writer.flush(partition)

    # -- readings

    def readings(self, partition: Partition, records: list[ConsumerRecord], wall: float) -> None:
        for record in records:
            if record.offset > partition.applied[READINGS]:
                self.reading(partition, record, wall)
                partition.applied[READINGS] = record.offset
                partition.applied_time = record.timestamp
            else:
                metrics.READINGS.labels("replayed").inc()
        partition.position = records[-1].offset + 1
        if not partition.clock.watching:
            self.end_of_backlog(partition, partition.position, wall)

    def end_of_backlog(self, partition: Partition, position: int, wall: float) -> None:
        if position >= partition.backlog_end:
            partition.clock.caught_up(wall)
            log.info("partition %d has read its backlog", partition.number)

    def reading(self, partition: Partition, record: ConsumerRecord, wall: float) -> None:
        record_time = record.timestamp / 1000
        at = partition.clock.see(record_time, wall)
        try:
            reading, refused = decode(
                record.value, record_time, named=self.named, naive_timezone=self.naive
            )
        except Rejected as rejected:
            count_refused(rejected.refused)
            self.reject(partition, record, rejected.reason)
            return
        count_refused(refused)
        row = partition.row(reading.device_id)
        if record.offset <= row.applied[READINGS]:
            metrics.READINGS.labels("replayed").inc()
            return
        try:
            verdict, events = self.engine.reading(
                row.device, reading, at, partition.clock.judged_from
            )
        except Refused as refusal:
            self.reject(partition, record, refusal.reason)
            return
        except Exception:
            log.exception("our core failed on a reading of %r", reading.device_id)
            self.reject(partition, record, "core_error")
            return
        metrics.READINGS.labels(verdict).inc()
        row.applied[READINGS] = record.offset
        self.changed(partition, row, events)
        if events:
            metrics.DECISION_SECONDS.observe(max(0.0, wall - record_time))

    def reject(self, partition: Partition, record: ConsumerRecord, reason: str) -> None:
        metrics.READINGS.labels("rejected").inc()
        metrics.REJECTED.labels(reason).inc()
        headers = [
            ("reason", reason.encode()),
            ("topic", record.topic.encode()),
            ("partition", b"%d" % record.partition),
            ("offset", b"%d" % record.offset),
        ]
        value = record.value
        if value is not None and len(value) > LARGEST_REJECTED:
            value = value[:LARGEST_REJECTED]
            headers.append(("truncated", b"true"))
        key = record.key and record.key[:LONGEST_KEY]
        partition.rejected.append(Rejection(key, value, headers))

    # -- checks

    async def checks(self, partition: Partition, records: list[ConsumerRecord]) -> None:
        """Settle what fell due: by the wall clock only if all that was sent before now is read."""
        wall = self.wall()
        tp = TP(self.app.names.readings, partition.number)
        end = (await self.app.consumer.highwaters(tp))[tp]
        if partition.closed:
            return
        horizon = partition.clock.horizon(wall, at_end=self.ownership.read_to(partition) >= end)
        for record in records:
            if record.offset > partition.applied[CHECKS]:
                self.check(partition, record, horizon)
                partition.applied[CHECKS] = record.offset

    def check(self, partition: Partition, record: ConsumerRecord, horizon: float) -> None:
        row = partition.rows.get((record.key or b"").decode("utf-8", "replace"))
        if row is None or record.offset <= row.applied[CHECKS]:
            return
        events = self.engine.settle(row.device, horizon, partition.clock.judged_from)
        if events or row.is_over():
            row.applied[CHECKS] = record.offset
            self.changed(partition, row, events)
        else:
            plan(self.engine, partition, row)

    # -- what changed

    def changed(self, partition: Partition, row: Row, events: list[Event]) -> None:
        partition.dirty[row.device.id] = row
        for event in events:
            metrics.EVENTS_DECIDED.labels(event.rule, event.event).inc()
            row.outbox.append(
                Outgoing(
                    event.rule,
                    event.alert_id,
                    event.seq,
                    event.status == "active",
                    event_json(event),
                )
            )
        partition.undelivered += len(events)
        plan(self.engine, partition, row)
        if events:
            self.writer.wake()

    def wall(self) -> float:
        """The time. If it leapt (the machine slept, its clock was set), silence counts anew."""
        wall = time.time()
        if not -ASLEEP < wall - self.looked_at < ASLEEP:
            for partition in self.ownership.owned.values():
                if partition.clock.watching:
                    partition.clock.caught_up(wall)
        self.looked_at = wall
        return wall

    # -- the flush, and the look at what is due

    async def flush_for_ever(self) -> None:
        """Write changed rows at once when an event waits, else once in a while."""
        interval = self.app.settings.flush_interval
        while not self.app.should_stop:
            try:
                async with asyncio.timeout(interval):
                    await self.writer.wanted.wait()
            except TimeoutError:
                pass
            self.writer.wanted.clear()
            await self._flush()
            self.beat()

    async def _flush(self) -> None:
        try:
            await self.writer.flush_all(list(self.ownership.owned.values()))
        except Closed as closed:
            log.warning("%s", closed)
        except (KafkaError, ProducerSendError, TimeoutError) as error:
            end_process(f"state or alerts can't be written: {error!r}")

    async def look_for_ever(self) -> None:
        """Send checks for what may be due, and notice backlogs that end without a record."""
        while not self.app.should_stop:
            await asyncio.sleep(INTERVAL)
            self.catch_up(self.wall())
            await send_checks(self.app, self.engine, self.ownership.owned.values())

    def catch_up(self, wall: float) -> None:
        """A backlog can end in offsets that hold no record, so that none shows its end."""
        for partition in self.ownership.owned.values():
            if partition.positioned and not partition.clock.watching:
                self.end_of_backlog(partition, self.ownership.read_to(partition), wall)


def count_refused(reasons: Iterable[str]) -> None:
    for reason in reasons:
        metrics.VALUES_REFUSED.labels(reason).inc()


def is_full(partition: Partition) -> bool:
    return (
        len(partition.dirty) > MOST_DIRTY
        or len(partition.pending) > MOST_CHUNKS
        or partition.undelivered > MOST_EVENTS
        or partition.unflushed > MOST_BYTES
    )


detection = Detection(app, devices, Engine())


@app.agent(sources, name="detection", concurrency=1)
async def detect(stream: StreamT[Any]) -> None:
    try:
        async for event in cast(Stream[Any], stream).noack().events():
            await detection.take(event)
    except Exception:
        log.exception("detection failed")
        end_process("detection failed")


async def supervised(task: Coroutine[None, None, None]) -> None:
    """A background task that fails ends the process: the worker is of no use without it."""
    try:
        await task
    except Exception:
        log.exception("a background task failed")
        end_process("a background task failed")


async def flush() -> None:
    await supervised(detection.flush_for_ever())


async def look() -> None:
    await supervised(detection.look_for_ever())


async def mind() -> None:
    await supervised(mind_the_sources(app, detection.ownership))


app.task(flush)
app.task(look)
app.task(mind)
