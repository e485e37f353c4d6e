"""Chunks of the sources in, readings in the order of their record times out.

A producer that sends no key, or has a partitioner of its own, spreads a device's readings over
partitions; and a backlog of them isn't read evenly: one partition may be an hour ahead of the next.
Where readings are found outside of their device's partition, a worker therefore takes up what it
reads in order of record time, across all its sources. While a source that isn't at its end has
nothing here everything waits for it, because what it brings may be older; one that is at its end
holds nothing up, and one that brings nothing for too long is waited for no more (`give_up`). What
runs ahead is read no further, so that only a few chunks of a source wait.

Record times are producers' claims: the order is by each source's robust clock, which never goes
back. So nothing is overtaken within a partition, and no single claim holds a partition up.

Inboxes come first, until what they held when they became ours is read: see `rekeying`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from faust.types import TP, EventT

from agents.item import Item
from pipeline.rules.clock import PartitionClock
from tables.partition import READINGS, Partition

log = logging.getLogger(__name__)

NEVER: Final = float("inf")


class Chunk:
    """Items that came as one message, acknowledged together once all are taken up."""

    __slots__ = ("event", "items", "taken")

    def __init__(self, event: EventT[Any], items: list[Item]) -> None:
        self.event = event
        self.items = items
        self.taken = 0


class Source:
    """One partition of the readings, or of the inboxes, while it is ours."""

    __slots__ = (
        "backlog_end", "chunks", "clock", "is_inbox", "is_paused", "number", "partition",
        "position", "topic", "tp",
    )  # fmt: skip

    def __init__(self, tp: TP, partition: Partition, backlog_end: int, *, is_inbox: bool) -> None:
        self.tp: Final = tp
        self.topic: Final = tp.topic  # of every item: a look into a named tuple takes longer
        self.number: Final = tp.partition
        self.partition = partition
        self.backlog_end = backlog_end  # where it ended when it became ours
        self.is_inbox = is_inbox
        self.position = -1  # the next offset, behind all that is taken up; -1: not known yet
        self.clock = PartitionClock()
        self.chunks: deque[Chunk] = deque()
        self.is_paused = False

    def put(self, chunk: Chunk, wall: float) -> None:
        clock = self.clock
        for item in chunk.items:
            item.turn = clock.see(item.timestamp / 1000, wall)
        self.chunks.append(chunk)

    def next_time(self) -> float:
        chunk = self.chunks[0]
        return chunk.items[chunk.taken].turn

    def take(self, until: float, at_most: int) -> list[Item]:
        """The items of the first chunk up to that time, for whoever applies them without an
        `await`."""
        chunk = self.chunks[0]
        items = chunk.items
        first = end = chunk.taken
        last = min(len(items), first + at_most)
        while end < last and items[end].turn <= until:
            end += 1
        chunk.taken = end
        if end > first:
            self.position = items[end - 1].record.offset + 1
        return items[first:end]

    def pop_taken(self) -> EventT[Any] | None:
        """The message of the first chunk if all of it is taken up: it waits here no more."""
        chunk = self.chunks[0]
        return self.chunks.popleft().event if chunk.taken == len(chunk.items) else None


class Turn(NamedTuple):
    source: Source
    until: float  # the time from which on it is another source's


class Order:
    """Says whose turn it is. `read_to` and `end_of` tell how far a source is read, and reaches."""

    def __init__(self, read_to: Callable[[Source], int], end_of: Callable[[Source], int]) -> None:
        self._read_to = read_to
        self._end_of = end_of
        self._given_up: set[TP] = set()
        self._unknown = False
        self._is_mixed = False

    def begin(self, sources: Sequence[Source]) -> None:
        """These are our sources from now on. What nobody has ever read may be mixed."""
        self._given_up.clear()
        self._is_mixed = any(source.partition.is_mixed() for source in sources)
        self._unknown = any(source.partition.applied[READINGS] < 0 for source in sources)

    def look(self, sources: Sequence[Source]) -> None:
        """Now and then: once the backlog is read, what wasn't found to be mixed isn't."""
        if self._unknown and not any(map(self.is_behind, sources)):
            self._unknown = False

    def ready(self, sources: Sequence[Source]) -> list[Source]:
        """Those among which the `earliest` may be taken up, until a chunk of theirs is used up."""
        inboxes = [source for source in sources if source.is_inbox and self.is_behind(source)]
        waiting = [source for source in inboxes or sources if source.chunks]
        if inboxes or not (self._is_mixed or self._unknown):
            return waiting[:1]
        if len(waiting) < len(sources) and self.missing(sources):
            return []
        return waiting

    def is_behind(self, source: Source) -> bool:
        return self._read_to(source) < source.backlog_end

    def missing(self, sources: Sequence[Source]) -> list[Source]:
        """Those that aren't at their end, and have nothing here."""
        return [
            source
            for source in sources
            if not source.chunks
            and source.tp not in self._given_up
            and self._read_to(source) < max(source.backlog_end, self._end_of(source))
        ]

    def give_up(self, sources: Sequence[Source]) -> list[TP]:
        """Wait no more for what is missing; which that is."""
        if any(source.is_inbox and self.is_behind(source) for source in sources):
            return []  # what an inbox held can't be done without
        missing = [source.tp for source in self.missing(sources)]
        self._given_up.update(missing)
        return missing

    def came(self, source: Source, *, mixed: bool) -> None:
        """A chunk has; `mixed` if a reading of it has its home elsewhere."""
        self._given_up.discard(source.tp)
        if mixed and not self._is_mixed:
            self._is_mixed = True
            log.info(
                "readings arrive outside of their device's partition (no key, or another "
                "partitioner): all sources are now taken up in order of time"
            )


def earliest(waiting: Sequence[Source]) -> Turn:
    """Whose turn it is among these."""
    first, time, until = waiting[0], waiting[0].next_time(), NEVER
    for source in waiting[1:]:
        other = source.next_time()
        if other < time:
            first, time, until = source, other, time
        elif other < until:
            until = other
    return Turn(first, until)
