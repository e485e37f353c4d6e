"""Times and devices in, the devices whose time has come out; what a million cost is what few do.

A bucket a second: noting a device is an append, and taking it a pop, where a heap of a million
touches twenty places of memory for each. Within a second there is no order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

Entry = tuple[float, str]  # when, the device's id


class Plan:
    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets: Final[dict[int, list[Entry]]] = {}
        self._seconds: Final[list[int]] = []  # heap of the buckets there are

    def __iter__(self) -> Iterator[Entry]:
        for bucket in self._buckets.values():
            yield from bucket

    def add(self, when: float, device_id: str) -> None:
        self._bucket(int(when)).append((when, device_id))

    def take(self, horizon: float, at_most: int) -> list[Entry]:
        """Those up to the horizon, earlier seconds first."""
        taken: list[Entry] = []
        while self._seconds and self._seconds[0] <= horizon and len(taken) < at_most:
            second = heapq.heappop(self._seconds)
            bucket = self._buckets.pop(second)
            later = [entry for entry in bucket if entry[0] > horizon]
            come = [entry for entry in bucket if entry[0] <= horizon] if later else bucket
            room = at_most - len(taken)
            taken += come[:room]
            if rest := later + come[room:]:
                self._bucket(second).extend(rest)
                break
        return taken

    def clear(self) -> None:
        self._buckets.clear()
        self._seconds.clear()

    def _bucket(self, second: int) -> list[Entry]:
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = []
            heapq.heappush(self._seconds, second)
        return bucket
