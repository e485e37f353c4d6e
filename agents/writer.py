"""Changed rows in; sent windows, then durable rows, then announced alerts, then acknowledged
readings out.

Remember with what is to be announced, then announce. A flush begins with a cut of all our
partitions, made without an `await`: which rows have changed, what the partitions' own rows say, and
the chunks that all this covers. Then each partition's rows are written in slices, each row in the
state that it has by then, so that nothing holds the event loop for long:

    closed windows         -> `windows`, acknowledged
    rows with their outbox -> changelog, acknowledged      (no hole in its offsets: see the fence)
    the same rows          -> RocksDB, with the changelog offset, in one batch
    events in order of seq -> `alerts` and `alerts-open`, acknowledged

With the last slice goes the partition's own row, as it was at the cut; and when every partition has
come so far the cut's chunks are acknowledged, so that Faust may commit them. The cut is one, since
a partition's readings can concern another one's devices: what a chunk has changed must be written
everywhere before it is acknowledged.

A row may say more than its partition's: each carries the offsets that are applied to it, so what is
read again after a crash is known for what it is. Therefore a row can be written at any time; and
those that have decided an event are, at once and alone, without waiting for the cut (`announce`).

A crash after any step repeats later ones under the same ids: rows that have reached the changelog
come back with their outbox and send it again; those that haven't are decided again from readings,
and so are the windows: of one that was sent before, whatever comes again says the same or more.
The next flush writes the rows once more, with the outbox cleared. One at a time; one whose
partitions were given away refuses to go on (`Closed`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from faust.types import EventT

from agents.fence import covered
from pipeline import metrics
from pipeline.batches import Batches, Outbound
from pipeline.looking import consumer, read
from pipeline.rejection import Rejection
from pipeline.rows import PARTITION_KEY, Outgoing, Place, Row, generation_of
from pipeline.rules.window import Closed as ClosedWindow
from pipeline.streams import App, end_process
from pipeline.words import window_json
from tables.devices import Table
from tables.partition import UNKNOWN_OFFSET, Partition

log = logging.getLogger(__name__)

DEADLINE = 60.0  # seconds for one flush; the producer itself gives up on a record after 40
# Rows that are encoded and stored between two breaths of the event loop; of all partitions in turn,
# at some eight microseconds each.
SLICE = 500

Encoded = tuple[bytes, bytes | None]


class Closed(Exception):
    """The partitions were given away while their flush was under way."""


def moment() -> float:
    """Seconds, of which those count too in which the machine slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Cut(NamedTuple):
    """What one flush covers of a partition: everything up to one moment."""

    partition: Partition
    rows: list[Row]
    own: list[Encoded]  # the partition's row, unless nothing has changed
    origins: Mapping[int, Place]  # what it says of readings that arrived elsewhere
    chunks: list[EventT[Any]]


class Slice(NamedTuple):
    """Rows in their newest state, and what has to be out with them."""

    rows: list[Encoded]
    announced: list[tuple[Row, tuple[Outgoing, ...]]]
    windows: list[ClosedWindow]
    rejected: list[Rejection]


class Writer:
    """Flushes partitions; `wake` asks for it now, because an event waits to be announced."""

    def __init__(self, app: App, table: Table, batches: Batches) -> None:
        self.app = app
        self.table = table
        self.batches = batches
        self.wanted = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._turn = asyncio.Lock()

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
            cuts = [cut for cut in cuts if cut.own or cut.partition.rejected]
            if cuts:
                with metrics.FLUSH_SECONDS.time():
                    async with asyncio.timeout(DEADLINE):
                        await self._write(cuts)
            metrics.FLUSHED_AT.set_to_current_time()
            if any(cut.partition.urgent for cut in cuts):
                self.wake()

    async def announce(self, partitions: Iterable[Partition]) -> None:
        """Write only the rows that have decided an event, and announce it; otherwise as above."""
        async with self._flushing:
            hurried = [one for one in partitions if one.urgent and not one.closed]
            if hurried:
                async with asyncio.timeout(DEADLINE):
                    await asyncio.gather(*(self._hurry(one) for one in hurried))

    async def _hurry(self, partition: Partition) -> None:
        for _ in range(0, len(partition.urgent), SLICE):  # what comes meanwhile is another's
            await self._write_slice(partition)

    async def _write(self, cuts: Sequence[Cut]) -> None:
        await asyncio.gather(*(self._write_rows(cut) for cut in cuts))
        for cut in cuts:
            await self.step("acknowledge", cut.partition)
        for cut in cuts:
            for chunk in cut.chunks:
                chunk.ack()

    async def _write_rows(self, cut: Cut) -> None:
        rows, last = cut.rows, max(0, len(cut.rows) - 1) // SLICE * SLICE
        for start in range(0, last + 1, SLICE):
            some, own = rows[start : start + SLICE], cut.own if start == last else ()
            await self._write_slice(cut.partition, some, own, cut.origins)

    async def _write_slice(
        self,
        partition: Partition,
        rows: Iterable[Row] = (),
        own: Iterable[Encoded] = (),
        covered: Mapping[int, Place] | None = None,
    ) -> None:
        async with self._turn:  # of the event loop: one slice each, however many partitions
            part = take_slice(partition, rows, covered)
            await asyncio.sleep(0)
        part.rows.extend(own)
        await self.step("windows", partition)
        await self._reject(part.rejected)
        await self._send_windows(partition, part.windows)
        await self.step("rows", partition)
        if part.rows:
            last = await self.append(partition, part.rows)
            await self.step("store", partition)
            self.table.write(partition.number, part.rows, last)
        await self.step("announce", partition)
        await self.tell(partition, part.announced)
        await self.step("finish", partition)
        settle_outboxes(partition, part.announced)

    async def append(self, partition: Partition, rows: Sequence[Encoded]) -> int:
        """Rows to the changelog, acknowledged, the offsets checked for a hole; the last offset."""
        records = [Outbound(key, value) for key, value in rows]
        sent_at = moment()
        sent = await self.batches.send(self.app.names.changelog, partition.number, records)
        for offset, count in sent:
            if offset != partition.changelog_next:
                await self._mend(partition, partition.changelog_next, offset)
            partition.changelog_next = offset + count
        partition.confirmed_at = sent_at
        return partition.changelog_next - 1

    async def _confirm(self, partition: Partition) -> None:
        """See that it is still ours, where its last rows are no proof of it any more.

        A process that is frozen, or whose machine sleeps, goes on between two steps as if nothing
        had been; the newer owner may long have announced what came after.
        """
        if moment() - partition.confirmed_at <= self.app.settings.session_timeout / 2:
            return
        asked_at, tp = moment(), TopicPartition(self.app.names.changelog, partition.number)
        looking = consumer(self.app.settings)
        await looking.start()
        try:
            end = (await looking.end_offsets([tp]))[tp]
        finally:
            await looking.stop()
        if end != partition.changelog_next:
            await self._mend(partition, partition.changelog_next, end)
            partition.changelog_next = end
        partition.confirmed_at = asked_at

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
            partition.mark_dirty(row)

    async def tell(
        self, partition: Partition, announced: Sequence[tuple[Row, Sequence[Outgoing]]]
    ) -> None:
        """Events to both alert topics, each device's in order, acknowledged."""
        if not announced:
            return
        await self._confirm(partition)
        names, number = self.app.names, partition.number
        generation = ("generation", b"%d" % partition.generation)
        told, states = [], []
        for row, events in announced:
            device_id = row.device.id
            for event in events:
                told.append(Outbound(device_id.encode(), event.value))
                which = [("alert_id", event.alert_id.encode()), ("seq", b"%d" % event.seq)]
                key, value = f"{device_id}|{event.rule}", event.value if event.open else None
                states.append(Outbound(key.encode(), value, [*which, generation]))
        _, written = await asyncio.gather(
            self.batches.send(names.alerts, number, told),
            self.batches.send(names.alerts_open, number, states),
        )
        note_told(announced, time.time())
        holes = []
        for offset, count in written:
            if partition.open_next not in (UNKNOWN_OFFSET, offset):
                holes.append((partition.open_next, offset))
            partition.open_next = offset + count
        if holes:
            await self._tell_again(partition, holes[0][0], holes[-1][1], states)

    async def _tell_again(
        self, partition: Partition, start: int, end: int, states: Iterable[Outbound]
    ) -> None:
        """An owner that is over wrote there, between what we have just told: what holds goes out
        once more, behind that."""
        metrics.CHANGELOG_HOLES.inc()
        log.error("partition %d: another announced at %d to %d", partition.number, start, end)
        tp = TopicPartition(self.app.names.alerts_open, partition.number)
        hold = {one.key: one for one in await covered(self.app.settings, tp, start, end)}
        hold |= {one.key: one for one in states if one.key in hold}
        for offset, count in await self.batches.send(tp.topic, tp.partition, hold.values()):
            partition.open_next = offset + count

    async def _send_windows(self, partition: Partition, windows: Sequence[ClosedWindow]) -> None:
        for start in range(0, len(windows), SLICE):
            some = windows[start : start + SLICE]
            records = [Outbound(one.device_id.encode(), window_json(one)) for one in some]
            await self.batches.send(self.app.names.windows, partition.number, records)
        metrics.WINDOWS.inc(len(windows))

    async def _reject(self, rejected: Sequence[Rejection]) -> None:
        sent = [
            await self.app.producer.send(self.app.names.rejected, key, value, None, None, headers)
            for key, value, headers in rejected
        ]
        await asyncio.gather(*sent)


def take_cut(partition: Partition) -> Cut:
    """Everything up to now, without an await; what changes from here on is the next cut's."""
    rows, chunks = partition.dirty, partition.pending
    own: list[Encoded] = [(PARTITION_KEY, partition.packed())] if rows or chunks else []
    partition.dirty, partition.pending = [], []
    partition.unflushed = 0
    return Cut(partition, rows, own, dict(partition.origins), chunks)


def take_slice(
    partition: Partition, rows: Iterable[Row], covered: Mapping[int, Place] | None
) -> Slice:
    """These rows, and those that have decided an event, as they are now; with all windows that they
    have closed, and what of their devices was rejected: a row that is durable tells neither again.
    `covered` is what the partition's own row, which follows, says of other origins."""
    chosen = dict(islice(partition.urgent.items(), SLICE))
    for row in rows:
        row.dirty = False
        if not row.gone:
            chosen[row.device.id] = row
    part = Slice([], [], newest(partition.windows), partition.rejected)
    partition.windows, partition.rejected = [], []
    for key in sorted(chosen):
        row = chosen[key]
        partition.urgent.pop(key, None)
        if row.is_over():
            partition.delete(row)
            part.rows.append((key.encode(), None))
            continue
        part.rows.append((key.encode(), row.packed(partition.generation)))
        partition.note_clock(row.device)
        if covered is not None:
            row.leave_to_partition(covered)
        if row.outbox:
            part.announced.append((row, row.outbox))
    partition.undelivered = len(partition.urgent)
    return part


def note_told(announced: Iterable[tuple[Row, Sequence[Outgoing]]], wall: float) -> None:
    """The broker has these now: how long they took."""
    for _, events in announced:
        for event in events:
            if event.since is not None:
                took = metrics.OFFLINE_SECONDS if event.is_due else metrics.ALERT_SECONDS
                took.observe(max(0.0, wall - event.since))
                event.since = None


def newest(windows: Sequence[ClosedWindow]) -> list[ClosedWindow]:
    """Of each only the last: many late readings give one again and again."""
    return list(
        {(one.device_id, one.metric, one.start, one.seconds): one for one in windows}.values()
    )


def settle_outboxes(
    partition: Partition, announced: Iterable[tuple[Row, Sequence[Outgoing]]]
) -> None:
    """The broker has these events: clear them, and write those rows again, some time."""
    for row, events in announced:
        row.outbox = row.outbox[len(events) :]
        partition.mark_dirty(row)
