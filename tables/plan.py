"""When each row is due a look in, those whose time has come out; what a million cost is what few
do.

A row says when it is due, and which second's bucket it is noted in. A reading puts its device off,
which is one number in a row that is at hand: it stays noted where it is, and when that second has
come it is noted again where it is due by then. So a bucket is never later than its rows are due,
and most rows are looked at once in a few minutes. Within a second there is no order.
"""

from __future__ import annotations

import heapq
from typing import Final

from pipeline.rows import NEVER, Row

MOVES: Final = 50_000  # rows that one look goes through, at half a microsecond each


class Plan:
    __slots__ = ("_buckets", "_seconds")

    def __init__(self) -> None:
        self._buckets: Final[dict[int, list[Row]]] = {}
        self._seconds: Final[list[int]] = []  # heap of the buckets there are

    def note(self, row: Row, when: float) -> None:
        """The row is to be taken from then on; what was noted of it before doesn't hold any more.
        Of inf it is never taken."""
        row.due = when
        if when < row.noted:
            self._put(row, int(max(when, 0.0)))

    def forget(self, row: Row) -> None:
        """There is no such row any more."""
        row.due = row.noted = NEVER

    def take(self, horizon: float, at_most: int) -> list[Row]:
        """Those up to the horizon, earlier seconds first; the rest of what there are next time."""
        taken: list[Row] = []
        later: list[Row] = []  # in the very second of the horizon
        moves = MOVES
        while self._seconds and self._seconds[0] <= horizon and moves and len(taken) < at_most:
            second = self._seconds[0]
            bucket = self._buckets[second]
            while bucket and moves and len(taken) < at_most:
                moves -= 1
                row = bucket.pop()
                if row.noted != float(second):
                    continue  # it was noted in an earlier one
                when, row.noted = row.due, NEVER
                if when <= horizon:
                    row.due = NEVER
                    taken.append(row)
                elif when < second + 1:
                    later.append(row)
                elif when < NEVER:
                    self._put(row, int(when))
            if not bucket:
                del self._buckets[heapq.heappop(self._seconds)]
        for row in later:
            self._put(row, int(horizon))
        return taken

    def _put(self, row: Row, second: int) -> None:
        row.noted = float(second)
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = []
            heapq.heappush(self._seconds, second)
        bucket.append(row)
