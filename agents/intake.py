"""Chunks of readings in; each reading, in its turn, applied at home or on its way there, out.

What arrives is decoded, once, and waits for its turn (`order`). A reading whose home is ours is
applied to it (`judge`), any other is forwarded (`rekeying`). A chunk is noted for the next cut once
all of it is applied, and its forwards are acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from aiokafka import ConsumerRecord
from faust.types import EventT

from agents.item import Item, Origin
from agents.judge import Judge
from agents.order import Chunk, Order, Source, earliest
from agents.ownership import Ownership
from agents.rekeying import Forward, Forwarder
from agents.writer import Closed, Writer
from pipeline import metrics
from pipeline.home import home_of
from pipeline.records import Rejected, objects, reading_of
from pipeline.streams import App
from tables.partition import READINGS, Partition

log = logging.getLogger(__name__)

MOST_WAITING: Final = 8  # chunks of a source; one that has more is read no further for a while
SLICE: Final = 500  # items between two breaths of the event loop
PATIENCE = 5.0  # seconds that what is here waits for what may be older and doesn't come
# What may wait for a flush, of one partition, before the agent waits for one. Events are in their
# rows until they are announced, and a row is one record: 1,000 of them, and what one more slice
# adds, are below 5 MB.
MOST_DIRTY: Final = 50_000
MOST_CHUNKS: Final = 1_000
MOST_EVENTS: Final = 1_000
MOST_BYTES: Final = 64 << 20
MOST_WINDOWS: Final = 20_000


class Intake:
    def __init__(
        self, app: App, ownership: Ownership, judge: Judge, writer: Writer, forwarder: Forwarder
    ) -> None:
        self._app = app
        self._ownership = ownership
        self._judge = judge
        self._writer = writer
        self._naive = ZoneInfo(app.settings.naive_timezone)
        self._order = Order(ownership.read_to, ownership.end_of)
        self._forwarder = forwarder
        self._forwards: list[Forward] = []
        self._done: list[tuple[Partition, EventT[list[ConsumerRecord]]]] = []
        self._advancing = asyncio.Lock()
        self._moved_at = time.monotonic()

    def begin(self) -> None:
        """The sources have been positioned anew."""
        self._order.begin(self._sources())

    async def settle(self) -> None:
        """No source is ours any more: wait until what is taken up is on its way."""
        async with self._advancing:
            pass

    def _sources(self) -> Sequence[Source]:
        return list(self._ownership.sources.values())

    # -- what arrives

    async def take(self, source: Source, event: EventT[list[ConsumerRecord]]) -> None:
        self.put(source, event, time.time())
        await self.advance()

    def put(self, source: Source, event: EventT[list[ConsumerRecord]], wall: float) -> None:
        records = cast(list[ConsumerRecord], event.value)
        raws = [record.value or b"" for record in records]
        items: list[Item] = []
        mixed = False
        for record, fields in zip(records, objects(raws), strict=True):
            item = self._item(source, record, fields)
            mixed = mixed or item.is_foreign()
            items.append(item)
        source.put(Chunk(event, items), wall)
        source.partition.unflushed += sum(map(len, raws))
        self._order.came(source, mixed=mixed)

    def _item(
        self, source: Source, record: ConsumerRecord, fields: dict[str, Any] | Rejected
    ) -> Item:
        place = (source.partition.epoch, record.offset)
        item = Item(source.topic, source.number, place, record.timestamp, record)
        try:
            if source.is_inbox:
                item = Item(*Origin.of(record), record)
            if isinstance(fields, Rejected):
                raise fields
            device_id = fields.get("device_id")
            if isinstance(device_id, str):
                item.row = source.partition.rows.get(device_id)
            item.reading, item.refused = reading_of(
                fields,
                item.timestamp / 1000,
                self._judge.engine.rulebook.metrics_named,
                self._naive,
                item.row is not None,
            )
        except Rejected as rejected:
            item.refused, item.rejected = rejected.refused, rejected.reason
        else:
            item.home = source.number  # of a device that is known there it is no question
            if item.row is None:
                item.home = home_of(item.reading.device_id, self._app.partition_count)
        return item

    # -- whose turn it is

    async def advance(self) -> None:
        """Take up what waits, as far as its turn has come."""
        async with self._advancing:
            while self.take_up(time.time()):
                await self._finish()
            self._throttle()

    def take_up(self, wall: float) -> int:
        """At most a slice of items, without an `await`; how many."""
        taken = 0
        while taken < SLICE and (ready := self._order.ready(self._sources())):
            taken += self._take_from(ready, SLICE - taken, wall)
        self._judge.report()
        self._moved_at = time.monotonic() if taken else self._moved_at
        return taken

    def _take_from(self, ready: Sequence[Source], at_most: int, wall: float) -> int:
        """In their order, until a chunk is used up; how many."""
        taken = 0
        while taken < at_most:
            source, until = earliest(ready)
            items = source.take(until, at_most - taken)
            for item in items:
                self._take_up(source, item, wall)
            taken += len(items)
            if event := source.pop_taken():
                records = cast(list[ConsumerRecord], event.value)
                records.clear()  # only the acknowledgement waits for a flush
                self._done.append((source.partition, event))
                break
        return taken

    def _take_up(self, source: Source, item: Item, wall: float) -> None:
        if source.is_inbox:
            self._apply(source, item, wall)
            return
        partition, offset = source.partition, item.place[1]
        is_new = offset > partition.applied[READINGS]
        if item.reading is not None or is_new:
            self._apply(source, item, wall)
        if is_new:
            partition.applied[READINGS] = offset
            partition.applied_time = item.timestamp

    def _apply(self, source: Source, item: Item, wall: float) -> None:
        reading, home = item.reading, self._ownership.owned.get(item.home)
        if reading is None:
            self._judge.refuse(source.partition, item, wall)
        elif home is None:
            self._forwards.append(
                Forward(item.home, item.record.key, item.record.value, item.origin())
            )
        else:
            if item.is_foreign() and not source.is_inbox:
                metrics.REKEYED.labels("applied").inc()
            self._judge.reading(home, item, reading, wall)

    async def _finish(self) -> None:
        """Chunks that are taken up whole wait for the next cut once their forwards are safe."""
        forwards, self._forwards = self._forwards, []
        done, self._done = self._done, []
        if forwards:
            await self._forwarder.send(forwards)
        else:
            await asyncio.sleep(0)
        for partition, event in done:
            if not partition.closed:
                partition.pending.append(event)
        owned = self._ownership.owned.values()
        with contextlib.suppress(Closed):
            if any(map(is_full, owned)):
                await self._writer.flush(owned)
            elif any(partition.undelivered > MOST_EVENTS for partition in owned):
                await self._writer.announce(owned)

    def _throttle(self) -> None:
        """What is far ahead is read no further, until the others have come up."""
        consumer = self._app.consumer
        for source in self._sources():
            waiting = len(source.chunks)
            if waiting > MOST_WAITING and not source.is_paused:
                source.is_paused = True
                consumer.pause_partitions([source.tp])
            elif source.is_paused and waiting <= MOST_WAITING // 4:
                source.is_paused = False
                consumer.resume_partitions([source.tp])

    async def look(self) -> None:
        """Now and then: take up what has waited for something that was read and brought nothing;
        and what has waited for too long, without what it waits for. While something is taken up,
        or written, nothing waits for what may come."""
        sources = self._sources()
        self._order.look(sources)
        if self._advancing.locked() or not any(source.chunks for source in sources):
            self._moved_at = time.monotonic()
            return
        if time.monotonic() - self._moved_at > PATIENCE:
            self._moved_at = time.monotonic()
            if missing := self._order.give_up(sources):
                log.warning("going on without what %s hold: it doesn't come", missing)
        await self.advance()


def is_full(partition: Partition) -> bool:
    return (
        len(partition.dirty) > MOST_DIRTY
        or len(partition.pending) > MOST_CHUNKS
        or partition.unflushed > MOST_BYTES
        or len(partition.windows) > MOST_WINDOWS
    )
