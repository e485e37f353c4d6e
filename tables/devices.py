"""Partitions in, the rows of their devices out; rows go to the changelog and to RocksDB as bytes.

One plain keyed Faust table, one packed row a device, all rows of our partitions in memory. A row is
written to the changelog first; RocksDB follows it, rows and changelog offset in one batch, so the
local store is never ahead. The reserved row `*partition` carries what belongs to the partition: its
clock, its silences and the offsets that are applied. It is written last in each cut, so whatever it
says is applied is in the rows before it.

The fence. A row carries its owner's generation, which only rises: an owner starts by writing its
`*partition` row with a higher one than any it has read. Reading a changelog keeps, of two rows, the
one with the higher (generation, applied offsets), the later on a tie. And since one owner's offsets
in the changelog follow each other, a hole in them shows that somebody else has written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import faust
import rocksdict
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from faust.stores import rocksdb
from faust.types import TP, EventT
from yarl import URL

from pipeline.rows import (
    NOTHING,
    NOWHERE,
    PARTITION_KEY,
    VERSION,
    Outgoing,
    Place,
    Row,
    applied_of,
    clock_of,
    decode,
    encode,
    generation_of,
    rank,
    silences_of,
)
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device
from pipeline.rules.fleet import FLEET
from pipeline.rules.silence import Silences
from pipeline.rules.window import Closed as ClosedWindow
from pipeline.streams import App, app
from tables.plan import Plan

__all__ = [
    "CHECKS", "COMMANDS", "PARTITION_KEY", "READINGS", "Outgoing", "Partition", "Rejection", "Row",
    "Table", "devices", "generation_of", "read",
]  # fmt: skip

log = logging.getLogger(__name__)

READINGS, CHECKS, COMMANDS = 0, 1, 2  # places in `applied`: one offset per consumed topic
LOAD_SLICE = 2_000  # rows between two breaths of the event loop
MIXED_FOR = 86_400.0  # seconds after the last reading that arrived elsewhere
UNKNOWN: Final = float("-inf")


class Rejection(NamedTuple):
    """A record for `readings-rejected`."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Partition:
    """One partition while it is ours; `closed` once it is not, and then nothing is written."""

    __slots__ = (
        "applied",
        "applied_time",
        "changelog_next",
        "clock",
        "closed",
        "dirty",
        "epoch",
        "fleet",
        "foreign_at",
        "generation",
        "number",
        "origins",
        "pending",
        "plan",
        "reached",
        "rejected",
        "rows",
        "shared",
        "silences",
        "silent",
        "undelivered",
        "unflushed",
        "unjudged",
        "urgent",
        "windows",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.generation = 0
        self.rows: dict[str, Row] = {}
        self.fleet = new_row(FLEET)  # of all partitions' devices; its own partition alone uses it
        self.clock = PartitionClock()
        self.applied = list(NOTHING)
        self.applied_time = -1  # timestamp (ms) of the applied reading: tells a recreated topic
        self.epoch = 0  # how often our readings were found recreated
        self.origins: dict[int, Place] = {}  # what other partitions' readings are applied here
        self.foreign_at = UNKNOWN  # our clock when the last of those was
        self.reached = UNKNOWN  # all that was sent before this (wall clock) is applied
        self.shared = False  # other workers may have readings of our devices
        self.changelog_next = 0
        self.dirty: dict[str, Row] = {}
        self.urgent: dict[str, Row] = {}  # those that have events which nobody has yet
        self.rejected: list[Rejection] = []
        self.pending: list[EventT[Any]] = []  # what the next cut covers, and its acks
        self.silences = Silences()
        # devices that are offline, or about to be: when they were found so, and when it was due
        self.silent: dict[str, tuple[float, float]] = {}
        self.plan = Plan()  # when to send checks
        self.undelivered = 0  # events decided since the last cut
        self.unflushed = 0  # bytes of readings taken since then
        self.unjudged: list[str] = []  # devices that other rules may have judged, for a sweep
        self.windows: list[ClosedWindow] = []  # closed since the last cut
        self.closed = False

    def row(self, device_id: str) -> Row:
        row = self.rows.get(device_id)
        if row is None:
            row = self.rows[device_id] = new_row(device_id)
        return row

    def delete(self, row: Row) -> None:
        del self.rows[row.device.id]
        self.plan.forget(row)

    def known(self, device_id: str) -> Row | None:
        return self.fleet if device_id == FLEET else self.rows.get(device_id)

    def every_row(self) -> Iterator[Row]:
        yield from self.rows.values()
        if self.fleet.device.alerts is not None:
            yield self.fleet

    def reopened(self) -> Partition:
        """The same state under a new life: what still holds the old one can change nothing."""
        fresh = Partition(self.number)
        for name in (
            *("generation", "rows", "clock", "applied", "applied_time", "epoch", "origins"),
            *("foreign_at", "changelog_next", "dirty", "urgent", "silences", "fleet", "plan"),
        ):
            setattr(fresh, name, getattr(self, name))
        return fresh

    def is_mixed(self) -> bool:
        """Whether readings of our devices have been arriving in other partitions."""
        return self.clock.clock - self.foreign_at < MIXED_FOR

    def horizon(self) -> float:
        """Up to when silence can be judged: what was sent before is applied."""
        horizon = self.clock.horizon(self.reached, at_end=self.reached > self.clock.clock)
        return min(horizon, self.reached) if self.shared else horizon

    def now(self) -> float:
        """When what is no reading takes effect: nothing that was decided before is later."""
        return max(self.horizon(), self.clock.clock)

    def packed(self) -> bytes:
        return encode(
            [
                VERSION,
                self.generation,
                self.applied,
                self.clock.pack(),
                self.applied_time,
                self.epoch,
                self.origins,
                self.foreign_at,
                self.silences.pack(),
            ]
        )

    def read(self, content: list[Any]) -> None:
        _version, self.generation, _applied, _clock, self.applied_time, *rekeying = content
        self.applied = applied_of(content)
        self.clock = clock_of(content)
        self.silences.unpack(silences_of(content))
        if rekeying:
            self.epoch, origins, self.foreign_at, *_silences = rekeying
            self.origins = {number: (*place,) for number, place in origins.items()}

    # -- which readings are applied: those that arrived here and those that arrived elsewhere

    def has_applied(self, origin: int, place: Place) -> bool:
        """Whether this is a repeat of a reading that arrived in the partition `origin`."""
        if origin == self.number:
            return place[1] <= self.applied[READINGS]
        return place <= self.origins.get(origin, NOWHERE)

    def note_applied(self, origin: int, place: Place) -> None:
        """Of what arrived here it is noted where it is read, of our devices or not."""
        if origin != self.number:
            self.origins[origin] = place
            self.foreign_at = self.clock.clock

    def row_has_applied(self, row: Row, origin: int, place: Place) -> bool:
        """The row is ahead of us where a crash came between the two."""
        if origin == self.number:
            return place[1] <= row.applied[READINGS]
        return row.foreign is not None and place <= row.foreign.get(origin, NOWHERE)

    def note_applied_by_row(self, row: Row, origin: int, place: Place) -> None:
        if origin == self.number:
            row.applied[READINGS] = place[1]
        elif row.foreign is None:
            row.foreign = {origin: place}
        else:
            row.foreign[origin] = place

    def forget_offsets(self, source: int) -> None:
        """That source was recreated: its offsets start anew, and so must every row's."""
        self.epoch += source == READINGS
        self.applied[source] = -1
        for row in self.every_row():
            row.applied[source] = -1
            self.dirty[row.device.id] = row


def new_row(device_id: str) -> Row:
    return Row(Device(device_id), list(NOTHING), [])


class Store(rocksdb.Store):
    """Faust's RocksDB store, in the folder that this worker has claimed for this cluster."""

    @property
    def path(self) -> Path:
        return cast(App, self.app).folder

    def _open_for_partition(self, partition: int) -> rocksdict.Rdict:
        try:
            return cast(rocksdict.Rdict, super()._open_for_partition(partition))
        except Exception as error:  # rocksdict has no kind of its own for it
            if "Corruption" not in str(error):
                raise
            log.error("the state of partition %d is broken and is read anew: %s", partition, error)
            shutil.rmtree(self.partition_path(partition), ignore_errors=True)
            return cast(rocksdict.Rdict, super()._open_for_partition(partition))


class Table(faust.Table[bytes, bytes]):
    """The device table: recovers by itself, in batches, and is written by cuts only."""

    def _new_store_by_url(self, url: str | URL) -> Store:
        return Store(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            options=self.options,
        )

    @property
    def store(self) -> Store:
        return cast(Store, self.data)

    def partition_db(self, partition: int) -> rocksdict.Rdict:
        return cast(rocksdict.Rdict, self.store._db_for_partition(partition))

    def stored_offset(self, partition: int) -> int | None:
        """Changelog offset up to which the local store is complete."""
        return self.store.persisted_offset(TP(self.changelog_topic_name, partition))

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], upto: int) -> None:
        """Rows (None deletes) and the changelog offset they reach to, in one atomic batch."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.store.offset_key, str(upto).encode())
        self.partition_db(partition).write(batch)

    def delete_store(self, partition: int) -> None:
        """Forget a local store that doesn't belong to today's changelog."""
        self.store._dbs.pop(partition, None)
        shutil.rmtree(self.store.partition_path(partition), ignore_errors=True)

    async def recover(self, partition: int, consumer: AIOKafkaConsumer) -> int:
        """Bring the local store up to the end of the changelog; the offset after that end."""
        tp = TopicPartition(self.changelog_topic_name, partition)
        begin = (await consumer.beginning_offsets([tp]))[tp]
        end: int = (await consumer.end_offsets([tp]))[tp]
        stored = self.stored_offset(partition)
        if stored is not None and stored >= end:
            log.error(
                "the state of partition %d reaches to offset %d of a changelog that ends at %d: "
                "it is of another history and is dropped",
                partition,
                stored,
                end,
            )
            self.delete_store(partition)
            stored = None
        start = max(begin, -1 if stored is None else stored + 1)
        async for records in read(consumer, tp, max(start, 0), end):
            self.write(partition, self._winners(partition, records), records[-1].offset)
        if end > 0 and self.stored_offset(partition) != end - 1:
            self.write(partition, (), end - 1)  # the last offsets were compacted away
        return end

    def _winners(
        self, partition: int, records: list[ConsumerRecord]
    ) -> Iterator[tuple[bytes, bytes | None]]:
        db = self.partition_db(partition)
        seen: dict[bytes, bytes | None] = {}
        for record in records:
            key = record.key
            known = seen[key] if key in seen else db.get(key)
            if known is None or record.value is None or _newer(record.value, known):
                seen[key] = record.value
        yield from seen.items()

    def load(self, partition: Partition) -> Iterator[None]:
        """Fill a partition from the local store; yields now and then, for the event loop."""
        rows = self.store._visible_items(self.partition_db(partition.number))
        for number, (key, value) in enumerate(rows, 1):
            if key == PARTITION_KEY:
                partition.read(decode(value))
            else:
                name = key.decode()
                row = Row.unpacked(name, decode(value))
                if name == FLEET:
                    partition.fleet = row
                else:
                    partition.rows[name] = row
                partition.silences.note(row.device)
            if number % LOAD_SLICE == 0:
                yield


def _newer(value: bytes, known: bytes) -> bool:
    return rank(decode(value)) >= rank(decode(known))


async def read(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Batches of records from `start` on until `end` is passed, though the last be compacted away.

    RuntimeError when the broker gives nothing for 10 s though the end isn't reached.
    """
    if start >= end:
        return
    consumer.assign([tp])
    consumer.seek(tp, start)
    silent = 0
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=1_000)
        silent = 0 if batches else silent + 1
        if silent >= 10:
            raise RuntimeError(f"{tp} ends at {end}, but nothing comes after offset {start}")
        for records in batches.values():
            start = records[-1].offset
            yield records


devices = Table(
    app,
    name=app.names.table,
    key_type=bytes,
    value_type=bytes,
    partitions=app.settings.partitions,
    options={"block_cache_size": 16 << 20, "write_buffer_size": 8 << 20},
    help="one row a device, and *partition",
)
app.tables.add(devices)
