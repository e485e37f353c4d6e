"""A metric's values in, its newest one and what they come to in the open window out."""

from __future__ import annotations

from typing import Final

ABSENT: Final = float("nan")  # the value of a metric that only late readings have had


class Metric:
    """One metric of a device. All but `value` are of the open window, and say nothing while `count`
    is 0; `time` is that of the `last` value.

    Every reading of every device ends here, and the devices fit in no cache: what belongs together
    lies together, and compiled it is eight numbers in a row.
    """

    __slots__ = ("count", "last", "max", "min", "time", "total", "value")

    def __init__(self, value: float) -> None:
        self.value = value
        self.count = 0
        self.total = 0.0
        self.min = 0.0
        self.max = 0.0
        self.last = 0.0
        self.time = 0.0

    def begin(self, value: float, time: float) -> None:
        """The first value of the open window."""
        self.count = 1
        self.total = self.min = self.max = self.last = value
        self.time = time

    def pack(self) -> list[float]:
        """A cell of a window."""
        return [float(self.count), self.total, self.min, self.max, self.last, self.time]

    def unpack(self, cell: list[float]) -> None:
        self.count = int(cell[0])
        self.total, self.min, self.max, self.last, self.time = cell[1:]
