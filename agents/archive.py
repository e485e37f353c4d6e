"""Chunks of our topics in, batches of what they say to one sink, and then their acknowledgement.

A batch is written when there is enough for one, or when its first record has waited for long
enough; meanwhile the next one is gathered, and then the source is held. Where the database doesn't
answer, the same batch is tried again with growing pauses: nothing is dropped, and what waits is
seen in `/metrics` and in the group's lag. What the database will never take goes to
`readings-rejected` with its words, before the progress goes on.

Where a partition goes on is what the sink says, not what is committed (`pipeline/sinks/sink.py`).
When that proves wrong, the process ends, and asks anew when it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast
from zoneinfo import ZoneInfo

from aiokafka import ConsumerRecord
from faust.types import TP, EventT

from agents.lag import Lag, ends_of
from agents.refusing import refuse
from pipeline import metrics
from pipeline.sinks.entries import entries_of
from pipeline.sinks.known import sink_of
from pipeline.sinks.sink import (
    Batch,
    Displaced,
    Refused,
    Sink,
    SinkRejected,
    SinkUnavailable,
    Source,
    Span,
)
from pipeline.streams import App, end_process
from pipeline.supervisor import Pauses
from pipeline.transport import Consumer

log = logging.getLogger(__name__)

MOST_BYTES: Final = 8 << 20  # of a batch
PAUSES: Final = Pauses(first=0.5, longest=30.0)
TIDY_EVERY: Final = 60.0  # seconds
TIDY_PAUSE: Final = 0.2  # seconds between two slices
LOOK_EVERY: Final = 5.0  # seconds between two looks at the lag

T = TypeVar("T")


class Released(Exception):
    """The partitions were given away while their batch was tried."""


@dataclass(slots=True)
class Gathered:
    """What the next batch holds so far."""

    batch: Batch = field(default_factory=Batch)
    chunks: list[EventT[Any]] = field(default_factory=list)
    records: int = 0
    size: int = 0
    since: float = 0.0  # when its first chunk came, by the loop's clock


class Archive:
    """One sink, fed from Kafka. `kinds` says of each topic what its records are."""

    def __init__(self, app: App, name: str, kinds: Mapping[str, str]) -> None:
        self.app = app
        self.name = name
        self.kinds = kinds
        self.sink: Sink
        self.cluster = ""
        self.problem: str | None = "the archive has not started yet"
        self._lag = Lag(app, name)
        self._is_positioned = True
        self._naive = ZoneInfo(app.settings.naive_timezone)
        self._stored: Mapping[Source, int] = {}
        self._ends: Mapping[Source, int] = {}
        self._stands: dict[Source, Span] = {}  # with what is gathered
        self._written: dict[Source, Span] = {}  # without
        self._gathered = Gathered()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._writing = asyncio.Lock()
        self._owner = 0  # goes up whenever partitions come or go
        self._releasing = False  # and then nobody waits for a database

    def begin(self) -> None:
        """NoSink where its database isn't set, or can't be."""
        self.sink = sink_of(self.name, self.app.settings)

    async def close(self) -> None:
        if hasattr(self, "sink"):
            await self.sink.close()

    def tasks(self) -> Sequence[Callable[[], Coroutine[None, None, None]]]:
        return self.write_for_ever, self.tidy_for_ever, self.look_for_ever

    # -- partitions come and go

    async def restore(self, assigned: frozenset[TP]) -> None:
        """Ask the database where these go on; sources are still paused."""
        sources = [(tp.topic, tp.partition) for tp in assigned if tp.topic in self.kinds]
        self._stored = {}
        self._is_positioned = False
        self._lag.unknown()
        if sources:
            self._ends = await ends_of(self.app, sources)
            if self.app.settings.archive_migrate == "YES":
                log.info("%s", await self._patiently(self.sink.migrate))
            self._stored = await self._patiently(lambda: self.sink.progress(self.cluster, sources))

    def positioned(self, positions: Mapping[TP, int]) -> None:
        """The sources go on from what is stored, unless that is of another topic, now gone."""
        self._owner += 1
        self._releasing = False
        self._is_positioned = True
        self._stands, self._written = {}, {}
        go_to = {}
        for tp, committed in positions.items():
            source = (tp.topic, tp.partition)
            begin, end = self._stored.get(source), self._ends.get(source, 0)
            if begin is not None and begin > end:
                log.error("%s is stored up to %d and ends at %d: anew", tp, begin, end)
            anew = begin is None or begin > end
            at = 0 if begin is None or anew else begin
            self._stands[source] = self._written[source] = Span(begin, at, anew)
            if at != committed:
                go_to[tp] = at
        cast(Consumer, self.app.consumer).go_to(go_to)
        told = (self.name, len(positions), len(go_to))
        log.info("%s: %d partitions, of which %d go on elsewhere than committed", *told)

    async def release(self) -> None:
        """Write what there is, within a deadline; from then on nothing is ours."""
        self._owner += 1
        self._releasing = True
        try:
            async with asyncio.timeout(self.app.settings.flush_timeout):
                await self.flush()
        except (TimeoutError, Released) as error:
            log.warning("%s: not all that was read is written: %s", self.name, error or "too slow")
        self._stands, self._written, self._gathered = {}, {}, Gathered()
        self._room.set()

    # -- gathering

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        owner = self._owner
        while self._is_full() and owner == self._owner:
            self._room.clear()
            await self._room.wait()
        # what was on its way here while the partitions went would leave a hole
        generation = self.app.consumer_generation_id
        if owner == self._owner and event.message.generation_id == generation:
            self._gather((event.message.topic, event.message.partition), event)

    def _gather(self, source: Source, event: EventT[list[ConsumerRecord]]) -> None:
        gathered, stands = self._gathered, self._stands.get(source)
        if stands is None:
            return  # given away: its next owner reads it
        records = cast(list[ConsumerRecord], event.value)
        entries, refused = entries_of(self.kinds[source[0]], records, self._naive)
        gathered.batch.entries += entries
        gathered.batch.refused += refused
        span = gathered.batch.spans.setdefault(source, Span(stands.begin, 0, stands.anew))
        span.end = event.message.offset + 1
        self._stands[source] = Span(span.end, span.end)
        gathered.since = gathered.since or asyncio.get_running_loop().time()
        gathered.chunks.append(event)
        gathered.records += len(records)
        gathered.size += sum(len(record.value or b"") for record in records)
        self._changed.set()

    def _is_full(self) -> bool:
        gathered = self._gathered
        return gathered.records >= self.app.settings.archive_rows or gathered.size >= MOST_BYTES

    # -- writing

    async def write_for_ever(self) -> None:
        while not self.app.should_stop:
            await self._until_due()
            with contextlib.suppress(Released):
                await self.flush()

    async def _until_due(self) -> None:
        loop, wait = asyncio.get_running_loop(), self.app.settings.archive_wait
        while not self._is_full():
            since = self._gathered.since
            if since and loop.time() >= since + wait:
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(since + wait if since else None):
                    await self._changed.wait()

    async def flush(self) -> None:
        """Write what is gathered. Released if it was given away meanwhile."""
        owner = self._owner
        async with self._writing:
            gathered, self._gathered = self._gathered, Gathered()
            self._room.set()
            if not gathered.chunks or owner != self._owner:
                return
            try:
                await self._write(gathered.batch, owner)
            except Released:
                self._gathered = Gathered()  # what came after it can't go before it
                raise
            if owner == self._owner:
                self._written |= gathered.batch.spans
            for chunk in gathered.chunks:
                chunk.ack()

    async def _write(self, batch: Batch, owner: int) -> None:
        with metrics.ARCHIVE_SECONDS.labels(self.name).time():
            await self._patiently(
                lambda: self.sink.write(self.cluster, batch, self._refuse, time.time()), owner
            )
        for kind, number in Counter(entry.kind for entry in batch.entries).items():
            metrics.ARCHIVED.labels(self.name, kind).inc(number)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], owner: int | None = None) -> T:
        """Until it succeeds, with growing pauses; Released once an owner is not ours any more."""
        pause, away_since = 0.0, 0.0
        while True:
            try:
                done = await attempt()
            except SinkUnavailable as why:
                metrics.ARCHIVE_FAILURES.labels(self.name).inc()
                away_since = away_since or time.monotonic()
                pause = PAUSES.after(pause, 0)
                self.problem = f"{self.name} can't be written: {why}"
                log.warning("%s; trying again in %.1f s", self.problem, pause)
            except Displaced as why:
                end_process(f"{self.name}: {why}")
            else:
                if away_since:
                    away = time.monotonic() - away_since
                    log.warning("%s can be written again, after %.1f s", self.name, away)
                self.problem = None
                return done
            if not await self._still(owner, pause):
                raise Released("given away before the database answered")

    async def _still(self, owner: int | None, pause: float) -> bool:
        """Wait for so long, while it is ours; whether it still is."""
        until = time.monotonic() + pause
        while self._is_ours(owner) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(min(0.1, pause))
        return self._is_ours(owner)

    def _is_ours(self, owner: int | None) -> bool:
        return owner is None or (owner == self._owner and not self._releasing)

    async def _refuse(self, refused: Sequence[Refused]) -> None:
        await refuse(self.app, self.name, refused)

    # -- beside that

    async def tidy_for_ever(self) -> None:
        """Delete what is kept no longer, a slice at a time."""
        while not self.app.should_stop:
            await asyncio.sleep(TIDY_EVERY)
            try:
                while await self.sink.tidy(time.time()):  # noqa: ASYNC110  (a slice at a time)
                    await asyncio.sleep(TIDY_PAUSE)
            except (SinkUnavailable, SinkRejected) as why:  # a foreign key of somebody else's
                log.warning("%s can't be tidied: %s", self.name, why)

    async def look_for_ever(self) -> None:
        """What waits, in the metrics; what doesn't, in the database."""
        while not self.app.should_stop:
            await asyncio.sleep(LOOK_EVERY)
            if not self._is_positioned:
                continue
            written = {source: span.end for source, span in self._written.items()}
            current = {source: written[source] for source in await self._lag.look(written)}
            try:
                await self.sink.current(self.cluster, current)
            except Displaced as why:
                end_process(f"{self.name}: {why}")
            except SinkUnavailable as why:
                log.warning("%s can't be told how current it is: %s", self.name, why)
