"""A metric's values in, its newest one and what they come to in the open window out."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from pipeline.rules.rulebook import ANY, Band

SHARED: Final = 10_000  # layouts that are kept for other devices
ABSENT: Final = float("nan")  # the value of a metric that only late readings have had


@mypyc_attr(acyclic=True)
class Metric:
    """One metric of a device: its newest value, and the open window, of which nothing is said while
    `count` is 0. `time` is that of the `last` value.

    A value from `low` to `high` is nothing new: no rule has anything to say about it while no alert
    is open (that is its band, of the device's page), nor is it an extreme of the window. Most are
    such; neither number is stored.

    Every reading of every device ends here, and the devices fit in no cache: what belongs together
    lies together, and compiled it is nine numbers in a row.
    """

    __slots__ = ("count", "high", "last", "low", "max", "min", "time", "total", "value")

    def __init__(self, value: float) -> None:
        self.value = value
        self.low = ANY.low
        self.high = ANY.high
        self.count = 0
        self.total = 0.0
        self.min = 0.0
        self.max = 0.0
        self.last = 0.0
        self.time = 0.0

    def heed(self, band: Band) -> None:
        self.low = max(band.low, self.min) if self.count else band.low
        self.high = min(band.high, self.max) if self.count else band.high

    def begin(self, value: float, time: float, band: Band) -> None:
        """The first value of the open window."""
        self.count = 1
        self.total = self.min = self.max = self.last = value
        self.time = time
        self.heed(band)

    def count_in(self, value: float, time: float, band: Band) -> None:
        """One more of the open window, in whatever order they come."""
        if not self.count:
            self.begin(value, time, band)
            return
        self.count += 1
        self.total += value
        if value < self.min:
            self.min = value
            self.low = value if value > band.low else band.low
        elif value > self.max:
            self.max = value
            self.high = value if value < band.high else band.high
        if time >= self.time:
            self.last = value
            self.time = time

    def drop(self, band: Band) -> None:
        """What is said of the open window."""
        self.count = 0
        self.heed(band)

    def pack(self) -> list[float]:
        """A cell of a window."""
        return [float(self.count), self.total, self.min, self.max, self.last, self.time]

    def unpack(self, cell: list[float], band: Band) -> None:
        self.count = int(cell[0])
        self.total, self.min, self.max, self.last, self.time = cell[1:]
        self.heed(band)


class Layout:
    """In which place a device has which metric: one for all devices that have met the same metrics
    in the same order, as most of a fleet have. A dict a device would be four times its size, and
    two more places of memory to go to for each reading."""

    __slots__ = ("_after", "_room", "places")

    def __init__(self, places: dict[str, int], room: list[int]) -> None:
        self.places: Final = places
        self._after: Final[dict[str, Layout]] = {}
        self._room: Final = room  # for how many more, of all that have grown from the first

    def with_another(self, name: str) -> Layout:
        """That of a device which meets one more."""
        found = self._after.get(name)
        if found is None:
            found = Layout({**self.places, name: len(self.places)}, self._room)
            if self._room[0] > 0:
                self._room[0] -= 1
                self._after[name] = found
        return found


NONE_MET: Final = Layout({}, [SHARED])
