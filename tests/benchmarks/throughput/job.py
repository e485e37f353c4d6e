"""A device's state and a reading in, the changed state and alerts out: what the others do.

The contestants in Python share this, each keeping the state where its kind keeps it; ours has its
own engine. The thresholds are those of `deploy/rules.toml`. Standard library and msgspec alone,
since not every contestant runs in our virtual environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

WINDOW = 300.0


class Line(NamedTuple):
    severity: str
    fires: float
    clears: float


class Rule(NamedTuple):
    name: str
    metric: str
    sign: int  # 1: above the line; -1: below
    lines: Sequence[Line]


RULES = (
    Rule("temperature-high", "temperature", 1, [Line("danger", 35, 33)]),
    Rule("temperature-low", "temperature", -1, [Line("warning", 10, 12)]),
    Rule("humidity-high", "humidity", 1, [Line("warning", 80, 75)]),
    Rule("humidity-low", "humidity", -1, [Line("warning", 20, 25)]),
    Rule("battery", "battery", -1, [Line("warning", 20, 25), Line("danger", 5, 8)]),
)


class Reading(msgspec.Struct):
    device_id: str
    temperature: float
    humidity: float
    battery: float
    timestamp: datetime


class Window(msgspec.Struct, array_like=True):
    """The mean is the total over the count."""

    start: float = -1.0  # before all of them
    count: int = 0
    total: float = 0.0
    low: float = 0.0
    high: float = 0.0
    last: float = 0.0

    def add(self, start: float, value: float) -> None:
        self.last = value
        if self.start != start:
            self.start, self.count, self.total, self.low, self.high = start, 1, value, value, value
            return
        self.count += 1
        self.total += value
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value


class Device(msgspec.Struct, array_like=True):
    last_seen: float = 0.0
    temperature: Window = msgspec.field(default_factory=Window)
    humidity: Window = msgspec.field(default_factory=Window)
    battery: Window = msgspec.field(default_factory=Window)
    alerts: dict[str, int] = msgspec.field(default_factory=dict)  # open ones, each at its line


def judge(device: Device, reading: Reading) -> Sequence[dict[str, Any]]:
    """Most readings are within all lines of a device without an alert: they pass."""
    at = reading.timestamp.timestamp()
    start = at - at % WINDOW
    device.last_seen = at
    device.temperature.add(start, reading.temperature)
    device.humidity.add(start, reading.humidity)
    device.battery.add(start, reading.battery)
    if (
        not device.alerts
        and 10 <= reading.temperature <= 35
        and 20 <= reading.humidity <= 80
        and reading.battery >= 20
    ):
        return ()
    return list(changes(device.alerts, reading))


def changes(alerts: dict[str, int], reading: Any) -> Iterator[dict[str, Any]]:
    """What this reading fires, raises, lowers or resolves; `alerts` follows it."""
    for rule in RULES:
        value = getattr(reading, rule.metric)
        before = alerts.get(rule.name, -1)
        after = _line(rule, value, before)
        if after == before:
            continue
        if after < 0:
            del alerts[rule.name]
        else:
            alerts[rule.name] = after
        yield {
            "device_id": reading.device_id,
            "rule": rule.name,
            "event": "fired" if before < 0 else "resolved" if after < 0 else "updated",
            "severity": rule.lines[max(before, after) if after < 0 else after].severity,
            "metric": rule.metric,
            "value": value,
            "timestamp": reading.timestamp.isoformat(),
        }


def _line(rule: Rule, value: float, before: int) -> int:
    """The worst line that the value is beyond, or was and hasn't cleared; -1: none."""
    for number in range(len(rule.lines) - 1, -1, -1):
        line = rule.lines[number]
        limit = line.clears if number <= before else line.fires
        beyond = (value - limit) * rule.sign
        if beyond > 0 or (beyond == 0 and number <= before):
            return number
    return -1
