"""The lines of an export in, a changelog and open alerts that a worker goes on from out.

Nobody may be there: the group must be empty, and so must the changelog, unless what is in it is to
be replaced. The first record of each partition says that an import is under way, the last one that
it is over; a worker that finds only the first refuses to begin (`tables/devices.py`), so half of a
state never runs. In between go the devices' rows, tombstones for what was there and isn't any
more, the open alerts, how far the group has read, and the partitions' own rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.batches import Batches, Outbound
from pipeline.exchange.contents import Contents, told
from pipeline.exchange.form import Held, Line
from pipeline.exchange.leaving import rows_of
from pipeline.exchange.moving import Moving
from pipeline.exchange.place import PATIENCE, Place, Unusable
from pipeline.looking import read
from pipeline.names import Names
from pipeline.rows import IMPORT_KEY, NOTHING, PARTITION_KEY, VERSION, encode, generation_of
from pipeline.settings import Settings
from pipeline.topics import declare_topics

SLICE: Final = 500  # records that are sent together


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came of it: for people."""

    partitions: int
    silences: int
    replaced: int
    """Rows that were there."""
    kept: bool
    """The readings are the very ones of the export."""
    unjudged: int
    """Readings that the workers will find."""


async def arrive(
    settings: Settings, contents: Contents, lines: Iterable[Line], *, replace: bool
) -> Arrived:
    """Unusable, UnusableTopic or NewerState, in words; KafkaError where Kafka fails. `lines` are
    those that were looked at. Topics that are missing are created, as a worker does it."""
    names = Names(settings.topic_prefix)
    _, partitions = await declare_topics(settings, names)
    if partitions != settings.partitions:
        raise Unusable(
            f"topic {names.readings} has {partitions} partitions already, not "
            f"{settings.partitions}: delete our topics first, or take a new SMART_IOT_TOPIC_PREFIX"
        )
    async with Place.of(settings) as place:
        await place.see(within=PATIENCE)
        await _refuse_workers(place)
        before = await _before(place, replace)
        topics = await place.identities()
        generation = 1 + max(contents.generation, before.generation)
        moving = Moving(contents.head, contents.owns, place.partitions, topics, generation)
        batches = Batches(settings)
        try:
            arrival = Arrival(place, moving, Sending(batches, place.names, before.ends), before)
            await arrival.run(lines)
        finally:
            await batches.stop()
        group = await place.committed(place.names.readings)
        offsets = {number: group.get(number, 0) for number in range(place.partitions)}
        unjudged = await place.beyond(place.names.readings, offsets)
        silences = len(moving.own(0).silences)
        return Arrived(place.partitions, silences, before.rows, moving.kept[0], unjudged)


async def _refuse_workers(place: Place) -> None:
    if workers := await place.workers():
        raise Unusable(
            f"{workers} workers of the group {place.names.app} are running: stop them first (one "
            "that was killed is gone after SMART_IOT_SESSION_TIMEOUT)"
        )


@dataclass(slots=True)
class Before:
    """What is there already: keys by partition, and where the changelog ends."""

    keys: dict[int, set[bytes]]
    open: dict[int, set[bytes]]
    ends: dict[int, int]
    generation: int = 0
    rows: int = 0


async def _before(place: Place, replace: bool) -> Before:
    before = Before({}, {}, {})
    for number in range(place.partitions):
        tp = TopicPartition(place.names.changelog, number)
        before.ends[number] = (await place.looking.end_offsets([tp]))[tp]
        rows = await rows_of(place.looking, tp)
        if rows and not replace:
            raise Unusable(
                f"{tp.topic} holds a state already ({len(rows)} rows in partition {number}): "
                "--replace puts the imported one in its place, a new SMART_IOT_TOPIC_PREFIX beside"
            )
        before.keys[number] = set(rows)
        before.rows += len(rows)
        before.generation = max([before.generation, *map(generation_of, rows.values())])
        tp = TopicPartition(place.names.alerts_open, number)
        before.open[number] = await _alive(place.looking, tp)
    return before


async def _alive(looking: AIOKafkaConsumer, tp: TopicPartition) -> set[bytes]:
    """The keys that have a value."""
    begin = (await looking.beginning_offsets([tp]))[tp]
    end = (await looking.end_offsets([tp]))[tp]
    found: set[bytes] = set()
    async for records in read(looking, tp, begin, end):
        for record in records:
            (found.discard if record.value is None else found.add)(record.key)
    return found


class Sending:
    """Records by topic and partition, in their order, so many at once; nobody else may write."""

    def __init__(self, batches: Batches, names: Names, ends: Mapping[int, int]) -> None:
        self._batches = batches
        self._changelog = names.changelog
        self._next = dict(ends)
        self._waiting: defaultdict[tuple[str, int], list[Outbound]] = defaultdict(list)

    async def put(self, topic: str, partition: int, record: Outbound) -> None:
        waiting = self._waiting[topic, partition]
        waiting.append(record)
        if len(waiting) >= SLICE:
            await self._send(topic, partition)

    async def flush(self) -> None:
        for topic, partition in list(self._waiting):
            await self._send(topic, partition)

    async def _send(self, topic: str, partition: int) -> None:
        records = self._waiting.pop((topic, partition))
        for offset, count in await self._batches.send(topic, partition, records):
            if topic != self._changelog:
                continue
            if offset != self._next[partition]:
                raise Unusable(
                    f"somebody else writes to {topic}, at {self._next[partition]} to {offset}: "
                    "stop all workers, and import again with --replace"
                )
            self._next[partition] = offset + count


class Arrival:
    """One import."""

    def __init__(self, place: Place, moving: Moving, sending: Sending, before: Before) -> None:
        self._place = place
        self._moving = moving
        self._sending = sending
        self._before = before
        self._numbers: Final = range(place.partitions)

    async def run(self, lines: Iterable[Line]) -> None:
        marker = encode([VERSION, self._moving.generation, NOTHING])
        for number in self._numbers:
            await self._row(number, IMPORT_KEY, marker)
        await self._sending.flush()
        for line in lines:
            if isinstance(line, Held):
                await self._device(line)
        await self._clear()
        await self._sending.flush()
        await self._place.commit(await self._offsets())
        await _refuse_workers(self._place)
        for number in self._numbers:
            await self._row(number, PARTITION_KEY, self._moving.own(number).packed())
        await self._sending.flush()  # before the first of them is free to go
        for number in self._numbers:
            await self._row(number, IMPORT_KEY, None)
        await self._sending.flush()

    async def _row(self, number: int, key: bytes, value: bytes | None) -> None:
        self._before.keys[number].discard(key)
        record = Outbound(key, value)
        await self._sending.put(self._place.names.changelog, number, record)

    async def _device(self, held: Held) -> None:
        number = self._moving.home(held.device)
        await self._row(number, held.device.encode(), self._moving.row(held))
        for event in held.open:
            one = told(event)
            key = f"{one.device_id}|{one.rule}".encode()
            self._before.open[number].discard(key)
            headers = [
                ("alert_id", one.alert_id.encode()),
                ("seq", b"%d" % one.seq),
                ("generation", b"%d" % self._moving.generation),
            ]
            record = Outbound(key, bytes(event), headers)
            await self._sending.put(self._place.names.alerts_open, number, record)

    async def _clear(self) -> None:
        """What was there, and isn't in the file."""
        names = self._place.names
        for topic, found in (
            (names.changelog, self._before.keys),
            (names.alerts_open, self._before.open),
        ):
            for number, keys in found.items():
                for key in sorted(keys - {IMPORT_KEY, PARTITION_KEY}):
                    await self._sending.put(topic, number, Outbound(key, None))

    async def _offsets(self) -> dict[TopicPartition, int]:
        """Behind what is applied, of the topics that are the same; and all that is on its way
        between partitions once more, of which each home knows what it has."""
        moving, place = self._moving, self._place
        offsets = {
            TopicPartition(topic, number): moving.own(number).applied[source] + 1
            for source, topic in enumerate(place.consumed)
            if moving.kept[source]
            for number in self._numbers
        }
        if moving.kept[0]:
            tps = [TopicPartition(place.names.forwarded, number) for number in self._numbers]
            offsets |= await place.looking.beginning_offsets(tps)
        return offsets
