"""The readings a device would have sent in; what it sends in trouble out.

Each kind says which default rule must fire while it lasts, if any. The numbers here are beyond the
lines of README's table by more than the noise; that the rules agree is a test, not an import.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from pipeline.rules import Reading
from pipeline.simulator.weather import measured

FOREVER: Final = float("inf")
HOUR: Final = 3600.0
# A partition doesn't believe a jump of more than an hour before its third record: a lone device
# that is away for longer would be judged some readings after its return.
AWAY: Final = HOUR - 1
# A forgotten time zone, an hour of summer, a clock that fell back; None: it counts from its boot.
WRONG_CLOCKS: Final = (-6 * HOUR, HOUR, -105 * 24 * HOUR, None)

Happening = Callable[[list[Reading], Random, float], list[Reading]]
"""What would have been sent, a source of chance and the end of it all in, what is sent out."""


class Kind(NamedTuple):
    happen: Happening
    rule: str | None
    share: float
    """Of all trouble, beside the shares of the other kinds."""
    absent: bool = False
    longest: float = FOREVER  # seconds


def _drift(metric: str, low: float, high: float) -> Happening:
    """There in a quarter of the time, and back in another."""

    def happen(usual: list[Reading], draw: Random, _: float) -> list[Reading]:
        far, ramp, number = draw.uniform(low, high), max(1, len(usual) // 4), len(usual)
        parts = [min(1.0, (n + 1) / ramp, (number - n) / ramp) for n in range(number)]
        return _moved(usual, metric, far, parts, draw)

    return happen


def _run_down(usual: list[Reading], draw: Random, _: float) -> list[Reading]:
    """A battery that empties, and is replaced."""
    number = len(usual)
    parts = [(n + 1) / number for n in range(number)]
    return _moved(usual, "battery", draw.uniform(2.0, 14.0), parts, draw)


def _moved(
    usual: list[Reading], metric: str, far: float, parts: list[float], draw: Random
) -> list[Reading]:
    """Each reading's metric, that part of the way from its usual value to the far one."""
    return [
        _with(reading, metric, reading.values[metric] * (1 - part) + far * part, draw)
        for reading, part in zip(usual, parts, strict=True)
    ]


def _with(reading: Reading, metric: str, value: float, draw: Random) -> Reading:
    values = {**reading.values, metric: measured(metric, value, draw)}
    return Reading(reading.device_id, reading.time, reading.record_time, values)


def _no_answer(usual: list[Reading], _: Random, __: float) -> list[Reading]:
    """0xFFFF hundredths, which recorded networks send where the sensor didn't answer."""
    nothing = {"temperature": -0.01, "humidity": 655.35}
    return [
        Reading(one.device_id, one.time, one.record_time, {**one.values, **nothing})
        for one in usual
    ]


def _stuck(usual: list[Reading], _: Random, __: float) -> list[Reading]:
    values = usual[0].values
    return [Reading(one.device_id, one.time, one.record_time, dict(values)) for one in usual]


def _wrong_clock(usual: list[Reading], draw: Random, _: float) -> list[Reading]:
    """It boots, which costs a reading, and has forgotten what time it is."""
    wrong = draw.choice(WRONG_CLOCKS)
    shift = -usual[0].record_time if wrong is None else wrong
    return [
        Reading(one.device_id, round(one.record_time + shift, 3), one.record_time, one.values)
        for one in usual[1:]
    ]


def _silence(_: list[Reading], __: Random, ___: float) -> list[Reading]:
    return []


def _buffered(usual: list[Reading], _: Random, back: float) -> list[Reading]:
    """Its network is down: it keeps what it measures, and sends all of it in the end."""
    return [Reading(one.device_id, one.time, back, one.values) for one in usual]


KINDS: Final = {
    "heat": Kind(_drift("temperature", 37.5, 46.0), "temperature-high", 3),
    "frost": Kind(_drift("temperature", -6.0, 7.5), "temperature-low", 2),
    "flood": Kind(_drift("humidity", 84.0, 97.0), "humidity-high", 2),
    "drought": Kind(_drift("humidity", 5.0, 16.0), "humidity-low", 2),
    "flat-battery": Kind(_run_down, "battery", 2),
    "no-answer": Kind(_no_answer, "sensor-fault", 2),
    "silence": Kind(_silence, "offline", 1, absent=True, longest=AWAY),
    "buffered": Kind(_buffered, "offline", 1, absent=True, longest=AWAY),
    "wrong-clock": Kind(_wrong_clock, None, 1),
    "stuck": Kind(_stuck, None, 1, longest=5 * HOUR),  # from 6 h on it would be a sensor's fault
}
