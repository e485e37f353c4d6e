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

from typing import Any, Final

DIGITS: Final = ".10g"


class Window:
    """A closed one of a device; `revision` is how often it was. A cell is one metric's
    [count, sum, min, max, last, time of the last]."""

    __slots__ = ("cells", "end", "revision", "start")

    def __init__(self, start: float, end: float) -> None:
        self.start = start
        self.end = end
        self.revision = 0
        self.cells: dict[str, list[float]] = {}

    def add(self, values: dict[str, float], time: float) -> None:
        cells = self.cells
        for metric, value in values.items():
            cell = cells.get(metric)
            if cell is None:
                cells[metric] = [1.0, value, value, value, value, time]
                continue
            cell[0] += 1.0
            cell[1] += value
            if value < cell[2]:
                cell[2] = value
            elif value > cell[3]:
                cell[3] = value
            if time >= cell[5]:
                cell[4] = value
                cell[5] = time

    def pack(self) -> list[Any]:
        cells = {metric: list(cell) for metric, cell in self.cells.items()}
        return [self.start, self.end, self.revision, cells]

    @staticmethod
    def unpack(row: list[Any]) -> Window:
        window = Window(row[0], row[1])
        window.revision = row[2]
        window.cells = {metric: list(cell) for metric, cell in row[3].items()}
        return window


class Closed:
    """One metric of a closed window: (device, metric, start, seconds) is its identity, and of those
    the one of the highest revision holds."""

    __slots__ = (
        "count", "device_id", "last", "max", "mean", "metric", "min", "revision", "seconds",
        "start",
    )  # fmt: skip

    def __init__(self, device_id: str, window: Window, metric: str) -> None:
        cell = window.cells[metric]
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
