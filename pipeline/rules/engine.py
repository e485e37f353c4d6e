"""A device's readings and the passing of time in, alert events out: the rules asked in order.

The engine is a function of its arguments: no clock, no I/O, no draw. The same readings at the same
`at` give the same events, ids and sequence numbers, on whichever worker. A `Device` is mutated in
place; the caller stores it together with the events that came out.

Every message first settles what fell due up to its `at`, in due order and stamped with the due
time, and only then applies itself; so a check or the next reading, whichever comes first, gives the
same event.
"""

from __future__ import annotations

import zlib
from sys import intern
from typing import Any, Final

from pipeline.rules import fault, offline, threshold
from pipeline.rules.lifecycle import Alerts, Episode, Event
from pipeline.rules.rulebook import DEFAULT, Rulebook

MAX_METRICS: Final = 32
REMEMBERED: Final = 16  # readings of a device that a repeat is looked for among
NEVER: Final = float("inf")
UNKNOWN: Final = float("-inf")
VERSION: Final = 1


class Refused(Exception):
    """The reading can't be applied to its device, which is unchanged; `reason` is for counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reading:
    """What a device says. `time` is its own claim, `record_time` that of whoever produced it."""

    __slots__ = ("device_id", "record_time", "sequence", "time", "values")

    def __init__(
        self,
        device_id: str,
        time: float | None,
        record_time: float,
        values: dict[str, float],
        sequence: int | None = None,
    ) -> None:
        self.device_id = device_id
        self.time = time
        self.record_time = record_time
        self.values = values
        self.sequence = sequence


class Device:
    """What is remembered of a device; two are equal if they remember the same.

    `last_seen` is an `at`, `time` the newest judged time and `values` what was newest then (all
    -inf or empty before the first reading). `alerts` is None until the first one is fired: most
    devices of a million never do. A `retired` device remembers nothing but its last starts, and its
    row can be deleted.
    """

    __slots__ = (
        "alerts", "gaps", "id", "last_seen", "readings", "recent", "retired", "time", "values",
    )  # fmt: skip

    def __init__(self, device_id: str) -> None:
        self.id: Final = device_id
        self.alerts: Alerts | None = None
        self.retired = False
        self.last_seen = UNKNOWN
        self.time = UNKNOWN
        self.readings = 0
        self.values: dict[str, float] = {}
        self.gaps: list[float] = []
        self.recent: list[int] = []

    def open_alerts(self) -> list[Episode]:
        return [] if self.alerts is None else list(self.alerts.open.values())

    def cadence(self) -> float:
        """Seconds from one reading to the next, by the median; 0 while no gap is known."""
        return offline.cadence(self.gaps)

    def retire(self) -> None:
        """Forget all but the last starts, which keep the next alert's id from being a used one."""
        self.retired = True
        self.last_seen = UNKNOWN
        self.time = UNKNOWN
        self.readings = 0
        self.values = {}
        self.gaps = []
        self.recent = []

    def pack(self) -> list[Any]:
        """Plain values, cheap to serialise; the first tells their layout."""
        return [
            VERSION, self.retired, self.last_seen, self.time, self.readings, dict(self.values),
            list(self.gaps), list(self.recent), None if self.alerts is None else self.alerts.pack(),
        ]  # fmt: skip

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Device:
        if row[0] != VERSION:
            raise ValueError(f"a device row of version {row[0]}: we read {VERSION}")
        device = Device(device_id)
        device.retired = row[1]
        device.last_seen = row[2]
        device.time = row[3]
        device.readings = row[4]
        device.values = dict(row[5])
        device.gaps = list(row[6])
        device.recent = list(row[7])
        device.alerts = None if row[8] is None else Alerts.unpack(device_id, row[8])
        return device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id and self.pack() == other.pack()


class Engine:
    """`max_skew`: how far a device's time may be from its record's and still be believed.
    `max_lateness`: how old a reading may be, beside the newest, and still be only late.
    `calm`: no device has anything due sooner than this after its last reading."""

    __slots__ = ("calm", "max_lateness", "max_skew", "rulebook")

    def __init__(
        self, rulebook: Rulebook = DEFAULT, max_skew: float = 300.0, max_lateness: float = 300.0
    ) -> None:
        self.rulebook: Final = rulebook
        self.max_skew: Final = max_skew
        self.max_lateness: Final = max_lateness
        rule = rulebook.offline
        self.calm: Final = (
            rulebook.retire_after
            if rule is None
            else min(offline.shortest_limit(rule), rulebook.retire_after)
        )

    def reading(
        self, device: Device, reading: Reading, at: float, judged_from: float
    ) -> tuple[str, list[Event]]:
        """Apply a reading that arrived at `at`. The verdict is judged, late, backfill or repeat.

        Refused leaves the device as it was: `too_many_metrics`.
        """
        values = reading.values
        if len(device.values) + len(values) > MAX_METRICS:
            self._check_metrics(device, values)
        events: list[Event] = []
        if at - device.last_seen >= self.calm:
            events = self.settle(device, at, judged_from)
        judged = self._judged_time(reading, at)
        alerts = device.alerts
        if alerts is not None and alerts.open:
            self._return(alerts, judged, at, events)
        self._count_in(device, at)
        if reading.sequence is not None and self._is_repeat(device, reading):
            return "repeat", events
        # A newest time further ahead of `at` was stamped by a clock that was wrong and has been put
        # back: it must not outlaw every later reading.
        if judged < device.time <= at + self.max_skew:
            old = device.time - judged > self.max_lateness
            return ("backfill" if old else "late"), events
        device.time = judged
        known = device.values
        if known:
            known.update(values)
        else:
            for metric, value in values.items():
                known[intern(metric)] = value  # a million devices share the names
        if (alerts is not None and alerts.open) or not self._is_quiet(values):
            self._judge(device, values, judged, at, events)
        return "judged", events

    def settle(self, device: Device, at: float, judged_from: float) -> list[Event]:
        """What fell due up to `at`, in due order. Silence before `judged_from` is no evidence."""
        retires_at = self._retires_at(device, judged_from)
        offline_at = self._offline_at(device, judged_from)
        events: list[Event] = []
        if offline_at <= at and offline_at <= retires_at:
            events.append(self._go_offline(device))
        if retires_at <= at:
            self._retire(device, events)
        return events

    def due(self, device: Device, judged_from: float) -> float:
        """When `settle` may next have something to say; inf for a device that isn't there."""
        return min(self._offline_at(device, judged_from), self._retires_at(device, judged_from))

    def _check_metrics(self, device: Device, values: dict[str, float]) -> None:
        new = sum(1 for metric in values if metric not in device.values)
        if len(device.values) + new > MAX_METRICS:
            raise Refused("too_many_metrics")

    def _judged_time(self, reading: Reading, at: float) -> float:
        """The device's time if it is plausible, else `at`."""
        time = reading.time
        if time is None:
            return at
        # A record time ahead of `at` is a jump that nobody believes yet: it vouches for nothing.
        beside = min(reading.record_time, at)
        return time if -self.max_skew <= time - beside <= self.max_skew else at

    def _count_in(self, device: Device, at: float) -> None:
        """The device is alive, whatever becomes of its reading."""
        gap = at - device.last_seen
        rule = self.rulebook.offline
        if rule is not None and offline.BURST <= gap < NEVER:
            offline.learn(device.gaps, gap, rule.gaps)
        device.last_seen = at
        device.readings += 1
        device.retired = False

    def _is_repeat(self, device: Device, reading: Reading) -> bool:
        """Whether the very same reading is among the last ones; if not it is now."""
        key = _fingerprint(reading)
        recent = device.recent
        if key in recent:
            return True
        recent.append(key)
        if len(recent) > REMEMBERED:
            del recent[0]
        return False

    def _is_quiet(self, values: dict[str, float]) -> bool:
        quiet = self.rulebook.quiet
        for metric, value in values.items():
            band = quiet.get(metric)
            if band is not None and not (band[0] <= value <= band[1]):
                return False
        return True

    def _judge(
        self,
        device: Device,
        values: dict[str, float],
        judged: float,
        at: float,
        events: list[Event],
    ) -> None:
        alerts = device.alerts
        if alerts is None:
            alerts = device.alerts = Alerts(device.id)
        faulty = False
        for bounds in self.rulebook.ranges:
            found = fault.crossed(bounds, values)
            faulty = faulty or bool(found)
            event = fault.judge(bounds, alerts, values, found, judged, at)
            if event is not None:
                events.append(event)
        if faulty:
            return
        for rule in self.rulebook.thresholds:
            value = values.get(rule.metric)
            if value is None:
                continue
            event = threshold.judge(rule, alerts, value, judged, at)
            if event is not None:
                events.append(event)

    def _return(self, alerts: Alerts, judged: float, at: float, events: list[Event]) -> None:
        rule = self.rulebook.offline
        episode = None if rule is None else alerts.open.get(rule.name)
        if episode is not None:
            events.append(alerts.resolve(episode, "device_returned", judged, at))

    def _offline_at(self, device: Device, judged_from: float) -> float:
        rule = self.rulebook.offline
        if rule is None or device.readings < rule.min_readings:
            return NEVER
        if device.alerts is not None and rule.name in device.alerts.open:
            return NEVER
        limit = offline.limit(rule, device.gaps)
        return offline.judged_at(device.last_seen, limit, judged_from)

    def _retires_at(self, device: Device, judged_from: float) -> float:
        if device.last_seen == UNKNOWN:
            return NEVER
        return max(device.last_seen + self.rulebook.retire_after, judged_from)

    def _go_offline(self, device: Device) -> Event:
        rule = self.rulebook.offline
        assert rule is not None  # noqa: S101  (nothing was due without it)
        due = device.last_seen + offline.limit(rule, device.gaps)
        if device.alerts is None:
            device.alerts = Alerts(device.id)
        return device.alerts.fire(rule.name, rule.severity, "offline", due, due)

    def _retire(self, device: Device, events: list[Event]) -> None:
        due = device.last_seen + self.rulebook.retire_after
        if device.alerts is not None:
            for episode in device.open_alerts():
                value = None if episode.metric is None else device.values.get(episode.metric)
                events.append(device.alerts.resolve(episode, "device_retired", due, due, value))
        device.retire()


def _fingerprint(reading: Reading) -> int:
    """Sequence, device time and values in 63 bits, the same on every worker and in every run."""
    text = f"{reading.time}|{sorted(reading.values.items())}"
    sequence = reading.sequence or 0
    return (sequence & 0x7FFFFFFF) << 32 | zlib.crc32(text.encode())
