"""What a rule decided in, the alert's events out: fired, updated, resolved.

This file owns every transition of an alert. An alert of a rule and a device is an episode:

    (none) --fire--> open --change--> open --resolve--> (none)

and each arrow is one method of `Alerts`, which returns exactly one event with the next `seq`.
The state is mutated in place; the caller stores it together with the events it was given.

Nothing here draws an id: `alert_id` follows from the device, the rule and `started_at`, so the same
readings give the same ids. `started_at` strictly rises per device and rule, or two episodes could
share an id; that is why the last start outlives its episode.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

NAMESPACE: Final = uuid.UUID(
    "8a379eb2-6d79-5d28-8978-0381b93a9890"
)  # never changes: ids hang on it


class Event:
    """One step of an alert: every field of the wire but its words. Times are seconds, UTC."""

    __slots__ = (
        "acked", "acked_by", "alert_id", "clear", "count", "detected_at", "device_id", "event",
        "metric", "note", "previous_severity", "reason", "resolved_at", "rule", "seq", "severity",
        "stale", "started_at", "status", "suppressed_by", "threshold", "timestamp", "unit", "value",
    )  # fmt: skip

    def __init__(
        self, device_id: str, episode: Episode, event: str, reason: str, timestamp: float, at: float
    ) -> None:
        self.device_id = device_id
        self.event = event
        self.reason = reason
        self.timestamp = timestamp
        self.detected_at = at
        self.alert_id = episode.alert_id
        self.seq = episode.seq
        self.rule = episode.rule
        self.severity = episode.severity
        self.previous_severity: str | None = None
        self.metric = episode.metric
        self.value: float | None = None
        self.unit: str | None = None
        self.threshold = episode.threshold
        self.clear = episode.clear
        self.count = episode.count
        self.started_at = episode.started_ms / 1000
        self.status = "active"
        self.resolved_at: float | None = None
        self.acked = False
        self.acked_by: str | None = None
        self.note: str | None = None
        self.stale = False
        self.suppressed_by: str | None = None


class Episode:
    """An open alert. `level` is its step of a ladder, `faults` the bound each metric crossed."""

    __slots__ = (
        "alert_id", "clear", "count", "faults", "level", "metric", "rule", "seq", "severity",
        "started_ms", "threshold",
    )  # fmt: skip

    def __init__(self, device_id: str, rule: str, started_ms: int, severity: str) -> None:
        self.rule = rule
        self.started_ms = started_ms
        self.alert_id = str(uuid.uuid5(NAMESPACE, f"{device_id}|{rule}|{started_ms}"))
        self.severity = severity
        self.seq = 0
        self.count = 0
        self.level = 0
        self.metric: str | None = None
        self.threshold: float | None = None
        self.clear: float | None = None
        self.faults: dict[str, float] = {}

    def pack(self) -> list[Any]:
        return [
            self.rule, self.started_ms, self.severity, self.seq, self.count, self.level,
            self.metric, self.threshold, self.clear, dict(self.faults),
        ]  # fmt: skip

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Episode:
        episode = Episode(device_id, row[0], row[1], row[2])
        episode.seq = row[3]
        episode.count = row[4]
        episode.level = row[5]
        episode.metric = row[6]
        episode.threshold = row[7]
        episode.clear = row[8]
        episode.faults = dict(row[9])
        return episode


class Alerts:
    """The alerts of one device: the open ones, and when each rule's last one started (ms)."""

    __slots__ = ("device_id", "open", "starts")

    def __init__(self, device_id: str) -> None:
        self.device_id: Final = device_id
        self.open: dict[str, Episode] = {}
        self.starts: dict[str, int] = {}

    def pack(self) -> list[Any]:
        return [dict(self.starts), [episode.pack() for episode in self.open.values()]]

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Alerts:
        alerts = Alerts(device_id)
        alerts.starts = dict(row[0])
        for packed in row[1]:
            episode = Episode.unpack(device_id, packed)
            alerts.open[episode.rule] = episode
        return alerts

    def fire(
        self,
        rule: str,
        severity: str,
        reason: str,
        timestamp: float,
        at: float,
        *,
        metric: str | None = None,
        value: float | None = None,
        threshold: float | None = None,
        clear: float | None = None,
        level: int = 0,
        count: int = 0,
    ) -> Event:
        if rule in self.open:
            raise ValueError(f"{self.device_id}: {rule} is open already")
        started_ms = round(timestamp * 1000)
        if rule in self.starts:
            started_ms = max(started_ms, self.starts[rule] + 1)
        self.starts[rule] = started_ms
        episode = Episode(self.device_id, rule, started_ms, severity)
        episode.metric = metric
        episode.threshold = threshold
        episode.clear = clear
        episode.level = level
        episode.count = count
        self.open[rule] = episode
        return self._event(episode, "fired", reason, timestamp, at, value)

    def change(
        self,
        episode: Episode,
        severity: str,
        level: int,
        threshold: float,
        clear: float,
        timestamp: float,
        at: float,
        value: float,
    ) -> Event:
        """The alert goes on at another level, up or down."""
        previous = episode.severity
        episode.severity = severity
        episode.level = level
        episode.threshold = threshold
        episode.clear = clear
        event = self._event(episode, "updated", "severity_changed", timestamp, at, value)
        event.previous_severity = previous
        return event

    def resolve(
        self,
        episode: Episode,
        reason: str,
        timestamp: float,
        at: float,
        value: float | None = None,
    ) -> Event:
        del self.open[episode.rule]
        event = self._event(episode, "resolved", reason, timestamp, at, value)
        event.status = "resolved"
        # The judged time of a late reading can lie before a start that was somebody else's time.
        event.resolved_at = max(timestamp, event.started_at)
        return event

    def _event(
        self,
        episode: Episode,
        event: str,
        reason: str,
        timestamp: float,
        at: float,
        value: float | None,
    ) -> Event:
        episode.seq += 1
        made = Event(self.device_id, episode, event, reason, timestamp, at)
        made.value = value
        return made
