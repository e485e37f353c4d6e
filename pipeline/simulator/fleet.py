"""Options and a time in, a fleet's life out: its readings, and every episode of trouble in it.

Each device draws from a source of its own, so that the same seed, start and options give the same
readings, to the byte, however many of them are taken.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, takewhile
from random import Random
from typing import Final, NamedTuple

from pipeline.rules import Reading
from pipeline.simulator.trouble import KINDS, Kind
from pipeline.simulator.weather import PLACES, Weather

FOREVER: Final = float("inf")
READINGS_A_TROUBLE: Final = 15
FEWEST: Final = 6  # readings of an episode: one of them at least is at its worst
SEEN: Final = 4  # readings without which nobody is missed by the default rules
# Seconds of silence, and gaps between readings, that the default rules take for no absence.
PATIENCE, GAPS = 60.0, 3.0
# What comes within a second is one transmission for the offline rule, which then learns no cadence;
# and with more than ten minutes no absence fits between what is missed and an hour.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 1.1, 600.0


@dataclass(frozen=True)
class Options:
    """`trouble` is the share of its time that a device is in trouble, `episode` how long that
    lasts (0: 15 readings), `shares` how often each kind is drawn beside the others."""

    devices: int = 25
    interval: float = 2.0
    trouble: float = 0.3
    episode: float = 0.0
    seed: int = 1
    shares: Mapping[str, float] = field(
        default_factory=lambda: {name: kind.share for name, kind in KINDS.items()}
    )

    def __post_init__(self) -> None:
        if not SHORTEST_INTERVAL <= self.interval <= LONGEST_INTERVAL:
            raise ValueError(f"an interval of {self.interval} s isn't between 1.1 s and 10 min")
        if self.trouble and not any(self.shares.values()):
            raise ValueError("no kind of trouble has a share")

    @property
    def lasting(self) -> float:
        return self.episode or READINGS_A_TROUBLE * self.interval


class Trouble(NamedTuple):
    """A device in it, from the first reading that it concerns to the first that is well.

    `rule` is the default rule that must have fired between the two, once, and resolved; None: none.
    """

    device_id: str
    kind: str
    started_at: float
    ended_at: float
    rule: str | None


Happened = tuple[float, Reading | Trouble]


def live(options: Options, start: float, until: float = FOREVER) -> Iterator[Happened]:
    """All that happens from `start` to before `until`, in order of time; each with its time.

    An episode comes as it begins, before its readings. One that wouldn't be over by `until` doesn't
    begin.
    """
    devices = (_Device(options, number, start) for number in range(options.devices))
    lives = [device.live(until) for device in devices]
    return heapq.merge(*lives, key=lambda happened: happened[0])


class _Device:
    def __init__(self, options: Options, number: int, start: float) -> None:
        place = PLACES[number % len(PLACES)]
        self.id = f"sim-{place.name}-{number // len(PLACES) + 1}"
        self._options = options
        self._draw = Random(f"{options.seed}/{number}")  # noqa: S311 - nothing secret hangs on it
        self._first = start + self._draw.random() * options.interval
        self._weather = Weather(place, self._draw)

    def live(self, until: float) -> Iterator[Happened]:
        step = 0
        # squared, so that there is something to see soon
        pause = self._draw.random() ** 2 * self._pause(self._options.lasting)
        while pause < FOREVER:
            name, kind = self._drawn()
            begin = step + max(SEEN if kind.absent else 1, round(pause / self._options.interval))
            end = begin + self._steps(kind)
            if self._time(end) >= until:
                break
            yield from self._usual(range(step, begin))
            yield from self._in_trouble(name, kind, begin, end)
            step = end
            lasted = (end - begin) * self._options.interval
            pause = self._draw.uniform(0.5, 1.5) * self._pause(lasted)
        rest = takewhile(lambda number: self._time(number) < until, count(step))
        yield from self._usual(rest)

    def _drawn(self) -> tuple[str, Kind]:
        shares = self._options.shares
        (name,) = self._draw.choices(list(shares), list(shares.values()))
        return name, KINDS[name]

    def _pause(self, lasted: float) -> float:
        """After trouble that lasted so long, on average."""
        trouble = self._options.trouble
        return lasted * (1 - trouble) / trouble if trouble else FOREVER

    def _steps(self, kind: Kind) -> int:
        interval = self._options.interval
        length = self._options.lasting * self._draw.uniform(0.7, 1.3)
        if kind.absent:
            length = max(length, 1.5 * max(PATIENCE, GAPS * interval))
        steps = max(FEWEST, math.ceil(length / interval))
        if kind.longest < FOREVER:
            # from the reading before to the one after
            steps = min(steps, math.floor(kind.longest / interval) - 1)
        return steps

    def _usual(self, steps: Iterable[int]) -> Iterator[Happened]:
        for step in steps:
            yield self._happened(self._reading(step))

    def _in_trouble(self, name: str, kind: Kind, begin: int, end: int) -> Iterator[Happened]:
        started, ended = self._time(begin), self._time(end)
        yield started, Trouble(self.id, name, started, ended, kind.rule)
        usual = [self._reading(step) for step in range(begin, end)]
        for reading in kind.happen(usual, self._draw, ended):
            yield self._happened(reading)

    def _reading(self, step: int) -> Reading:
        at = self._time(step)
        return Reading(self.id, at, at, self._weather.values(at))

    def _happened(self, reading: Reading) -> Happened:
        return reading.record_time, reading

    def _time(self, step: int) -> float:
        return round(self._first + step * self._options.interval, 3)
