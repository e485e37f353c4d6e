"""The device table's changelog in, without a group; the newest readings of the fleet out.

At most one row a device a flush stands there, so this is what a view can afford to read for ever,
while the readings themselves may be a thousand times as many. It begins once the alerts are ready,
which it must not delay, and what it tells is refused with a reason until it has caught up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from pipeline.access import EVERYTHING, Scope
from pipeline.metrics import DEVICES, ROWS_UNREADABLE
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web.fleet import Fleet, Latest
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Gone,
    Offsets,
    Topics,
    cause,
    check_reached,
    check_unchanged,
    consuming,
    existing,
    is_expected,
    partitions_of,
)

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows between two turns of the event loop: 3 ms
LOOK = 5.0  # seconds between two looks at where the changelog ends
TURN_POLL = 0.2  # seconds between two looks whether the alerts are ready
SLICE = 500  # items encoded between two turns of the event loop
FRESH = 1.0  # seconds that one listing serves everybody who asks

Show = Callable[[Latest, float], dict[str, Any]]


class Devices:
    """`first` is the reason why the alerts aren't ready yet, or None."""

    def __init__(self, settings: Settings, first: Callable[[], str | None]) -> None:
        self._kafka = settings.kafka()
        self._topic = Names(settings.topic_prefix).changelog
        self._first = first
        self.fleet = Fleet()
        self._cluster = ""
        self._positions: dict[int, int] = {}
        self._unread: Offsets = {}
        self.caught_up = False
        self.problem: str | None = "the devices have not been read yet"
        self.latest = Listing(self.fleet, self.fleet.item)
        self.cards = Listing(self.fleet, self.fleet.card)

    def unknown(self) -> str | None:
        """Why the newest readings aren't known; None if they are."""
        return self.problem

    async def run(self) -> NoReturn:
        """Until cancelled."""
        await self._turn()
        pause = FIRST_PAUSE
        while True:
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
        self.problem = f"reading the devices starts again: {why}"
        if isinstance(why, (Gone, OffsetOutOfRangeError)):
            self._forget()
        if is_expected(why):
            log.warning("devices: %s; reading starts again in %.1f s", why, pause)
        else:
            log.error("devices: %s", why, exc_info=why)

    def _forget(self) -> None:
        self._positions = {}
        self.fleet.clear()

    def _waiting(self, problem: str) -> None:
        self.problem = problem

    async def _session(self) -> None:
        cluster, topics = await existing(self._kafka, [self._topic], self._waiting)
        async with consuming(self._kafka) as consumer, asyncio.TaskGroup() as tasks:
            await self._begin(consumer, cluster, topics)
            tasks.create_task(self._follow(consumer))
            tasks.create_task(self._look(consumer, topics))

    async def _begin(self, consumer: AIOKafkaConsumer, cluster: str, topics: Topics) -> None:
        """Go on where we were, or read the whole changelog where that is no more."""
        self.problem = "reading the devices"
        tps = partitions_of(self._topic, topics)
        first = await consumer.beginning_offsets(tps)
        end = await consumer.end_offsets(tps)
        known = {tp: self._positions[tp.partition] for tp in tps if tp.partition in self._positions}
        behind = any(not first[tp] <= offset <= end[tp] for tp, offset in known.items())
        if cluster != self._cluster or len(known) < len(self._positions) or behind:
            self._forget()
            known = {}
        self._cluster = cluster
        self._unread = dict(end)
        # assign() wakes the fetcher, which would look for committed offsets: no await until seek()
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, known.get(tp, first[tp]))

    async def _follow(self, consumer: AIOKafkaConsumer) -> NoReturn:
        while True:
            batches = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
            for tp, records in batches.items():
                for record in records:
                    self._take(record)
                self._positions[tp.partition] = records[-1].offset + 1
            if not self.caught_up:
                await self._check_caught_up(consumer)
            DEVICES.set(len(self.fleet))
            await asyncio.sleep(0)  # getmany doesn't give way while it has records

    async def _check_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        for tp, end in list(self._unread.items()):
            if await consumer.position(tp) >= end:
                del self._unread[tp]
        if not self._unread:
            self.caught_up, self.problem = True, None
            log.info("devices: caught up, %d are known", len(self.fleet))

    async def _look(self, consumer: AIOKafkaConsumer, topics: Topics) -> NoReturn:
        tps = partitions_of(self._topic, topics)
        while True:
            await asyncio.sleep(LOOK)
            check_unchanged(consumer, topics)
            try:
                async with asyncio.timeout(LOOK):
                    ends = await consumer.end_offsets(tps)
            except (TimeoutError, KafkaError):
                self.problem = "Kafka doesn't answer"
                continue
            if self.caught_up:
                self.problem = None
            await check_reached(consumer, ends)

    def _take(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        try:
            self.fleet.apply(record.partition, record.key or b"*", record.value)
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
            ROWS_UNREADABLE.inc()
            where = (record.topic, record.partition, record.offset)
            log.warning("no row of ours at %s partition %d offset %d: %r", *where, error)


class Listing:
    """Every device as one JSON list: made in slices, so that a large fleet delays no alert, and
    once a second at most, however many ask; for those who may not see all, each of their scopes."""

    def __init__(self, fleet: Fleet, show: Show) -> None:
        self._fleet = fleet
        self._show = show
        self._made: dict[tuple[str, ...], tuple[float, bytes]] = {}
        """Globs of a scope to when its list was made, and the list; there are few scopes."""
        self._making = asyncio.Lock()

    async def body(self, scope: Scope = EVERYTHING) -> bytes:
        async with self._making:
            made, body = self._made.get(scope.devices, (-FRESH, b""))
            if time.monotonic() - made >= FRESH:
                body = await self._make(scope)
                self._made[scope.devices] = (time.monotonic(), body)
            return body

    async def _make(self, scope: Scope) -> bytes:
        wall, texts = time.time(), []
        for number, latest in enumerate(self._fleet.all(), 1):
            if scope.sees(latest.device_id):
                texts.append(msgspec.json.encode(self._show(latest, wall)))
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return b"[" + b",".join(texts) + b"]"
