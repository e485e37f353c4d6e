"""A device's readings in, what each of its metrics came to in every window of time out.

A window closes when a reading of a later one comes; a reading that falls into a closed one gives
it again, with a higher revision. Which readings it has in the end doesn't depend on the order in
which they came, and so neither do its numbers (the mean to ten digits: a sum of floats does).
The open one isn't here: its numbers are with the device's metrics (`metric`).

The revision is how many readings it has. So what is decided again after a crash, in another order
or after a window that wasn't closed the first time, can't come under a revision that is too low:
all of its readings have the highest one, and the same numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

from mypy_extensions import mypyc_attr

from pipeline.rules.metric import NONE_MET, Layout

DIGITS: Final = ".10g"
CELL: Final = 6  # numbers
NO_CELL: Final = [0.0] * CELL


@mypyc_attr(acyclic=True)
class Window:
    """A closed one of a device; `revision` is how often it was. `numbers` are a cell for each place
    of the `layout`: count (0: the metric has none here), sum, min, max, last, time of the last.

    Each device keeps one for as long as readings of it may be late, which is most of the time: a
    dict of lists would take as much memory as all that the device is beside.
    """

    __slots__ = ("end", "layout", "numbers", "revision", "start")

    def __init__(
        self,
        start: float,
        end: float,
        layout: Layout = NONE_MET,
        numbers: Sequence[float] = (),
    ) -> None:
        self.start = start
        self.end = end
        self.revision = 0
        self.layout = layout
        self.numbers: array[float] = array("d", numbers)

    def metrics(self) -> list[str]:
        """Those that have a cell."""
        return [name for name, at in self.layout.places.items() if self.numbers[at * CELL]]

    def cell(self, metric: str) -> list[float]:
        start = self.layout.places[metric] * CELL
        return self.numbers[start : start + CELL].tolist()

    def put(self, metric: str, cell: list[float]) -> None:
        start = self._place(metric)
        self.numbers[start : start + CELL] = array("d", cell)

    def add(self, values: dict[str, float], time: float) -> None:
        numbers = self.numbers
        for metric, value in values.items():
            at = self._place(metric)
            if not numbers[at]:
                self.put(metric, [1.0, value, value, value, value, time])
                continue
            numbers[at] += 1.0
            numbers[at + 1] += value
            if value < numbers[at + 2]:
                numbers[at + 2] = value
            elif value > numbers[at + 3]:
                numbers[at + 3] = value
            if time >= numbers[at + 5]:
                numbers[at + 4] = value
                numbers[at + 5] = time

    def _place(self, metric: str) -> int:
        """Where its cell begins; an empty one if it had none."""
        place = self.layout.places.get(metric, -1)
        if place < 0:
            place = len(self.layout.places)
            self.layout = self.layout.with_another(metric)
            self.numbers.extend(NO_CELL)
        return place * CELL

    def pack(self) -> list[Any]:
        cells = {metric: self.cell(metric) for metric in self.metrics()}
        return [self.start, self.end, self.revision, cells]

    @staticmethod
    def unpack(row: list[Any]) -> Window:
        layout = NONE_MET
        numbers: list[float] = []
        for metric, cell in row[3].items():
            layout = layout.with_another(metric)
            numbers += cell
        window = Window(row[0], row[1], layout, numbers)
        window.revision = row[2]
        return window


@mypyc_attr(acyclic=True)
class Closed:
    """One metric of a closed window: (device, metric, start, seconds) is its identity, and of those
    the one of the highest revision holds."""

    __slots__ = (
        "count", "device_id", "last", "max", "mean", "metric", "min", "revision", "seconds",
        "start",
    )  # fmt: skip

    def __init__(self, device_id: str, window: Window, metric: str) -> None:
        cell = window.cell(metric)
        self.device_id = device_id
        self.metric = metric
        self.start = window.start
        self.seconds = window.end - window.start
        self.revision = self.count = int(cell[0])
        self.mean = float(format(cell[1] / cell[0], DIGITS))
        self.min = cell[2]
        self.max = cell[3]
        self.last = cell[4]


def add(windows: list[Window], values: dict[str, float], time: float, width: float) -> Window:
    """Count the values into their closed window, or one that is closed by that."""
    start = start_of(time, width)
    at = len(windows)
    while at and windows[at - 1].start > start:
        at -= 1
    if not at or windows[at - 1].start < start:
        windows.insert(at, Window(start, start + width))
        at += 1
    window = windows[at - 1]
    window.add(values, time)
    window.revision += 1
    return window


def start_of(time: float, width: float) -> float:
    return time // width * width


def forget(windows: list[Window], before: float) -> None:
    """No reading can fall into the windows that ended before that."""
    while windows and windows[0].end <= before:
        del windows[0]
