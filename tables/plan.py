"""When each row may be due in, those whose time has come out; what a million cost is what few do.

A row has a place in two arrays: from when on it wants to be looked at, and the second in whose
bucket it is noted. A reading puts its device off, which is one store in the first array: the row
stays noted where it is, and when that second has come it is noted again where it wants to be by
then. So a bucket is never later than its rows want, and most rows are moved once in a few minutes,
by numbers that lie together; the rows themselves, which lie all over the memory, aren't touched.
Within a second there is no order.
"""

from __future__ import annotations

import heapq
from array import array
from typing import Final

from pipeline.rows import UNPLACED, Row

NEVER: Final = float("inf")
MOVES: Final = 50_000  # places that one look goes through, at a third of a microsecond each


class Plan:
    __slots__ = ("_buckets", "_free", "_noted", "_rows", "_seconds", "_times")

    def __init__(self) -> None:
        self._rows: Final[list[Row | None]] = []
        self._times: Final = array("d")
        self._noted: Final = array("d")
        self._free: Final[list[int]] = []
        self._buckets: Final[dict[int, array[int]]] = {}
        self._seconds: Final[list[int]] = []  # heap of the buckets there are

    def note(self, row: Row, when: float) -> None:
        """The row is to be taken from then on; what was noted of it before doesn't hold any more.
        Of inf it is never taken."""
        place = row.place
        if place == UNPLACED:
            place = self._admit(row)
        times = self._times
        before, times[place] = times[place], when
        if when < before and when < self._noted[place]:
            self._put(place, int(max(when, 0.0)))

    def forget(self, row: Row) -> None:
        """There is no such row any more."""
        place = row.place
        if place != UNPLACED:
            self._rows[place], self._times[place], self._noted[place] = None, NEVER, NEVER
            self._free.append(place)
            row.place = UNPLACED

    def take(self, horizon: float, at_most: int) -> list[Row]:
        """Those up to the horizon, earlier seconds first; the rest of what there are next time."""
        taken: list[Row] = []
        later: list[int] = []  # in the very second of the horizon
        moves = MOVES
        while self._seconds and self._seconds[0] <= horizon and moves and len(taken) < at_most:
            second = self._seconds[0]
            bucket = self._buckets[second]
            while bucket and moves and len(taken) < at_most:
                moves -= 1
                place = bucket.pop()
                if self._noted[place] != second:
                    continue  # it was noted in an earlier one
                when, self._noted[place] = self._times[place], NEVER
                if when <= horizon:
                    taken.append(self._taken(place))
                elif when < second + 1:
                    later.append(place)
                elif when < NEVER:
                    self._put(place, int(when))
            if not bucket:
                del self._buckets[heapq.heappop(self._seconds)]
        for place in later:
            self._put(place, int(horizon))
        return taken

    def when(self, row: Row) -> float:
        return NEVER if row.place == UNPLACED else self._times[row.place]

    def _taken(self, place: int) -> Row:
        row, self._times[place] = self._rows[place], NEVER
        assert row is not None  # noqa: S101  (of a free place nothing is noted)
        return row

    def _admit(self, row: Row) -> int:
        if self._free:
            row.place = self._free.pop()
            self._rows[row.place] = row
        else:
            row.place = len(self._rows)
            self._rows.append(row)
            self._times.append(NEVER)
            self._noted.append(NEVER)
        return row.place

    def _put(self, place: int, second: int) -> None:
        self._noted[place] = second
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = array("I")
            heapq.heappush(self._seconds, second)
        bucket.append(place)
