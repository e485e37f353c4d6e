"""Cuts of changed rows in; sent windows, then durable rows, then announced alerts, then
acknowledged readings out.

Remember with what is to be announced, then announce. A flush takes a cut of all our partitions
without an `await` (rows encoded, events listed, chunks noted; later changes belong to the next cut)
and then goes through these steps, each finished before the next begins:

    closed windows         -> `windows`, acknowledged
    rows with their outbox -> changelog, acknowledged      (no hole in its offsets: see the fence)
    the same rows          -> RocksDB, with the changelog offset, in one batch
    events in order of seq -> `alerts` and `alerts-open`, acknowledged
    chunks of the cut      -> acknowledged, so that Faust may commit them

The cut is one, since a partition's readings can concern another one's devices: what a chunk has
changed must be written everywhere before it is acknowledged.

A crash after any step repeats later ones under the same ids: rows that have reached the changelog
come back with their outbox and send it again; those that haven't are decided again from readings,
and so are the windows: of one that was sent before, whatever comes again says the same or more.
The next flush writes the rows once more, with the outbox cleared. One flush at a time; one whose
partitions were given away refuses to go on (`Closed`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from faust.types import EventT

from pipeline import metrics
from pipeline.rules.window import Closed as ClosedWindow
from pipeline.streams import App, consumer, end_process
from pipeline.words import window_json
from tables.devices import (
    PARTITION_KEY,
    Outgoing,
    Partition,
    Rejection,
    Row,
    Table,
    generation_of,
    read,
)

log = logging.getLogger(__name__)

DEADLINE = 60.0  # seconds for one flush; the producer itself gives up on a record after 40
SENDS_AT_ONCE = 2_000  # records handed to the producer before we wait for their acknowledgement


class Closed(Exception):
    """The partitions were given away while their flush was under way."""


class Cut(NamedTuple):
    """What one flush writes of a partition: everything up to one moment."""

    partition: Partition
    rows: list[tuple[bytes, bytes | None]]
    announced: list[tuple[str, Row, list[Outgoing]]]
    rejected: list[Rejection]
    windows: list[ClosedWindow]
    chunks: list[EventT[Any]]


class Writer:
    """Flushes partitions; `wake` asks for it now, because an event waits to be announced."""

    def __init__(self, app: App, table: Table) -> None:
        self.app = app
        self.table = table
        self.wanted = asyncio.Event()
        self._flushing = asyncio.Lock()

    def wake(self) -> None:
        self.wanted.set()

    async def step(self, name: str, partition: Partition) -> None:
        """Between two steps; the failure tests stop the process here."""
        if partition.closed:
            raise Closed(f"partition {partition.number} was given away before {name!r}")

    async def flush(self, partitions: Iterable[Partition]) -> None:
        """Write one cut. Closed if it was given away meanwhile; KafkaError if sending failed."""
        async with self._flushing:
            cuts = [take_cut(partition) for partition in partitions if not partition.closed]
            cuts = [cut for cut in cuts if cut.rows or cut.chunks or cut.rejected or cut.windows]
            if cuts:
                with metrics.FLUSH_SECONDS.time():
                    async with asyncio.timeout(DEADLINE):
                        await self._write(cuts)

    async def _write(self, cuts: Sequence[Cut]) -> None:
        await asyncio.gather(*(self._remember(cut) for cut in cuts))
        await asyncio.gather(*(self._announce(cut) for cut in cuts))
        for cut in cuts:
            await self.step("acknowledge", cut.partition)
        for cut in cuts:
            for chunk in cut.chunks:
                chunk.ack()
        for cut in cuts:
            await self.step("finish", cut.partition)
            settle_outboxes(cut)

    async def _remember(self, cut: Cut) -> None:
        await self.step("windows", cut.partition)
        await self._reject(cut.rejected)
        await self._send_windows(cut.partition, cut.windows)
        await self.step("rows", cut.partition)
        if cut.rows:
            last = await self.append(cut.partition, cut.rows)
            await self.step("store", cut.partition)
            self.table.write(cut.partition.number, cut.rows, last)

    async def _announce(self, cut: Cut) -> None:
        await self.step("announce", cut.partition)
        for device_id, _row, events in cut.announced:
            await self.announce(cut.partition, device_id, events)

    async def append(self, partition: Partition, rows: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Rows to the changelog, acknowledged, the offsets checked for a hole; the last offset."""
        topic = self.app.names.changelog
        last = -1
        for start in range(0, len(rows), SENDS_AT_ONCE):
            sent = [
                await self.app.producer.send(topic, key, value, partition.number, None, None)
                for key, value in rows[start : start + SENDS_AT_ONCE]
            ]
            for done in await asyncio.gather(*sent):
                if done.offset != partition.changelog_next:
                    await self._mend(partition, partition.changelog_next, done.offset)
                last = done.offset
                partition.changelog_next = last + 1
        return last

    async def _mend(self, partition: Partition, start: int, end: int) -> None:
        """Somebody else wrote to our changelog: the newer owner, or one that didn't know it's over.

        A newer owner has claimed the partition before all else, so its claim is in the hole, and
        this process ends without announcing. What an older one wrote is written over.
        """
        metrics.CHANGELOG_HOLES.inc()
        log.error("partition %d: another writer at %d to %d", partition.number, start, end)
        tp = TopicPartition(self.app.names.changelog, partition.number)
        looking = consumer(self.app.settings)
        await looking.start()
        try:
            async for records in read(looking, tp, start, end):
                for record in records:
                    if record.offset < end:
                        self._overwrite(partition, record.key, record.value)
        finally:
            await looking.stop()

    def _overwrite(self, partition: Partition, key: bytes, value: bytes | None) -> None:
        if key == PARTITION_KEY:
            if value is not None and generation_of(value) >= partition.generation:
                end_process(f"partition {partition.number} belongs to another worker now")
        else:
            device_id = key.decode()
            row = partition.known(device_id)
            if row is None:
                row = partition.row(device_id)
                row.device.retire()  # we deleted it, or never had it
            partition.dirty[device_id] = row

    async def announce(
        self, partition: Partition, device_id: str, events: Sequence[Outgoing]
    ) -> None:
        """A device's events to both alert topics, in order, acknowledged."""
        names, producer = self.app.names, self.app.producer
        sent = []
        for event in events:
            key = device_id.encode()
            sent.append(
                await producer.send(names.alerts, key, event.value, partition.number, None, None)
            )
            headers = [("alert_id", event.alert_id.encode()), ("seq", b"%d" % event.seq)]
            sent.append(
                await producer.send(
                    names.alerts_open,
                    f"{device_id}|{event.rule}".encode(),
                    event.value if event.open else None,
                    partition.number,
                    None,
                    [*headers, ("generation", b"%d" % partition.generation)],
                )
            )
        await asyncio.gather(*sent)

    async def _send_windows(self, partition: Partition, windows: Sequence[ClosedWindow]) -> None:
        topic = self.app.names.windows
        for start in range(0, len(windows), SENDS_AT_ONCE):
            sent = [
                await self.app.producer.send(
                    topic,
                    window.device_id.encode(),
                    window_json(window),
                    partition.number,
                    None,
                    None,
                )
                for window in windows[start : start + SENDS_AT_ONCE]
            ]
            await asyncio.gather(*sent)
        metrics.WINDOWS.inc(len(windows))

    async def _reject(self, rejected: Sequence[Rejection]) -> None:
        sent = [
            await self.app.producer.send(self.app.names.rejected, key, value, None, None, headers)
            for key, value, headers in rejected
        ]
        await asyncio.gather(*sent)


def take_cut(partition: Partition) -> Cut:
    """Everything up to now, without an await; what changes from here on is the next cut's."""
    generation = partition.generation
    rows: list[tuple[bytes, bytes | None]] = []
    for key, row in sorted(partition.dirty.items()):
        if row.is_over():
            partition.delete(row)
            rows.append((key.encode(), None))
        else:
            rows.append((key.encode(), row.packed(generation)))
            partition.take_over_from(row)
    if rows or partition.pending:
        rows.append((PARTITION_KEY, partition.packed()))
    announced = [(key, row, list(row.outbox)) for key, row in partition.dirty.items() if row.outbox]
    windows = newest(partition.windows)
    cut = Cut(partition, rows, announced, partition.rejected, windows, partition.pending)
    partition.dirty = {}
    partition.rejected, partition.windows, partition.pending = [], [], []
    partition.undelivered = partition.unflushed = 0
    return cut


def newest(windows: Sequence[ClosedWindow]) -> list[ClosedWindow]:
    """Of each only the last: many late readings give one again and again."""
    return list(
        {(one.device_id, one.metric, one.start, one.seconds): one for one in windows}.values()
    )


def settle_outboxes(cut: Cut) -> None:
    """The broker has the cut's events: clear them, and write those rows again, some time."""
    for key, row, events in cut.announced:
        del row.outbox[: len(events)]
        cut.partition.dirty[key] = row
