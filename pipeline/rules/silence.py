"""What may be quiet for a while in; which silence an alert's event is under, and its end, out.

A silence has a matcher (device, rule, severity) and an end. An event of an alert that it matches is
marked with its id and still told to whoever wants to know; a resolution is never marked. An alert
that was marked and is still open when the silence ends is told once more, as `unsuppressed`: in due
order, before whatever happened later.

Time is that of the events: a silence holds for what is detected from its start to before its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from math import nextafter
from typing import Any, Final

from pipeline.rules.engine import Device, Engine
from pipeline.rules.lifecycle import Episode, Event
from pipeline.rules.rulebook import SEVERITIES

LONGEST: Final = 366 * 86_400.0  # seconds
LONGEST_GLOB: Final = 256
AT_MOST: Final = 1_000  # silences of one partition
NEVER: Final = float("inf")


class Full(Exception):
    """As many silences hold as may be."""


class Silence:
    """Who wants what to be quiet, from when until when, and why. ValueError, in words, where it
    can't be meant. Times are seconds, UTC; None of a matcher's three matches all."""

    __slots__ = (
        "_device",
        "_rule",
        "by",
        "comment",
        "created_at",
        "device",
        "ends_at",
        "id",
        "rule",
        "severity",
        "starts_at",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        device: str | None,
        rule: str | None,
        severity: str | None,
        by: str,
        comment: str | None,
        created_at: float,
        starts_at: float,
        ends_at: float,
    ) -> None:
        self.id: Final = id
        self.device: Final = device
        self.rule: Final = rule
        self.severity: Final = severity
        self.by: Final = by
        self.comment: Final = comment
        self.created_at: Final = created_at
        self.starts_at: Final = starts_at
        self.ends_at = ends_at
        self._check()
        self._device: Final = _pattern(device)
        self._rule: Final = _pattern(rule)

    def _check(self) -> None:
        if not (self.device or self.rule or self.severity):
            raise ValueError("a silence needs a device, a rule or a severity to match")
        for name, glob in (("device", self.device), ("rule", self.rule)):
            if glob is not None and len(glob) > LONGEST_GLOB:
                raise ValueError(f"{name} is longer than {LONGEST_GLOB} characters")
        if self.severity is not None and self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")
        if self.ends_at <= self.starts_at:
            raise ValueError("a silence must end after it starts")
        if self.ends_at - min(self.created_at, self.starts_at) > LONGEST:
            raise ValueError("a silence must end within a year")

    def matches(self, device_id: str, rule: str, severity: str, at: float) -> bool:
        return (
            self.starts_at <= at < self.ends_at
            and (self.severity is None or self.severity == severity)
            and (self._device is None or self._device.match(device_id) is not None)
            and (self._rule is None or self._rule.match(rule) is not None)
        )

    def pack(self) -> list[Any]:
        return [
            self.id, self.device, self.rule, self.severity, self.by, self.comment,
            self.created_at, self.starts_at, self.ends_at,
        ]  # fmt: skip

    @staticmethod
    def unpack(row: list[Any]) -> Silence:
        """Where it was ended early that may have been before it began."""
        starts_at, ends_at = row[7:]
        silence = Silence(*[*row[:8], max(ends_at, nextafter(starts_at, NEVER))])
        silence.ends_at = ends_at
        return silence


def _pattern(glob: str | None) -> re.Pattern[str] | None:
    return re.compile(translate(glob)) if glob else None


class Silences:
    """The silences of one partition, oldest first, and the devices that an open alert was marked
    of: who has to be told of an end."""

    __slots__ = ("_known", "marked")

    def __init__(self) -> None:
        self._known: dict[str, Silence] = {}
        self.marked: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Silence]:
        return iter(self._known.values())

    def get(self, silence_id: str) -> Silence | None:
        return self._known.get(silence_id)

    def add(self, silence: Silence) -> bool:
        """False where it is known already; Full where there is no room for it."""
        if silence.id in self._known:
            return False
        if len(self._known) >= AT_MOST:
            raise Full
        self._known[silence.id] = silence
        return True

    def remove(self, silence_id: str) -> None:
        del self._known[silence_id]

    def over(self, at: float) -> list[Silence]:
        return [silence for silence in self if silence.ends_at <= at]

    def pack(self) -> list[Any]:
        return [silence.pack() for silence in self]

    def unpack(self, rows: list[Any]) -> None:
        for row in rows:
            silence = Silence.unpack(row)
            self._known[silence.id] = silence

    # -- the alerts of a device

    def match(self, device_id: str, rule: str, severity: str, at: float) -> str | None:
        for silence in self:
            if silence.matches(device_id, rule, severity, at):
                return silence.id
        return None

    def concern(self, device: Device) -> bool:
        """Whether an event of the device may have to be marked, or an end told."""
        return bool(self._known) or (bool(self.marked) and device.id in self.marked)

    def mark(self, device: Device, events: Iterable[Event]) -> None:
        """Say of each event which silence it is under, and remember it with its alert."""
        for event in events:
            if event.event == "resolved":
                continue
            episode = None if device.alerts is None else device.alerts.open.get(event.rule)
            if episode is None or episode.alert_id != event.alert_id:  # it has ended since
                by = self._holding(device, event)
            else:
                if event.event != "acked":  # which is under what its alert is under
                    self._hold(episode, self._holding(device, event))
                by = episode.silenced_by
            event.suppressed_by = event.suppressed_by or by
        self.note(device)

    def _holding(self, device: Device, event: Event) -> str | None:
        return self.match(device.id, event.rule, event.severity, event.detected_at)

    def note(self, device: Device) -> None:
        """Whether an open alert of the device is marked."""
        if any(episode.silenced_by is not None for episode in device.open_alerts()):
            self.marked.add(device.id)
        else:
            self.marked.discard(device.id)

    def due(self, device: Device) -> float:
        """When the first silence over an open alert of the device ends."""
        if device.id not in self.marked:
            return NEVER
        return min(map(self._end, device.open_alerts()), default=NEVER)

    def settle(self, engine: Engine, device: Device, at: float, judged_from: float) -> list[Event]:
        """What fell due up to `at`, ends of silences among it, in due order and marked.

        Each due time is settled on its own: an event is under what holds then, whatever a later one
        makes of its alert, so checks in between change nothing."""
        if not self.concern(device):
            return engine.settle(device, at, judged_from)
        events: list[Event] = []
        if device.page is None or device.page.root is not engine.rulebook:
            self._told(device, engine.adopt(device, at), events)
        while (due := min(self.due(device), engine.due(device, judged_from))) <= at:
            self._told(device, engine.settle(device, due, judged_from), events)
            if self.due(device) <= due:
                events += self.release(device, due)
        return events

    def _told(self, device: Device, new: list[Event], events: list[Event]) -> None:
        self.mark(device, new)
        events += new

    def release(self, device: Device, at: float) -> list[Event]:
        """What silences that are over by then held; what another one still holds isn't told."""
        events = []
        for episode in device.open_alerts():
            if self._end(episode) > at:
                continue
            self._hold(episode, self.match(device.id, episode.rule, episode.severity, at))
            out = episode.silenced_by is None and episode.suppressed_by is None
            if out and device.alerts is not None:
                since = max(at, episode.started_ms / 1000)
                value = device.value_of(episode)
                events.append(device.alerts.let_out(episode, since, value))
        self.note(device)
        return events

    def _hold(self, episode: Episode, by: str | None) -> None:
        episode.silenced_by = by
        episode.silenced_until = NEVER if by is None else self._known[by].ends_at

    def _end(self, episode: Episode) -> float:
        """After a crash a row may know a silence that its partition hasn't read again yet."""
        if episode.silenced_by is None:
            return NEVER
        silence = self._known.get(episode.silenced_by)
        return episode.silenced_until if silence is None else silence.ends_at
