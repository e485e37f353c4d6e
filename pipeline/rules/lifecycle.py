"""What a rule decided in, the alert's events out: fired, updated, reminder, acked, resolved.

This file owns every transition of an alert. An alert of a rule and a device is an episode:

    (none) --hold--> pending --fire--> open --resolve--> (none)
                        |               |^ change, regrade, suppress, unsuppress, restate,
                        |               ||   remind, acknowledge, let_out
                     (none) <--drop     └┘

Each arrow is one method of `Alerts`; all but `hold` and `drop` return exactly one event with the
next `seq`. The state is mutated in place; the caller stores it together with the events it was
given.

Nothing here draws an id: `alert_id` follows from the device, the rule and `started_at`, so the same
readings give the same ids. `started_at` strictly rises per device and rule, or two episodes could
share an id; that is why the last start outlives its episode.

Pending counts judged time and readings, so a silent device never fires. Reminders count `at`, and
pause while the alert is acknowledged or stale: nobody needs to hear what is known, or not known.
They also pause after `REMINDERS` in a row with nothing heard of the device in between, and go on
when it is: however long a silence was, one message tells no more than that of an alert, and the
same as checks in between would have told.
A stale alert is one whose device is silent. It is suppressed by the offline alert until a judged
reading ends that; whether it is still true is then for the readings to say. A resolution is never
suppressed.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from pipeline.rules.rulebook import SEVERITIES

NAMESPACE: Final = uuid.UUID(
    "8a379eb2-6d79-5d28-8978-0381b93a9890"
)  # never changes: ids hang on it
NEVER: Final = float("inf")
REMINDERS: Final = 24  # a day of hourly ones; whom they haven't moved, more won't


class Event:
    """One step of an alert: every field of the wire but its words. Times are seconds, UTC.

    `kind` is the rule's, for the words: threshold, range, flatline, offline, fleet. `devices` are
    those that the alert of a fleet is about.
    """

    __slots__ = (
        "acked", "acked_by", "alert_id", "clear", "count", "detected_at", "device_id", "devices",
        "event", "kind", "metric", "note", "previous_severity", "reason", "resolved_at", "rule",
        "seq", "severity", "stale", "started_at", "status", "suppressed_by", "threshold",
        "timestamp", "unit", "value",
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
        self.kind = episode.kind
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
        self.acked = episode.acked_by is not None
        self.acked_by = episode.acked_by
        self.note = episode.note
        self.stale = episode.stale
        self.suppressed_by = episode.suppressed_by
        self.devices = episode.devices


class Episode:
    """An open alert. `level` is its step of a ladder, `faults` the bound each metric crossed.

    `normal_since` is the judged time from which the value was normal though the alert is kept,
    `remind_at` when the next reminder is due, `hash` that of the rule it was last judged by,
    `silenced_by` the silence that its last event was under and `silenced_until` when that was to
    end (`silence`), `reminded` how many
    reminders there were since the device was heard, or something else was said of the alert.
    """

    __slots__ = (
        "acked_by", "alert_id", "clear", "count", "devices", "faults", "hash", "kind", "level",
        "metric", "normal_since", "note", "remind_at", "reminded", "rule", "seq", "severity",
        "silenced_by", "silenced_until", "stale", "started_ms", "suppressed_by", "threshold",
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
        self.kind = "threshold"
        self.hash = 0
        self.normal_since = NEVER
        self.remind_at = NEVER
        self.reminded = 0
        self.stale = False
        self.suppressed_by: str | None = None
        self.acked_by: str | None = None
        self.note: str | None = None
        self.silenced_by: str | None = None
        self.silenced_until = 0.0
        self.devices: list[str] = []

    def pack(self) -> list[Any]:
        return [
            self.rule, self.started_ms, self.severity, self.seq, self.count, self.level,
            self.metric, self.threshold, self.clear, dict(self.faults), self.kind, self.hash,
            self.normal_since, self.remind_at, self.stale, self.suppressed_by, self.acked_by,
            self.note, self.silenced_by, list(self.devices), self.reminded,
            self.silenced_until,
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
        if len(row) == 10:  # of a time with no more than one kind of each
            episode.kind = _kind(episode)
            return episode
        episode.kind = row[10]
        episode.hash = row[11]
        episode.normal_since = row[12]
        episode.remind_at = row[13]
        episode.stale = row[14]
        episode.suppressed_by = row[15]
        episode.acked_by = row[16]
        episode.note = row[17]
        episode.silenced_by = row[18]
        episode.devices = list(row[19]) if len(row) > 19 else []
        episode.reminded = row[20] if len(row) > 20 else 0
        episode.silenced_until = row[21] if len(row) > 21 else 0.0
        return episode


class Alerts:
    """The alerts of one device: the open ones, and when each rule's last one started (ms).

    `progress` holds what a rule has seen on its way to an alert, as numbers that are the rule's
    own; `due` is the earliest reminder.
    """

    __slots__ = ("device_id", "due", "open", "progress", "starts")

    def __init__(self, device_id: str) -> None:
        self.device_id: Final = device_id
        self.open: dict[str, Episode] = {}
        self.starts: dict[str, int] = {}
        self.progress: dict[str, list[float]] = {}
        self.due = NEVER

    def pack(self) -> list[Any]:
        packed = [episode.pack() for episode in self.open.values()]
        return [dict(self.starts), packed, {rule: list(p) for rule, p in self.progress.items()}]

    @staticmethod
    def unpack(device_id: str, row: list[Any]) -> Alerts:
        alerts = Alerts(device_id)
        alerts.starts = dict(row[0])
        for packed in row[1]:
            episode = Episode.unpack(device_id, packed)
            alerts.open[episode.rule] = episode
        for _progress in row[2:]:
            alerts.progress = {rule: list(numbers) for rule, numbers in _progress.items()}
        alerts._plan()
        return alerts

    # -- pending

    def hold(
        self, rule: str, level: int, judged: float, seconds: float, repeat: int
    ) -> tuple[int, int]:
        """One more reading is beyond a line. The level that has been held for long enough, or -1,
        and how many readings have been."""
        seen = self.progress.get(rule)
        if seen is None:
            seen = self.progress[rule] = [judged, 0.0, float(level)]
        seen[1] += 1.0
        seen[2] = min(seen[2], float(level))
        if seen[1] < repeat or judged - seen[0] < seconds:
            return -1, int(seen[1])
        del self.progress[rule]
        return int(seen[2]), int(seen[1])

    def drop(self, rule: str) -> None:
        """What was pending isn't."""
        if self.progress:
            self.progress.pop(rule, None)

    # -- open

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
        kind: str = "threshold",
        rule_hash: int = 0,
        remind: float = 0.0,
        devices: list[str] | None = None,
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
        episode.kind = kind
        episode.hash = rule_hash
        episode.devices = devices or []
        self.open[rule] = episode
        self._remind(episode, at, remind)
        return self._event(episode, "fired", reason, timestamp, at, value)

    def change(
        self,
        episode: Episode,
        severity: str,
        level: int,
        threshold: float | None,
        clear: float | None,
        timestamp: float,
        at: float,
        value: float | None,
        remind: float = 0.0,
    ) -> Event:
        """The alert goes on at another level, up or down."""
        previous = _grade(episode, severity, level)
        episode.threshold = threshold
        episode.clear = clear
        episode.stale = False  # a reading has said so
        episode.suppressed_by = None
        self._remind(episode, at, remind)
        event = self._event(episode, "updated", "severity_changed", timestamp, at, value)
        event.previous_severity = previous
        return event

    def regrade(
        self, episode: Episode, severity: str, level: int, at: float, value: float | None
    ) -> Event:
        """Its rule gives it another severity now. No reading has said so: what is stale stays it.
        Its reminders are for the caller to plan again."""
        previous = _grade(episode, severity, level)
        event = self._event(episode, "updated", "rule_changed", at, at, value)
        event.previous_severity = previous
        return event

    def suppress(self, episode: Episode, by: str, timestamp: float) -> Event:
        """Its device has fallen silent: the alert stays, and nobody knows whether it is true."""
        episode.stale = True
        episode.suppressed_by = by
        self._remind(episode, NEVER, 0.0)
        return self._event(episode, "updated", "stale", timestamp, timestamp, None)

    def unsuppress(
        self,
        episode: Episode,
        known: bool,
        timestamp: float,
        at: float,
        value: float | None,
        remind: float = 0.0,
    ) -> Event:
        """The device is back and the alert still open; `known` if a reading has said so."""
        reason = "unsuppressed" if episode.suppressed_by is not None else "stale"
        episode.suppressed_by = None
        episode.stale = not known
        self._remind(episode, at, remind if known else 0.0)
        return self._event(episode, "updated", reason, timestamp, at, value)

    def restate(self, episode: Episode, reason: str, at: float) -> Event:
        """It goes on, for another reason."""
        return self._event(episode, "updated", reason, at, at, None)

    def remind(self, episode: Episode, every: float, value: float | None) -> Event:
        """Stamped with the time it was due, and the next one counts from there."""
        due, told = episode.remind_at, episode.reminded + 1
        self._remind(episode, due, every if told < REMINDERS else 0.0)
        episode.reminded = told
        return self._event(episode, "reminder", "reminder", due, due, value)

    def acknowledge(
        self, episode: Episode, by: str, note: str | None, at: float, value: float | None
    ) -> Event | None:
        """None where the very same is said already."""
        if (episode.acked_by, episode.note) == (by, note):
            return None
        episode.acked_by = by
        episode.note = note
        self._remind(episode, NEVER, 0.0)
        return self._event(episode, "acked", "manual", at, at, value)

    def let_out(self, episode: Episode, at: float, value: float | None) -> Event:
        """The silence that it was under is over, and it is still open."""
        return self._event(episode, "updated", "unsuppressed", at, at, value)

    def resolve(
        self,
        episode: Episode,
        reason: str,
        timestamp: float,
        at: float,
        value: float | None = None,
    ) -> Event:
        del self.open[episode.rule]
        self._plan()
        episode.stale = False
        episode.suppressed_by = None
        event = self._event(episode, "resolved", reason, timestamp, at, value)
        event.status = "resolved"
        # The judged time of a late reading can lie before a start that was somebody else's time.
        event.resolved_at = max(timestamp, event.started_at)
        return event

    def heard(self, episode: Episode, at: float, every: float) -> None:
        """Of its device: reminders count anew, and go on if they had paused."""
        if episode.reminded >= REMINDERS:
            self._remind(episode, at, every)
        episode.reminded = 0

    def plan_again(self, episode: Episode, at: float, every: float) -> None:
        """Its rule has other reminders now, or none."""
        self._remind(episode, at, every)

    def _remind(self, episode: Episode, at: float, every: float) -> None:
        quiet = not every or episode.stale or episode.acked_by is not None
        episode.remind_at = NEVER if quiet else at + every
        episode.reminded = 0
        self._plan()

    def _plan(self) -> None:
        self.due = min((episode.remind_at for episode in self.open.values()), default=NEVER)

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


def _grade(episode: Episode, severity: str, level: int) -> str:
    """The severity it had. Whoever took note of a milder one hasn't of this."""
    previous = episode.severity
    episode.severity = severity
    episode.level = level
    if SEVERITIES.index(severity) > SEVERITIES.index(previous):
        episode.acked_by = episode.note = None
    return previous


def _kind(episode: Episode) -> str:
    if episode.metric is None:
        return "offline"
    return "range" if episode.faults else "threshold"
