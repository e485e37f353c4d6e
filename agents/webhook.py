"""Chunks of `alerts` in; each event posted once its device's one before is, and then acknowledged.

A device's events are a lane: one after the other, each tried until the receiver has taken it.
Lanes don't wait for each other, but for a post: `MOST_POSTS` are under way at once. So an event
that the receiver stumbles over delays its own device alone.

Nobody waits for ever. What the receiver refuses, and what it hasn't taken within
`webhook_patience`, goes to `readings-rejected` with the reason, and the lane goes on. Where a
receiver says for how long nothing should come, no lane posts meanwhile.

What is acknowledged and then committed in Kafka is where the next one goes on: it posts again what
was under way (at least once, under the same key). Where nothing ever was committed it begins with
what comes from now on, and not with the alerts of last week.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, cast

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP, EventT

from agents.lag import Lag, ends_of
from agents.refusing import refuse
from pipeline import metrics
from pipeline.sinks.entries import entries_of
from pipeline.sinks.known import NoSink
from pipeline.sinks.posting import Busy
from pipeline.sinks.sink import LONGEST_WHY, Entry, Refused, SinkRejected, SinkUnavailable, Source
from pipeline.sinks.webhook import Hook
from pipeline.streams import App
from pipeline.supervisor import Pauses
from pipeline.transport import Consumer

log = logging.getLogger(__name__)

PAUSES: Final = Pauses(first=1.0, longest=60.0)
MOST_POSTS: Final = 8  # under way at once
MOST_WAITING: Final = 1_000  # events that are taken and not posted, before no more are taken
LOOK_EVERY: Final = 5.0  # seconds between two looks at the lag


@dataclass(slots=True)
class Chunk:
    """`left` of its events are not posted yet."""

    event: EventT[Any]
    left: int


@dataclass(slots=True)
class Waiting:
    entry: Entry
    chunk: Chunk


class Webhook:
    """`kinds` says of each topic what its records are."""

    def __init__(self, app: App, name: str, kinds: Mapping[str, str]) -> None:
        self.app = app
        self.name = name
        self.kinds = kinds
        self.hook: Hook
        self.cluster = ""
        self.problem: str | None = "the webhook has not started yet"
        self._patience = app.settings.webhook_patience
        self._lag = Lag(app, name)
        self._lanes: dict[str, deque[Waiting]] = {}
        self._serving: dict[asyncio.Task[None], bool] = {}  # and whether it is at work
        self._tasks: asyncio.TaskGroup
        self._began = asyncio.Event()
        self._posts = asyncio.Semaphore(MOST_POSTS)
        self._waiting = 0
        self._room = asyncio.Event()
        self._undone: dict[Source, dict[int, None]] = {}  # offsets, the lowest first
        self._taken: dict[Source, int] = {}
        self._ends: Mapping[Source, int] = {}
        self._committed: frozenset[Source] = frozenset()
        self._since = time.time()  # an event that is older was nobody's to try before
        self._held_until = 0.0
        self._away_since = 0.0
        self._owner = 0  # goes up whenever partitions come or go
        self._releasing = False

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
        self._releasing = False
        self._taken = {(tp.topic, tp.partition): at for tp, at in positions.items()}
        self._undone = {source: {} for source in self._taken}
        if not self._committed:
            log.info("%s: nothing was posted before, so it begins with what comes now", self.name)
            self._taken |= {source: self._ends.get(source, 0) for source in self._taken}
            go_to = {TP(*source): at for source, at in self._taken.items()}
            cast(Consumer, self.app.consumer).go_to(go_to)
        self.problem = None

    async def release(self) -> None:
        """Let those posts end that are under way; from then on nothing is ours."""
        self._owner += 1
        self._releasing = True
        for task, is_at_work in self._serving.items():
            if not is_at_work:
                task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=self.app.settings.flush_timeout)
        for task in self._serving:
            task.cancel()
        done = {TP(*source): at for source, at in self._posted().items()}
        cast(Consumer, self.app.consumer).settled(done)
        self._lanes, self._undone, self._taken, self._waiting = {}, {}, {}, 0
        self._room.set()

    def _posted(self) -> dict[Source, int]:
        """Below these all is done."""
        return {
            source: next(iter(self._undone[source]), taken) for source, taken in self._taken.items()
        }

    # -- taking

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        owner = self._owner
        await self._began.wait()
        while self._waiting >= MOST_WAITING and owner == self._owner:
            self._room.clear()
            await self._room.wait()
        source = (event.message.topic, event.message.partition)
        entries, refused = entries_of(
            self.kinds[source[0]], cast(list[ConsumerRecord], event.value), UTC
        )
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
            self._lane(entry.content.device_id).append(Waiting(entry, chunk))

    def _lane(self, device_id: str) -> deque[Waiting]:
        lane = self._lanes.get(device_id)
        if lane is None:
            lane = self._lanes[device_id] = deque()
            task = self._tasks.create_task(self._serve(device_id, lane))
            self._serving[task] = False
            task.add_done_callback(lambda ended: self._serving.pop(ended, None))
        return lane

    # -- posting

    async def serve_for_ever(self) -> None:
        """What fails in a lane fails here."""
        async with asyncio.TaskGroup() as self._tasks:
            self._began.set()
            while not self.app.should_stop or self._serving:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _serve(self, device_id: str, lane: deque[Waiting]) -> None:
        while lane and await self._deliver(lane[0].entry):
            self._done(lane.popleft())
        if self._lanes.get(device_id) is lane:
            del self._lanes[device_id]

    def _done(self, one: Waiting) -> None:
        self._undone.get(one.entry.source, {}).pop(one.entry.offset, None)
        self._waiting -= 1
        self._room.set()
        one.chunk.left -= 1
        if not one.chunk.left:
            one.chunk.event.ack()

    async def _deliver(self, entry: Entry) -> bool:
        """Whether it is taken, or told on the rejected topic; not where it was given away."""
        pause, why = 0.0, ""
        until = time.time() + self._patience
        while not self._releasing:
            await self._until_free(until)
            if time.time() >= until and (pause or self._is_held()):
                why = f"given up after {self._patience:.0f} s: {why or self.problem}"
                return await self._refuse(entry, why)
            try:
                if await self._post(entry):
                    return True
                continue  # others have heard meanwhile that it is busy
            except SinkRejected as refused:
                return await self._refuse(entry, str(refused))
            except SinkUnavailable as failed:
                why = str(failed)
                self._note_away(failed)
            until = max(entry.timestamp / 1000, self._since) + self._patience
            pause = PAUSES.after(pause, 0)
            await asyncio.sleep(max(0.0, min(pause, until - time.time())))
        return False

    async def _until_free(self, until: float) -> None:
        """While the receiver wants nothing, but no longer."""
        while (wait := min(self._held_until, until) - time.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    def _is_held(self) -> bool:
        return time.time() < self._held_until

    async def _post(self, entry: Entry) -> bool:
        """Whether it could be posted."""
        async with self._posts:
            if self._is_held():
                return False
            with self._at_work(), metrics.ARCHIVE_SECONDS.labels(self.name).time():
                await self.hook.post(entry, time.time())
        metrics.ARCHIVED.labels(self.name, entry.kind).inc()
        if self._away_since:
            away = time.monotonic() - self._away_since
            log.warning("%s takes events again, after %.1f s", self.name, away)
        self.problem, self._away_since = None, 0.0
        return True

    async def _refuse(self, entry: Entry, why: str) -> bool:
        with self._at_work():
            await refuse(self.app, self.name, [Refused(entry, why[:LONGEST_WHY])])
        return True

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Not to be cut off where it can be waited for."""
        task = cast(asyncio.Task[None], asyncio.current_task())
        self._serving[task] = True
        try:
            yield
        finally:
            self._serving[task] = False

    def _note_away(self, why: SinkUnavailable) -> None:
        metrics.ARCHIVE_FAILURES.labels(self.name).inc()
        if isinstance(why, Busy):
            self._held_until = time.time() + min(why.pause, self._patience)
        if not self._away_since:
            self._away_since = time.monotonic()
            log.warning("%s doesn't take an event, which is tried again: %s", self.name, why)
        self.problem = f"the webhook can't be told: {why}"

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
