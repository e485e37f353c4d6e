"""Readable stand-ins for what surrounds the agents: a producer that writes to lists."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, NamedTuple

from pipeline.names import Names
from pipeline.rules.clock import PartitionClock
from tables.devices import Partition


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


class App:
    def __init__(self) -> None:
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


def partition(number: int = 0) -> Partition:
    made = Partition(number)
    made.clock = PartitionClock()
    return made
