"""A topic and a range of time in, batches of its records, merged in the order of their times, out.

A worker takes up what it finds in its partitions in the order of each one's robust clock
(`agents/order.py`), so that a device whose readings lie in several is judged as it happened; so do
we. What is read ends where the topic ended when we began.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from pipeline.backtest.recording import Batch, Record, Unreadable
from pipeline.backtest.replay import WALL
from pipeline.records import objects
from pipeline.rules import PartitionClock

AT_ONCE: Final = 2_000  # records of a batch, and of a partition that wait for their turn
PATIENCE: Final = 10  # seconds without a record though the end isn't reached


class Part:
    """One partition: what of it is here and waits, and up to where it is wanted."""

    def __init__(self, tp: TopicPartition, start: int, end: int) -> None:
        self.tp: Final = tp
        self.start: Final = start
        self.end: Final = end
        self.position = start
        self.waiting: deque[tuple[float, ConsumerRecord]] = deque()
        self._clock: Final = PartitionClock()

    def put(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            if record.offset < self.end:
                at = self._clock.see(record.timestamp / 1000, WALL)
                self.waiting.append((at, record))


class Topic:
    def __init__(
        self, runner: asyncio.Runner, consumer: AIOKafkaConsumer, parts: Sequence[Part]
    ) -> None:
        self.partitions: Final = len(parts)
        self.size: Final = sum(part.end - part.start for part in parts)
        self._runner: Final = runner
        self._consumer: Final = consumer
        self._parts: Final = parts
        self._turns: Final[list[tuple[float, int]]] = []  # heap of (next time, partition)
        self._empty = list(parts)

    def batches(self) -> Iterator[Batch]:
        while records := self._runner.run(self._next()):
            places = [Record(one.partition, one.offset, one.timestamp) for one in records]
            read = sum(part.position - part.start for part in self._parts)
            yield Batch(objects([record.value or b"" for record in records]), places, read)

    async def _next(self) -> list[ConsumerRecord]:
        taken: list[ConsumerRecord] = []
        while len(taken) < AT_ONCE:
            if self._empty:
                await self._fill()
            if not self._turns:
                break
            number = self._turns[0][1]
            part = self._parts[number]
            taken.append(part.waiting.popleft()[1])
            if part.waiting:
                heapq.heapreplace(self._turns, (part.waiting[0][0], number))
            else:
                heapq.heappop(self._turns)
                self._empty.append(part)
        return taken

    async def _fill(self) -> None:
        """Of each partition that isn't at its end there is something here: it may be the oldest."""
        empty, self._empty = self._empty, []
        for part in empty:
            await self._read(part)
            if part.waiting:
                heapq.heappush(self._turns, (part.waiting[0][0], self._parts.index(part)))

    async def _read(self, part: Part) -> None:
        silent = 0
        while not part.waiting and part.position < part.end:
            try:
                found = await self._consumer.getmany(part.tp, timeout_ms=1_000, max_records=AT_ONCE)
                position = await self._consumer.position(part.tp)
            except KafkaError as error:
                raise Unreadable(f"partition {part.tp.partition}: {error}") from None
            part.put(found.get(part.tp, ()))
            silent = 0 if position > part.position else silent + 1
            part.position = position
            if silent == PATIENCE:
                raise Unreadable(
                    f"partition {part.tp.partition}: nothing comes after offset {position}, "
                    f"though the end is {part.end}"
                )


@contextmanager
def reading(
    kafka: dict[str, Any], name: str, since: float | None, until: float | None
) -> Iterator[Topic]:
    """The records from the first one at `since` or later to the last before the first at `until`
    (seconds since the epoch; None: all there are)."""
    with asyncio.Runner() as runner:
        tps = runner.run(_partitions(kafka, name))
        consumer = runner.run(_started(kafka))
        try:
            parts = runner.run(_parts(consumer, tps, since, until))
            yield Topic(runner, consumer, parts)
        finally:
            runner.run(consumer.stop())


async def _partitions(kafka: dict[str, Any], name: str) -> list[TopicPartition]:
    client = AIOKafkaClient(**kafka)
    try:
        await client.bootstrap()
        # of all topics: a broker may create one that is asked for by its name
        cluster = await client.fetch_all_metadata()
    except (KafkaError, OSError) as error:
        raise Unreadable(f"Kafka can't be reached: {error}") from None
    finally:
        await client.close()
    partitions = cluster.partitions_for_topic(name)
    if not partitions:
        raise Unreadable("there is no such topic")
    return [TopicPartition(name, partition) for partition in sorted(partitions)]


async def _started(kafka: dict[str, Any]) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        **kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="none"
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise Unreadable(f"Kafka can't be reached: {error}") from None
    return consumer


async def _parts(
    consumer: AIOKafkaConsumer,
    tps: Sequence[TopicPartition],
    since: float | None,
    until: float | None,
) -> list[Part]:
    try:
        ends = await consumer.end_offsets(tps)
        starts = await consumer.beginning_offsets(tps)
        first = starts if since is None else await _offsets(consumer, tps, since, ends)
        last = ends if until is None else await _offsets(consumer, tps, until, ends)
    except KafkaError as error:
        raise Unreadable(str(error)) from None
    parts = [Part(tp, first[tp], max(first[tp], last[tp])) for tp in tps]
    consumer.assign(tps)
    for part in parts:
        consumer.seek(part.tp, part.start)
    return parts


async def _offsets(
    consumer: AIOKafkaConsumer,
    tps: Sequence[TopicPartition],
    time: float,
    ends: dict[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """Of the first record at that time or later in each partition, else its end."""
    found = await consumer.offsets_for_times(dict.fromkeys(tps, max(0, round(time * 1000))))
    return {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in tps}
