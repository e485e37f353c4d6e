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
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import faust
import rocksdict
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from faust.stores import rocksdb
from faust.types import TP
from yarl import URL

from pipeline import metrics
from pipeline.looking import read
from pipeline.rows import IMPORT_KEY, PARTITION_KEY, Row, decode, wins
from pipeline.rules.fleet import FLEET
from pipeline.streams import App, app
from tables.partition import Partition

log = logging.getLogger(__name__)

# Memory of all stores together: of blocks that were read, which only a recovery does, and of rows
# that aren't in a file yet
READ_BYTES, WRITTEN_BYTES = 16 << 20, 64 << 20
TELL_EVERY = 5.0  # seconds
LOAD_SLICE = 2_000  # rows between two breaths of the event loop


class Progress:
    """How far a partition's changelog is read: in the metrics, and in the log now and then."""

    def __init__(self, partition: int, start: int, end: int) -> None:
        self._partition = partition
        self._start, self._end = start, end
        self._told_at = time.monotonic()
        self.reach(start)

    def reach(self, offset: int) -> None:
        metrics.RECOVERY_LEFT.labels(self._partition).set(max(0, self._end - offset))
        if time.monotonic() - self._told_at > TELL_EVERY:
            self._told_at = time.monotonic()
            done, of = offset - self._start, self._end - self._start
            log.info("partition %d: %d of %d changes are read", self._partition, done, of)


class Options(rocksdb.RocksDBOptions):
    """Faust's, but for what all partitions' stores share, however many there are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._cache = rocksdict.Cache(READ_BYTES)
        self._buffers = rocksdict.WriteBufferManager(WRITTEN_BYTES, allow_stall=False)

    def as_options(self) -> rocksdict.Options:
        options: rocksdict.Options = super().as_options()
        blocks = rocksdict.BlockBasedOptions()
        blocks.set_bloom_filter(self.bloom_filter_size, block_based=True)
        blocks.set_block_cache(self._cache)
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self._buffers)
        return options


class Store(rocksdb.Store):
    """Faust's RocksDB store, in the folder that this worker has claimed for this cluster."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rocksdb_options = Options(**(self.options or {}))

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


class UnfinishedImport(Exception):
    """The state is half there."""


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
        """Bring the local store up to the end of the changelog; the offset after that end.

        NewerState or UnfinishedImport where what there is is not for us.
        """
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
        self._refuse(partition)
        start = max(begin, -1 if stored is None else stored + 1)
        progress = Progress(partition, max(start, 0), end)
        written: set[bytes] | None = set() if stored is None else None  # all keys of an empty store
        async for records in read(consumer, tp, max(start, 0), end):
            winners = self._winners(partition, records, written)
            self.write(partition, winners.items(), records[-1].offset)
            if written is not None:
                written.update(winners)
            progress.reach(records[-1].offset + 1)
        progress.reach(end)
        if end > 0 and self.stored_offset(partition) != end - 1:
            self.write(partition, (), end - 1)  # the last offsets were compacted away
        self._refuse(partition)
        return end

    def _refuse(self, partition: int) -> None:
        """A newer worker writes the partition's own row first: that tells of all the others."""
        db = self.partition_db(partition)
        if (own := db.get(PARTITION_KEY)) is not None:
            decode(own)
        if db.get(IMPORT_KEY) is not None:
            raise UnfinishedImport(
                f"an import into partition {partition} of {self.changelog_topic_name} is under way "
                "or was broken off: let it end, or do it again with --replace"
            )

    def _winners(
        self,
        partition: int,
        records: list[ConsumerRecord],
        written: Container[bytes] | None = None,
    ) -> dict[bytes, bytes | None]:
        """The newest row of each key. `written` has all keys of the store, if that is known: most
        needn't be looked up then."""
        db = self.partition_db(partition)
        found: dict[bytes, bytes | None] = {}
        for record in records:
            key = record.key
            known = found.get(key)
            if key not in found and (written is None or key in written):
                known = db.get(key)
            if wins(record.value, known):
                found[key] = record.value
        return found

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
                partition.note_clock(row.device)
            if number % LOAD_SLICE == 0:
                yield


devices = Table(
    app,
    name=app.names.table,
    key_type=bytes,
    value_type=bytes,
    partitions=app.settings.partitions,
    options={"write_buffer_size": 8 << 20},
    help="one row a device, and *partition",
)
app.tables.add(devices)
