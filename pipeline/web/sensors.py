"""Readings in, while somebody watches; messages for the viewers of `/ws/sensors/…` out.

The topic `readings` is read from its end on, without a group, as long as there is a viewer and no
longer: it may hold a thousand times what the rest of the view reads. The viewers of one device get
every reading of it. Those of all devices get the newest of each, in turn, and so many a second:
a device that waits for its turn keeps its place, and has only its newest reading told.

Who speaks is online: that is the status of every message here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import NoReturn, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from pipeline.access import Scope
from pipeline.metrics import READINGS_STREAMED
from pipeline.names import FALLBACK_CLUSTER, Names
from pipeline.records import Rejected, decode
from pipeline.rules.engine import Engine, Reading
from pipeline.rulesource import rules_of
from pipeline.settings import Settings
from pipeline.web.door import Door, connection
from pipeline.web.fleet import message
from pipeline.web.hub import Member, end_all, put_all
from pipeline.web.lookout import LOOK, check_reached, check_unchanged
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Topics,
    cause,
    consuming,
    existing,
    heed_cancellation,
    is_expected,
    partitions_of,
)
from pipeline.web.viewer import (
    SERVICE_RESTART,
    TOO_SMALL_A_SCOPE,
    TRY_AGAIN_LATER,
    Refused,
    Viewer,
    framed,
)

log = logging.getLogger(__name__)

TICK = 0.5  # seconds between two tellings of what waits
A_SECOND = 200  # messages to a viewer of all devices
MOST_WAITING = 100_000  # devices whose newest reading waits for its turn; a further one is skipped
LOOKED_FOR = 50  # devices that are watched; where there are more, every reading is decoded
AT_ONCE = 200  # records between two turns of the event loop
POSITIONED_WITHIN = 15.0  # seconds a viewer waits for the reading to begin

Key = TypeVar("Key", str, Scope)


class Sensors:
    def __init__(self, settings: Settings, door: Door, ping_every: float) -> None:
        self._kafka = settings.kafka()
        self._topic = Names(settings.topic_prefix).readings
        self._naive = ZoneInfo(settings.naive_timezone)
        self._engine = Engine(rules_of(settings))
        self._door = door
        self._ping_every = ping_every
        self._of_one: dict[str, set[Viewer]] = {}
        self._of_all: dict[Scope, set[Viewer]] = {}
        self._watchers = 0
        self._waiting: dict[str, bytes] = {}
        """Device to the frame of its newest reading, in the order of their turns."""
        self._watched = asyncio.Event()
        self._positioned = asyncio.Event()
        self._problem = "the readings have not been found yet"

    # A viewer's way.

    async def every(self, request: web.Request) -> web.StreamResponse:
        return await self._door.admit(request, None, self._every)

    async def one(self, request: web.Request, device_id: str) -> web.StreamResponse:
        return await self._door.admit(request, None, partial(self._one, device_id))

    async def _every(self, viewer: Viewer, scope: Scope) -> Member[Scope]:
        return await self._watching(self._of_all, scope, viewer, "all devices")

    async def _one(self, device_id: str, viewer: Viewer, scope: Scope) -> Member[str]:
        if not scope.sees(device_id):
            raise Refused(TOO_SMALL_A_SCOPE, "this token may not see that device")
        return await self._watching(self._of_one, device_id, viewer, device_id)

    async def _watching(
        self, groups: dict[Key, set[Viewer]], key: Key, viewer: Viewer, whose: str
    ) -> Member[Key]:
        self._watchers += 1
        self._watched.set()
        try:
            await self._until_positioned()
        except BaseException:
            self._left()
            raise
        # from here on it is told every reading
        words = f"Connected to the readings of {whose}"
        viewer.greet(framed(connection(message=words, cursor=None, recovered=None)))
        return Member(groups, key, viewer, self._left)

    def _left(self) -> None:
        self._watchers -= 1
        if not self._of_all:
            self._waiting.clear()
        if not self._watchers:
            self._watched.clear()

    async def _until_positioned(self) -> None:
        try:
            async with asyncio.timeout(POSITIONED_WITHIN):
                await self._positioned.wait()
        except TimeoutError:
            raise Refused(TRY_AGAIN_LATER, self._problem) from None

    # The readings' way.

    async def run(self) -> NoReturn:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            tasks.create_task(self._ping())
            await self._read()

    async def _read(self) -> NoReturn:
        pause = FIRST_PAUSE
        while True:
            await self._watched.wait()
            try:
                await self._session()
                pause = FIRST_PAUSE
            except Exception as error:
                self._stopped(cause(error), pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _stopped(self, why: Exception, pause: float) -> None:
        """Whoever watches may have missed a reading: it is told to come back."""
        self._problem = f"the readings can't be read: {why}"
        end_all(self._everyone(), SERVICE_RESTART)
        if is_expected(why):
            log.warning("sensor streams: %s; reading starts again in %.1f s", why, pause)
        else:
            log.error("sensor streams: %s", why, exc_info=why)

    def _missing(self, problem: str) -> None:
        self._problem = problem

    async def _session(self) -> None:
        """Read from the end on while somebody watches."""
        cluster, topics = await existing(self._kafka, [self._topic], self._missing)
        async with consuming(self._kafka) as consumer:
            tps = partitions_of(self._topic, topics)
            ends = await consumer.end_offsets(tps)
            consumer.assign(tps)
            for tp in tps:
                consumer.seek(tp, ends[tp])
            self._positioned.set()
            looking = asyncio.create_task(self._look(consumer, topics, cluster))
            try:
                while self._watchers and not looking.done():
                    heed_cancellation()
                    await self._follow(consumer)
            finally:
                # at once: who comes from here on waits for the next session
                self._positioned.clear()
                looking.cancel()
                (ended,) = await asyncio.gather(looking, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended

    async def _look(self, consumer: AIOKafkaConsumer, topics: Topics, cluster: str) -> NoReturn:
        while True:
            heed_cancellation()
            await asyncio.sleep(LOOK)
            check_unchanged(consumer, topics)
            if cluster != FALLBACK_CLUSTER:  # it reports a wrong end after a producer's batch
                ends = await consumer.end_offsets(list(consumer.assignment()))
                await check_reached(consumer, ends)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
        told: dict[str, list[bytes]] = {}
        for records in batches.values():
            for record in records:
                if (reading := self._watched_reading(record)) is not None:
                    told.setdefault(reading.device_id, []).append(framed(self._text(reading)))
        for device_id, frames in told.items():
            await self._deliver(device_id, frames)
        await asyncio.sleep(0)  # getmany doesn't give way while it has records

    def _watched_reading(
        self, record: ConsumerRecord[bytes | None, bytes | None]
    ) -> Reading | None:
        if not self._of_all and not self._may_be_watched(record.value or b""):
            return None
        named = self._engine.rulebook.metrics_named
        record_time = record.timestamp / 1000
        try:
            reading, _ = decode(record.value, record_time, named=named, naive_timezone=self._naive)
        except Rejected:
            return None  # the worker counts it and says why
        return reading if self._of_all or reading.device_id in self._of_one else None

    def _may_be_watched(self, value: bytes) -> bool:
        """Whether it may be of a device that is watched; a tenth of what decoding it costs."""
        if len(self._of_one) > LOOKED_FOR or b"\\" in value:
            return True
        return any(device_id.encode() in value for device_id in self._of_one)

    async def _deliver(self, device_id: str, frames: Sequence[bytes]) -> None:
        if viewers := list(self._of_one.get(device_id, ())):
            READINGS_STREAMED.labels("device").inc(len(frames))
            await put_all(viewers, frames)
            await asyncio.sleep(0)  # there may be as many devices as viewers
        if self._of_all and (device_id in self._waiting or len(self._waiting) < MOST_WAITING):
            self._waiting[device_id] = frames[-1]

    def _text(self, reading: Reading) -> bytes:
        shown = message(
            reading.device_id, reading.values, self._time(reading), "online", type="reading"
        )
        return msgspec.json.encode(shown)

    def _time(self, reading: Reading) -> float:
        """The device's own time if the rules would believe it, else when its reading arrived."""
        time = reading.time
        if time is None or abs(time - reading.record_time) > self._engine.max_skew:
            return reading.record_time
        return time

    async def _tell(self) -> NoReturn:
        """To who watches all devices: those that have waited longest, a slice at a time."""
        while True:
            await asyncio.sleep(TICK)
            turn = list(self._waiting)[: int(A_SECOND * TICK)]
            told = [(device_id, self._waiting.pop(device_id)) for device_id in turn]
            READINGS_STREAMED.labels("all").inc(len(told))
            for scope, group in tuple(self._of_all.items()):
                frames = [frame for device_id, frame in told if scope.sees(device_id)]
                await put_all(list(group), frames)

    async def _ping(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._ping_every)
            await put_all(self._everyone(), [framed(connection(event="ping", cursor=None))])

    def _everyone(self) -> list[Viewer]:
        groups = (*self._of_one.values(), *self._of_all.values())
        return [viewer for group in groups for viewer in group]
