"""Events that were relayed in; those that a viewer has missed out, if that can be proven. No I/O.

Of every partition it holds all that was relayed from some offset on: the last events, so many and
so old at the most, however many partitions share them. A cursor at or after all of those offsets
is proof that nothing else was missed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.web.alerts import Alert
from pipeline.web.cursor import Cursor


class Told(NamedTuple):
    at: float
    """Its record's time."""
    partition: int
    offset: int
    alert: Alert


class Recent:
    def __init__(self, most: int, age: float) -> None:
        self._most = most
        self._age = age
        self._partitions: dict[int, deque[Told]] = {}
        self._from: dict[int, int] = {}
        """Partition to the offset from which on all is here."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def newest(self) -> float | None:
        """When the last event was told, if there is one."""
        return max((events[-1].at for events in self._partitions.values() if events), default=None)

    def clear(self) -> None:
        self._partitions.clear()
        self._from.clear()
        self._count = 0

    def begin(self, partition: int, offset: int) -> None:
        """What follows is all of a new partition from here on; a known one goes on as it is."""
        if partition not in self._from:
            self._from[partition] = offset
            self._partitions[partition] = deque()

    def add(self, told: Told) -> None:
        """The partition's next event."""
        self._partitions[told.partition].append(told)
        self._count += 1
        while self._count > self._most:
            self._drop(min((q for q in self._partitions.values() if q), key=_first_at))

    def forget(self, at: float) -> None:
        """What is too old by now."""
        for events in self._partitions.values():
            while events and events[0].at < at - self._age:
                self._drop(events)

    def since(self, cursor: Cursor, ends: dict[int, int]) -> list[Told] | None:
        """What was relayed after it, up to the ends, in order; None where it isn't all here."""
        if len(cursor.offsets) > len(ends):
            return None
        seen = dict(enumerate(cursor.offsets))  # a partition that was added since: from its start
        for partition, end in ends.items():
            if not self._from.get(partition, end + 1) <= seen.get(partition, 0) <= end:
                return None
        parts = [_after(q, seen.get(partition, 0)) for partition, q in self._partitions.items()]
        # by time across partitions; of one partition in its order, whatever the times
        return list(heapq.merge(*parts, key=_at))

    def _drop(self, events: deque[Told]) -> None:
        told = events.popleft()
        self._from[told.partition] = told.offset + 1
        self._count -= 1


def onward(cursor: Cursor, partitions: int, missed: list[Told]) -> Iterator[tuple[str, Alert]]:
    """Each with the cursor of one who has seen it and all before."""
    offsets = [*cursor.offsets, *[0] * (partitions - len(cursor.offsets))]
    for told in missed:
        offsets[told.partition] = told.offset + 1
        yield Cursor(cursor.log, tuple(offsets)).text(), told.alert


def _after(events: deque[Told], offset: int) -> list[Told]:
    """From the newest back: who comes back has seen most of them."""
    missed: list[Told] = []
    for told in reversed(events):
        if told.offset < offset:
            break
        missed.append(told)
    missed.reverse()
    return missed


def _at(told: Told) -> float:
    return told.at


def _first_at(events: deque[Told]) -> float:
    return events[0].at
