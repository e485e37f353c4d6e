"""Closed windows in; the newest of each device and metric, and the whole fleet's, out. No I/O.

Two bounded memories. `Series` holds the newest windows, whoever's they are, in one ring: a row of
columns each, linked to the row of the next older one of its device and metric. When the ring is
full, the window goes that came first. `Sums` adds up the whole fleet's in steps of five minutes,
for eight days, of 64 metrics at the most.

Of a device, metric, start and seconds the window of the highest revision holds; so the sums are
told what a further one adds. A revision counts readings, and more readings move a minimum only down
and a maximum only up: count and sum are put right by their differences, the others by comparing.
Where the ring has forgotten the first one, a further one counts again; but who tells windows again
after a crash tells those of the last seconds, and these are still there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import datetime
from sys import intern
from typing import Annotated, Final, NamedTuple

import msgspec

from pipeline.records import iso
from pipeline.rules.window import DIGITS

ALWAYS: Final = float("-inf")
NOBODY: Final = -1
FARTHEST: Final = 5_000  # windows of a series that a late one may go back by
STEP: Final = 300  # seconds of one of the fleet's sums
STEPS, STEPS_AND_SOME = 2_304, 2_600  # of a metric: eight days, and how many until some are dropped
METRICS: Final = 64

Count = Annotated[int, msgspec.Meta(ge=1, lt=1 << 62)]  # what our columns can hold


class Window(msgspec.Struct, frozen=True):
    """What is used of one."""

    device_id: str
    metric: str
    start: datetime
    seconds: Annotated[float, msgspec.Meta(gt=0)]
    revision: Count
    count: Count
    mean: float
    min: float
    max: float


class Part(NamedTuple):
    """What some readings of a metric came to, beginning at `start`."""

    start: float
    readings: int
    total: float
    min: float
    max: float


class Series:
    """The newest `most` windows. A window has a number, which counts up; its row is that modulo
    `most`, and holds it until the number is too old."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 0
        self._newest: dict[
            str, dict[str, int]
        ] = {}  # device and metric to the number of its newest
        self._whose: list[tuple[str, str]] = []
        self._older = array("q")
        self._start = array("d")
        self._seconds = array("d")
        self._count = array("q")
        self._total = array("d")
        self._min = array("d")
        self._max = array("d")
        self.forgotten = ALWAYS
        """Where the newest of the windows ended that were forgotten."""

    def __len__(self) -> int:
        return min(self._next, self._most)

    def devices(self) -> list[str]:
        return list(self._newest)

    def metrics(self, device_id: str) -> list[str]:
        return sorted(self._newest.get(device_id, ()))

    def add(self, window: Window) -> Part | None:
        """What it adds to what was known of it; None where that is nothing."""
        start, metric = window.start.timestamp(), window.metric
        newer, row = NOBODY, NOBODY
        number = self._newest.get(window.device_id, {}).get(metric, NOBODY)
        place = (start, window.seconds)
        for _ in range(FARTHEST):
            if not self._holds(number):
                break
            row = number % self._most
            there = (self._start[row], self._seconds[row])
            if there == place:
                return self._revise(row, window)
            if there < place:
                break
            newer, number = number, self._older[row]
        else:
            return None
        self._insert(window, start, number, newer)
        return Part(start, window.count, window.mean * window.count, window.min, window.max)

    def walk(self, device_id: str, metric: str, since: float) -> Iterator[Part]:
        """The newest first. What comes meanwhile does no harm."""
        number = self._newest.get(device_id, {}).get(metric, NOBODY)
        while self._holds(number):
            row = number % self._most
            if self._start[row] < since:
                return
            yield self._part(row)
            number = self._older[row]

    def _holds(self, number: int) -> bool:
        return number >= 0 and number >= self._next - self._most

    def _part(self, row: int) -> Part:
        return Part(
            self._start[row], self._count[row], self._total[row], self._min[row], self._max[row]
        )

    def _revise(self, row: int, window: Window) -> Part | None:
        more = window.count - self._count[row]
        if more <= 0:
            return None
        total = window.mean * window.count
        added = Part(self._start[row], more, total - self._total[row], window.min, window.max)
        self._count[row], self._total[row] = window.count, total
        self._min[row], self._max[row] = window.min, window.max
        return added

    def _insert(self, window: Window, start: float, older: int, newer: int) -> None:
        number, row = self._next, self._next % self._most
        whose = self._whose_is(window, older if self._holds(older) else newer)
        if number >= self._most:
            self._forget(row, number - self._most)
            self._whose[row] = whose
        else:
            self._grow(whose)
        self._next += 1
        self._older[row] = older
        self._start[row], self._seconds[row] = start, window.seconds
        self._count[row], self._total[row] = window.count, window.mean * window.count
        self._min[row], self._max[row] = window.min, window.max
        if self._holds(newer):
            self._older[newer % self._most] = number
        else:
            self._newest.setdefault(whose[0], {})[whose[1]] = number

    def _whose_is(self, window: Window, neighbour: int) -> tuple[str, str]:
        """Its device and metric: one tuple for all windows of a series."""
        if self._holds(neighbour):
            return self._whose[neighbour % self._most]
        return (intern(window.device_id), intern(window.metric))

    def _grow(self, whose: tuple[str, str]) -> None:
        self._whose.append(whose)
        for column in (self._older, self._count):
            column.append(0)
        for values in (self._start, self._seconds, self._total, self._min, self._max):
            values.append(0.0)

    def _forget(self, row: int, number: int) -> None:
        self.forgotten = max(self.forgotten, self._start[row] + self._seconds[row])
        device_id, metric = self._whose[row]
        newest = self._newest.get(device_id, {})
        if newest.get(metric) == number:
            del newest[metric]
            if not newest:
                del self._newest[device_id]


class Cell:
    """Some readings of one metric, added up."""

    __slots__ = ("count", "max", "min", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.min = float("inf")
        self.max = float("-inf")

    def add(self, part: Part) -> None:
        self.count += part.readings
        self.total += part.total
        self.min = min(self.min, part.min)
        self.max = max(self.max, part.max)

    def part(self, start: float) -> Part:
        return Part(start, self.count, self.total, self.min, self.max)


class Sums:
    """The whole fleet's, by metric and step of time."""

    def __init__(self) -> None:
        self._cells: dict[str, dict[float, Cell]] = {}
        self.forgotten = ALWAYS
        """Where the newest of the steps ended that were dropped."""

    def metrics(self) -> list[str]:
        return sorted(self._cells)

    def add(self, metric: str, part: Part) -> None:
        cells = self._cells.get(metric)
        if cells is None:
            if len(self._cells) == METRICS:
                return
            cells = self._cells[metric] = {}
        start = part.start // STEP * STEP
        if start < self.forgotten:
            return
        cell = cells.get(start)
        if cell is None:
            cell = cells[start] = Cell()
            if len(cells) > STEPS_AND_SOME:
                self._drop(cells)
        cell.add(part)

    def walk(self, metric: str, since: float) -> Iterator[Part]:
        for start, cell in list(self._cells.get(metric, {}).items()):
            if start >= since:
                yield cell.part(start)

    def _drop(self, cells: dict[float, Cell]) -> None:
        for start in sorted(cells)[:-STEPS]:
            del cells[start]
            self.forgotten = max(self.forgotten, start + STEP)


# -- what is told


class Bucket(msgspec.Struct, frozen=True):
    start: str
    count: int
    mean: float
    min: float
    max: float


def bucket(part: Part) -> Bucket:
    mean = float(format(part.total / part.readings, DIGITS))
    return Bucket(iso(part.start), part.readings, mean, part.min, part.max)
