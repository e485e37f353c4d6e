"""Readings in, while somebody watches; messages for the viewers of `/ws/sensors/…` out.

The topic `readings` is read from its end on, without a group, as long as there is a viewer and no
longer: it may hold a thousand times what the rest of the view reads. The viewers of one device get
every reading of it. Those of all devices get the newest of each, in turn, and so many a second:
a device that waits for its turn keeps its place, and has only its newest reading told.

Who speaks is online: that is the status of every message here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import NoReturn
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from pipeline.metrics import READINGS_STREAMED
from pipeline.names import FALLBACK_CLUSTER, Names
from pipeline.records import Rejected, decode
from pipeline.rules.engine import Engine, Reading
from pipeline.rulesource import rules_of
from pipeline.settings import Settings
from pipeline.web.door import Door, attend, connection, refusal
from pipeline.web.fleet import message
from pipeline.web.hub import SERVICE_RESTART, SLICE, Viewer
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
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

TICK = 0.5  # seconds between two tellings of what waits
A_SECOND = 200  # messages to a viewer of all devices
MOST_WAITING = 100_000  # devices whose newest reading waits for its turn; a further one is skipped
AT_ONCE = 200  # records between two turns of the event loop
LOOK = 5.0  # seconds between two looks at where the topic ends
POSITIONED_WITHIN = 15.0  # seconds a viewer waits for the reading to begin


class Sensors:
    def __init__(self, settings: Settings, door: Door, ping_every: float) -> None:
        self._kafka = settings.kafka()
        self._topic = Names(settings.topic_prefix).readings
        self._naive = ZoneInfo(settings.naive_timezone)
        self._engine = Engine(rules_of(settings))
        self._door = door
        self._ping_every = ping_every
        self._viewers: dict[str | None, set[Viewer]] = {}
        """Device to who watches it; those of None watch all."""
        self._waiting: dict[str, bytes] = {}
        self._watched = asyncio.Event()
        self._positioned = asyncio.Event()
        self._problem = "the readings have not been found yet"

    # A viewer's way.

    async def every(self, request: web.Request) -> web.StreamResponse:
        return await self._admit(request, None)

    async def one(self, request: web.Request, device_id: str) -> web.StreamResponse:
        return await self._admit(request, device_id)

    async def _admit(self, request: web.Request, device_id: str | None) -> web.StreamResponse:
        async def watch(request: web.Request, viewer: Viewer) -> web.StreamResponse:
            with self._watching(device_id, viewer):
                try:
                    async with asyncio.timeout(POSITIONED_WITHIN):
                        await self._positioned.wait()
                except TimeoutError:
                    return refusal(503, self._problem)
                # from here on every reading is in the viewer's queue
                words = "Connected to the readings of " + (device_id or "all devices")
                welcome = connection(message=words, cursor=None, recovered=None)
                return await attend(request, viewer, [welcome])

        return await self._door.admit(request, lambda: None, watch, None)

    @contextlib.contextmanager
    def _watching(self, device_id: str | None, viewer: Viewer) -> Iterator[None]:
        self._viewers.setdefault(device_id, set()).add(viewer)
        self._watched.set()
        try:
            yield
        finally:
            self._viewers[device_id].discard(viewer)
            if not self._viewers[device_id]:
                del self._viewers[device_id]
            if None not in self._viewers:
                self._waiting.clear()
            if not self._viewers:
                self._watched.clear()

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
        for viewer in self._everyone():
            viewer.end(SERVICE_RESTART)
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
                while self._viewers and not looking.done():
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
            await asyncio.sleep(LOOK)
            check_unchanged(consumer, topics)
            if cluster != FALLBACK_CLUSTER:  # it reports a wrong end after a producer's batch
                ends = await consumer.end_offsets(list(consumer.assignment()))
                await check_reached(consumer, ends)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        batches = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
        for records in batches.values():
            for record in records:
                self._take(record)
        await asyncio.sleep(0)  # getmany doesn't give way while it has records

    def _take(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        named = self._engine.rulebook.metrics_named
        record_time = record.timestamp / 1000
        try:
            reading, _ = decode(record.value, record_time, named=named, naive_timezone=self._naive)
        except Rejected:
            return  # the worker counts it and says why
        viewers = self._viewers.get(reading.device_id, ())
        if viewers or None in self._viewers:
            self._deliver(reading.device_id, self._text(reading), viewers)

    def _deliver(self, device_id: str, text: bytes, viewers: set[Viewer] | tuple[()]) -> None:
        for viewer in viewers:
            viewer.put(text)
        if viewers:
            READINGS_STREAMED.labels("device").inc()
        if None in self._viewers and (
            device_id in self._waiting or len(self._waiting) < MOST_WAITING
        ):
            self._waiting[device_id] = text

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
            texts = [self._waiting.pop(device_id) for device_id in turn]
            READINGS_STREAMED.labels("all").inc(len(texts))
            for number, viewer in enumerate(tuple(self._viewers.get(None, ())), 1):
                for text in texts:
                    viewer.put(text)
                if number % SLICE == 0:
                    await asyncio.sleep(0)

    async def _ping(self) -> NoReturn:
        while True:
            await asyncio.sleep(self._ping_every)
            ping = connection(event="ping", cursor=None)
            for viewer in self._everyone():
                viewer.put(ping)

    def _everyone(self) -> list[Viewer]:
        return [viewer for viewers in self._viewers.values() for viewer in viewers]
