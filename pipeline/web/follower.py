"""A topic in, read for ever and without a group; each of its records to whoever follows it.

It begins once what goes before it is ready, which it must not delay: that is the alerts. Whatever
stops it, it starts again where it was; where it can't (the topic is gone, or was created again, or
another cluster answers) it forgets everything and reads anew. Of a topic that holds more than is
wanted it reads the newest records alone, and then knows since when it knows everything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn, TypeAlias

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import OffsetOutOfRangeError
from prometheus_client import Gauge

from pipeline.metrics import RECORDS_UNREADABLE
from pipeline.rules.version import NewerState
from pipeline.settings import Settings
from pipeline.web.lookout import ids_of, look_out
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Gone,
    Offsets,
    Topics,
    cause,
    consuming,
    existing,
    heed_cancellation,
    is_expected,
    partitions_of,
)

log = logging.getLogger(__name__)

AT_ONCE = 200  # records between two turns of the event loop: 3 ms
TURN_POLL = 0.2  # seconds between two looks whether what goes before is ready
ALWAYS = float("-inf")

Record: TypeAlias = "ConsumerRecord[bytes | None, bytes | None]"


class Follower(ABC):
    """`what` is what its records are, for people, and `first` why what goes before isn't ready yet,
    or None; `gauge` shows how many are known. Of the newest records it reads `most` when it begins,
    by default all; and it rests after each few for `ease` times as long as they took."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        what: str,
        first: Callable[[], str | None],
        gauge: Gauge,
        *,
        most: int | None = None,
        ease: float = 0.0,
    ) -> None:
        self._kafka = settings.kafka()
        self._topic = topic
        self._what = what
        self._first = first
        self._gauge = gauge
        self._most = most
        self._ease = ease
        self._log = ""
        """The cluster's id and the topic's: offsets of another log mean nothing here."""
        self._positions: dict[int, int] = {}
        self._unread: Offsets = {}
        self._since: dict[int, float] = {}
        """Partition to when the first record that was read of it came, where others went before;
        as long as none was read, to when reading began."""
        self._begun: set[int] = set()
        self.caught_up = False
        self.problem: str | None = f"the {what} have not been read yet"

    def unknown(self) -> str | None:
        """Why what was read isn't known; None if it is."""
        return self.problem

    def since(self) -> float:
        """From then on nothing is missing of what the topic has had; -inf where nothing is."""
        return max(self._since.values(), default=ALWAYS)

    @abstractmethod
    def take(self, record: Record) -> None:
        """One record; any ValueError, TypeError or LookupError where it is none of ours."""

    @abstractmethod
    def forget(self) -> None:
        """Everything that was taken."""

    @abstractmethod
    def known(self) -> int:
        """How many of what it is about."""

    async def run(self) -> NoReturn:
        """Until cancelled."""
        await self._turn()
        pause = FIRST_PAUSE
        while True:
            heed_cancellation()
            try:
                await self._session()
            except Exception as error:
                pause = FIRST_PAUSE if self.caught_up else min(pause * 2, LONGEST_PAUSE)
                self._stopped(cause(error), pause)
            await asyncio.sleep(pause)

    async def _turn(self) -> None:
        while problem := self._first():
            self.problem = f"the alerts come first: {problem}"
            await asyncio.sleep(TURN_POLL)

    def _stopped(self, why: Exception, pause: float) -> None:
        self.caught_up = False
        self.problem = f"reading the {self._what} starts again: {why}"
        if isinstance(why, (Gone, OffsetOutOfRangeError)):
            self._forget()
        if is_expected(why):
            log.warning("%s: %s; reading starts again in %.1f s", self._what, why, pause)
        else:
            log.error("%s: %s", self._what, why, exc_info=why)

    def _forget(self) -> None:
        self._positions = {}
        self._since = {}
        self._begun.clear()
        self.forget()

    def _waiting(self, problem: str) -> None:
        self.problem = problem

    async def _session(self) -> None:
        cluster, topics = await existing(self._kafka, [self._topic], self._waiting)
        async with consuming(self._kafka) as consumer, asyncio.TaskGroup() as tasks:
            ids = await ids_of(consumer, topics)
            await self._begin(consumer, f"{cluster}/{ids[self._topic]}", topics)
            tasks.create_task(look_out(self, consumer, topics, ids))
            await self._follow(consumer)  # see `heed_cancellation` why in this task

    async def _begin(self, consumer: AIOKafkaConsumer, name: str, topics: Topics) -> None:
        """Go on where we were, or read anew where that is no more."""
        self.problem = f"reading the {self._what}"
        tps = partitions_of(self._topic, topics)
        first = await consumer.beginning_offsets(tps)
        end = await consumer.end_offsets(tps)
        known = {tp: self._positions[tp.partition] for tp in tps if tp.partition in self._positions}
        behind = any(not first[tp] <= offset <= end[tp] for tp, offset in known.items())
        if name != self._log or len(known) < len(self._positions) or behind:
            self._forget()
            known = {}
        self._log = name
        self._unread = dict(end)
        # assign() wakes the fetcher, which would look for committed offsets: no await until seek()
        consumer.assign(tps)
        for tp in tps:
            begin = known.get(tp)
            if begin is None:
                begin = self._newest(first[tp], end[tp], len(tps))
                self._since[tp.partition] = time.time() if begin else ALWAYS
            consumer.seek(tp, begin)

    def _newest(self, first: int, end: int, partitions: int) -> int:
        return first if self._most is None else max(first, end - self._most // partitions)

    async def _follow(self, consumer: AIOKafkaConsumer) -> NoReturn:
        while True:
            heed_cancellation()
            batches = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
            began = time.monotonic()
            for tp, records in batches.items():
                self._note_since(records[0])
                for record in records:
                    self._take(record)
                self._positions[tp.partition] = records[-1].offset + 1
            if not self.caught_up:
                await self._check_caught_up(consumer)
            self._gauge.set(self.known())
            # getmany doesn't give way while it has records
            await asyncio.sleep((time.monotonic() - began) * self._ease)

    def _note_since(self, record: Record) -> None:
        """Of a partition's first record that we read."""
        if record.partition not in self._begun:
            self._begun.add(record.partition)
            if self._since.get(record.partition, ALWAYS) > ALWAYS:
                self._since[record.partition] = record.timestamp / 1000

    async def _check_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        for tp, end in list(self._unread.items()):
            if await consumer.position(tp) >= end:
                del self._unread[tp]
        if not self._unread:
            self.caught_up, self.problem = True, None
            log.info("%s: caught up, %d are known", self._what, self.known())

    def _take(self, record: Record) -> None:
        try:
            self.take(record)
        except NewerState:
            raise  # all that follows would be unreadable too: say so, and look again
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
            RECORDS_UNREADABLE.labels(self._what).inc()
            where = (record.topic, record.partition, record.offset)
            log.warning(
                "none of the %s at %s partition %d offset %d: %r", self._what, *where, error
            )
