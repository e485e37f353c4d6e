"""Rows in, those whose time has come out; what a million cost is what few do.

A row is noted in the bucket of the second in which it wants to be looked at (`wake_at`): noting it
is an append, and taking it a pop, where a heap of a million touches twenty places of memory for
each. A row whose `wake_at` was set anew since isn't there any more. Within a second there is no
order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from pipeline.rows import Row


class Plan:
    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets: Final[dict[int, list[Row]]] = {}
        self._seconds: Final[list[int]] = []  # heap of the buckets there are

    def __iter__(self) -> Iterator[Row]:
        for bucket in self._buckets.values():
            yield from bucket

    def add(self, row: Row) -> None:
        self._bucket(int(row.wake_at)).append(row)

    def take(self, horizon: float, at_most: int) -> list[Row]:
        """Those up to the horizon, earlier seconds first."""
        taken: list[Row] = []
        while self._seconds and self._seconds[0] <= horizon and len(taken) < at_most:
            second = heapq.heappop(self._seconds)
            noted = [r for r in self._buckets.pop(second) if second <= r.wake_at < second + 1]
            later = [row for row in noted if row.wake_at > horizon]
            come = [row for row in noted if row.wake_at <= horizon] if later else noted
            room = at_most - len(taken)
            taken += come[:room]
            if rest := later + come[room:]:
                self._bucket(second).extend(rest)
                break
        return taken

    def clear(self) -> None:
        self._buckets.clear()
        self._seconds.clear()

    def _bucket(self, second: int) -> list[Row]:
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = []
            heapq.heappush(self._seconds, second)
        return bucket
