"""Readable stand-ins for what surrounds the agents: a producer that writes to lists, sources that
are fed by hand."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from faust.types import TP

from agents.order import Source
from agents.writer import Slice, take_cut, take_slice
from pipeline.batches import Outbound, Written
from pipeline.names import Names
from pipeline.rows import Row
from pipeline.rules.clock import PartitionClock
from pipeline.settings import Settings
from tables.partition import Partition

T0 = 1_700_000_000


class Metadata(NamedTuple):
    offset: int


class Produced(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: list[tuple[str, bytes]] | None


class Producer:
    """Gives each topic its offsets, and keeps what was sent; `fails` makes a topic refuse."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.sent: list[Produced] = []
        self.next: defaultdict[str, int] = defaultdict(int)
        self.fails: dict[str, Exception] = {}

    async def send(
        self, topic: str, key: Any, value: Any, partition: Any, timestamp: Any, headers: Any
    ) -> asyncio.Future[Metadata]:
        done: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        if error := self.fails.get(topic):
            done.set_exception(error)
            return done
        self.log.append(topic)
        self.sent.append(Produced(topic, key, value, partition, headers))
        done.set_result(Metadata(self.next[topic]))
        self.next[topic] += 1
        return done

    def to(self, topic: str) -> list[Produced]:
        return [record for record in self.sent if record.topic == topic]


def done(steps: Iterable[None]) -> int:
    """All of them; how often the event loop could have turned."""
    return sum(1 for _ in steps)


class Batches:
    """The same producer's batches: each record is one."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    async def send(
        self, topic: str, partition: int, records: Iterable[Outbound]
    ) -> Sequence[Written]:
        send, found = self.producer.send, []
        for key, value, headers in records:
            done = await send(topic, key, value, partition, None, list(headers))
            found.append(Written((await done).offset, 1))
        return found


def written(partition: Partition) -> Slice:
    """What a flush would write of it, in one slice."""
    cut = take_cut(partition)
    part = take_slice(partition, cut.rows, cut.origins)
    part.rows.extend(cut.own)
    return part


def ids(rows: Iterable[Row]) -> list[str]:
    return [row.device.id for row in rows]


class Consumer:
    """`ends` is what the broker says."""

    def __init__(self) -> None:
        self.paused: set[TP] = set()
        self.ends: dict[TP, int] = {}

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.ends.get(tp, 0) for tp in tps}

    def pause_partitions(self, tps: list[TP]) -> None:
        self.paused.update(tps)

    def resume_partitions(self, tps: list[TP]) -> None:
        self.paused.difference_update(tps)


class App:
    def __init__(self) -> None:
        self.settings = Settings()
        self.partition_count = 8
        self.consumer = Consumer()
        self.names = Names("")
        self.log: list[str] = []
        self.producer = Producer(self.log)
        self.should_stop = False


class Table:
    """Remembers what was written, and when."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.rows: dict[bytes, bytes | None] = {}
        self.upto = -1

    def write(self, partition: int, rows: Any, upto: int) -> None:
        self.log.append("store")
        self.rows.update(rows)
        self.upto = upto


class Chunk:
    """A Faust event, as far as the writer knows it."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def ack(self) -> None:
        self.log.append("ack")


class Record(NamedTuple):
    """As far as the agents know aiokafka's."""

    offset: int
    value: bytes | None
    key: bytes | None = b"key"
    timestamp: int = T0 * 1000
    headers: Sequence[tuple[str, bytes]] = ()


def reading(offset: int, device: str = "attic", *, at: float = T0, **fields: Any) -> Record:
    value = json.dumps({"device_id": device, **fields}).encode()
    return Record(offset, value, timestamp=round(at * 1000))


class Event:
    """A Faust event that carries a chunk."""

    def __init__(self, records: list[Record]) -> None:
        self.value = records


class Owner:
    """What a worker owns, and how far its sources are read; `ends` is what the broker says."""

    def __init__(self, *numbers: int) -> None:
        self.owned = {number: partition(number) for number in numbers}
        self.sources: dict[TP, Source] = {}
        self.ends: dict[TP, int] = {}
        for number, owned in self.owned.items():
            for topic, is_inbox in (("readings", False), ("smart-iot-forwarded", True)):
                tp = TP(topic, number)
                self.sources[tp] = Source(tp, owned, 0, is_inbox=is_inbox)
                self.sources[tp].position = 0

    def read_to(self, source: Source) -> int:
        return source.position

    def end_of(self, source: Source) -> int:
        return self.ends.get(source.tp, 0)

    def inbox(self, of: Partition) -> Source:
        return self.sources[TP("smart-iot-forwarded", of.number)]


def partition(number: int = 0) -> Partition:
    made = Partition(number)
    made.clock = PartitionClock()
    return made
