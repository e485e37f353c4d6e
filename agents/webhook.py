"""Chunks of `alerts` in; each event posted, and then acknowledged.

What is acknowledged and then committed in Kafka is where the next one goes on: it posts again what
was under way (at least once, under the same key). Where nothing ever was committed it begins with
what comes from now on, and not with the alerts of last week.

What the receiver refuses, or hasn't taken for too long, goes to `readings-rejected`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import Any, Final, cast

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP, EventT

from agents.lag import Lag, ends_of
from agents.lanes import Lanes
from agents.refusing import refuse
from pipeline.sinks.entries import entries_of
from pipeline.sinks.known import NoSink
from pipeline.sinks.sink import Entry, Refused, Source
from pipeline.sinks.webhook import Hook
from pipeline.streams import App
from pipeline.transport import Consumer

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1_000  # events that are taken and not posted, before no more are taken
LOOK_EVERY: Final = 5.0  # seconds between two looks at the lag


@dataclass(slots=True)
class Chunk:
    """`left` of its events are not posted yet."""

    event: EventT[Any]
    left: int


class Webhook:
    """`kinds` says of each topic what its records are."""

    def __init__(self, app: App, name: str, kinds: Mapping[str, str]) -> None:
        self.app = app
        self.name = name
        self.kinds = kinds
        self.hook: Hook
        self.cluster = ""
        self._waits_for: str | None = "the webhook has not started yet"
        self._lag = Lag(app, name)
        self._lanes = Lanes(name, self._post, self._refuse, app.settings.webhook_patience)
        self._waiting = 0
        self._room = asyncio.Event()
        self._undone: dict[Source, dict[int, None]] = {}  # offsets, the lowest first
        self._taken: dict[Source, int] = {}
        self._ends: Mapping[Source, int] = {}
        self._committed: frozenset[Source] = frozenset()
        self._owner = 0  # goes up whenever partitions come or go

    @property
    def problem(self) -> str | None:
        return self._waits_for or self._lanes.problem

    def begin(self) -> None:
        if not self.app.settings.webhook_url:
            raise NoSink("SMART_IOT_WEBHOOK_URL is not set: it says where to post")
        self.hook = Hook(self.app.settings)

    async def close(self) -> None:
        if hasattr(self, "hook"):
            await self.hook.close()

    def tasks(self) -> Sequence[Callable[[], Coroutine[None, None, None]]]:
        return self.serve_for_ever, self.look_for_ever

    # -- partitions come and go

    async def restore(self, assigned: frozenset[TP]) -> None:
        sources = [(tp.topic, tp.partition) for tp in assigned if tp.topic in self.kinds]
        if sources:
            self._ends = await ends_of(self.app, sources)
            self._committed = await committed_of(self.app)

    def positioned(self, positions: Mapping[TP, int]) -> None:
        self._owner += 1
        self._taken = {(tp.topic, tp.partition): at for tp, at in positions.items()}
        self._undone = {source: {} for source in self._taken}
        if not self._committed:
            log.info("%s: nothing was posted before, so it begins with what comes now", self.name)
            self._taken |= {source: self._ends.get(source, 0) for source in self._taken}
            go_to = {TP(*source): at for source, at in self._taken.items()}
            cast(Consumer, self.app.consumer).go_to(go_to)
        self._waits_for = None

    async def release(self) -> None:
        """Let those posts end that are under way; from then on nothing is ours."""
        self._owner += 1
        await self._lanes.clear(self.app.settings.flush_timeout)
        done = {TP(*source): at for source, at in self._posted().items()}
        cast(Consumer, self.app.consumer).settled(done)
        self._undone, self._taken, self._waiting = {}, {}, 0
        self._room.set()

    def _posted(self) -> dict[Source, int]:
        """Below these all is done."""
        return {
            source: next(iter(self._undone[source]), taken) for source, taken in self._taken.items()
        }

    # -- taking

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        owner = self._owner
        await self._lanes.began()
        while self._waiting >= MOST_WAITING and owner == self._owner:
            self._room.clear()
            await self._room.wait()
        source = (event.message.topic, event.message.partition)
        records = cast(list[ConsumerRecord], event.value)
        entries, refused = entries_of(self.kinds[source[0]], records, UTC)
        if refused:
            await refuse(self.app, self.name, refused)
        # what was on its way here while the partitions went would leave a hole
        generation = self.app.consumer_generation_id
        if owner == self._owner and event.message.generation_id == generation:
            self._line_up(source, event, entries)

    def _line_up(self, source: Source, event: EventT[Any], entries: Sequence[Entry]) -> None:
        if source not in self._taken:
            return  # given away: its next owner reads it
        self._taken[source] = event.message.offset + 1
        chunk = Chunk(event, len(entries))
        if not entries:
            event.ack()
        for entry in entries:
            self._undone[source][entry.offset] = None
            self._waiting += 1
            self._lanes.add(entry, partial(self._done, entry, chunk))

    def _done(self, entry: Entry, chunk: Chunk) -> None:
        del self._undone[entry.source][entry.offset]
        self._waiting -= 1
        self._room.set()
        chunk.left -= 1
        if not chunk.left:
            chunk.event.ack()

    # -- posting

    async def serve_for_ever(self) -> None:
        await self._lanes.serve(lambda: self.app.should_stop)

    async def _post(self, entry: Entry) -> None:
        await self.hook.post(entry, time.time())

    async def _refuse(self, entry: Entry, why: str) -> None:
        await refuse(self.app, self.name, [Refused(entry, why)])

    # -- beside that

    async def look_for_ever(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(LOOK_EVERY)
            await self._lag.look(self._posted())


async def committed_of(app: App) -> frozenset[Source]:
    """The partitions of which anything is committed by the app's group."""
    admin = AIOKafkaAdminClient(**app.settings.kafka())
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(app.conf.id)
    finally:
        await admin.close()
    return frozenset((tp.topic, tp.partition) for tp, at in found.items() if at.offset >= 0)
