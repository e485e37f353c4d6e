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
from typing import Final

from pipeline.rules import fault, flatline, offline, reload, threshold, trend
from pipeline.rules import window as window_
from pipeline.rules.arrival import far, near
from pipeline.rules.device import Device
from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.rulebook import DEFAULT, Offline, Rulebook, Threshold

__all__ = ["MAX_METRICS", "UNKNOWN", "Device", "Engine", "Reading", "Refused"]

MAX_METRICS: Final = 32
REMEMBERED: Final = 16  # readings of a device that a repeat is looked for among
NEVER: Final = float("inf")
UNKNOWN: Final = float("-inf")


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


class Engine:
    """`max_skew`: how far a device's time may be from its record's and still be believed.
    `max_lateness`: how old a reading may be, beside the newest, and still be only late.
    `window`: seconds of the windows that are counted; 0 counts none. What is closed is collected
    until somebody takes it (`take_closed`).
    `calm`: no device has anything due sooner than this after its last reading, reminders apart."""

    __slots__ = (
        "_closed", "_end", "_start", "calm", "max_lateness", "max_skew", "rulebook", "window",
    )  # fmt: skip

    def __init__(
        self,
        rulebook: Rulebook = DEFAULT,
        max_skew: float = 300.0,
        max_lateness: float = 300.0,
        window: float = 0.0,
    ) -> None:
        self.rulebook: Final = rulebook
        self.max_skew: Final = max_skew
        self.max_lateness: Final = max_lateness
        self.window: Final = window
        self.calm: Final = rulebook.shortest
        self._closed: list[window_.Closed] = []
        # of the window that was opened last: plain Python has the same two numbers then for most
        # devices, and finds them in the cache
        self._start = UNKNOWN
        self._end = UNKNOWN

    def reading(
        self,
        device: Device,
        reading: Reading,
        at: float,
        judged_from: float,
        events: list[Event] | None = None,
    ) -> tuple[str, list[Event]]:
        """Apply a reading that arrived at `at`. The verdict is judged, late, backfill or repeat.

        Refused leaves the device as it was: `too_many_metrics`. Whoever gives the list of `events`
        has those that were decided before any other exception: the device has them too.
        """
        values = reading.values
        if len(device.metrics) + len(values) > MAX_METRICS:
            self._check_metrics(device, values)
        page = device.page
        if events is None:
            events = []
        if page is None or page.root is not self.rulebook:
            self.adopt(device, at, events)
            page = self._page(device)
        # read together, they are waited for together: each is at a place of its own in the memory
        alerts, newest, gap = device.alerts, device.time, at - device.last_seen
        if gap >= device.patience or (alerts is not None and alerts.due <= at):
            self.settle(device, at, judged_from, events)
            device.grow_patient(page)
            alerts, newest, gap = device.alerts, device.time, at - device.last_seen
        time, judged, verdict = reading.time, at, ""
        if reading.sequence is not None and self._is_repeat(device, reading):
            verdict = "repeat"  # which says nothing new of the clock
        elif time is not None:
            # A record time ahead of `at` is a jump nobody believes yet: it vouches for nothing.
            beside = reading.record_time if reading.record_time < at else at
            if abs(time - beside) <= self.max_skew:
                device.trusted = True
                lag = device.lag
                if lag is not None:
                    lag = device.lag = near(lag, time, beside, self.max_skew)
                if lag is None or lag.offset is None:
                    judged = time
            else:
                device.lag, then = far(device.lag, device.trusted, time, beside, self.max_skew)
                verdict = "backfill" if then else ""
        if alerts is not None and alerts.open:
            self._return(page, alerts, judged, at, events)
        rule = page.offline
        if gap >= offline.BURST:
            device.dense_since = at
            if rule is not None and gap < NEVER:
                device.learn(rule, gap)
        elif rule is not None and verdict != "backfill":
            _mind_density(device, rule, at)
        device.last_seen = at  # it is alive, whatever becomes of its reading
        device.readings += 1
        device.retired = False
        if verdict:
            return verdict, events
        if judged < newest:
            # A newest time further ahead of `at` was stamped by a clock that was wrong and has been
            # put back: it must not outlaw every later reading.
            if newest > at + self.max_skew:
                _forget_the_future(device, judged)
            elif newest - judged > self.max_lateness:
                return "backfill", events
            else:
                self._count_late(device, page, values, judged)
                return "late", events
        device.time = judged
        if page.restless or (alerts is not None and (alerts.open or alerts.progress)):
            device.remember(values)
            values = self._judge(device, page, values, judged, at, events)
        elif device.window_start <= judged < device.window_end:
            loud = device.count_quiet(values, judged)  # most readings end here
            if loud is not None:
                sound = self._judge(device, page, values, judged, at, events)
                device.count({name: loud[name] for name in loud if name in sound}, judged)
            return "judged", events
        elif not device.remember(values):
            values = self._judge(device, page, values, judged, at, events)
        if self.window:
            self._count_into_window(device, values, judged)
        return "judged", events

    def settle(
        self, device: Device, at: float, judged_from: float, events: list[Event] | None = None
    ) -> list[Event]:
        """What fell due up to `at`, in due order. Silence before `judged_from` is no evidence."""
        if events is None:
            events = []
        if device.page is None or device.page.root is not self.rulebook:
            self.adopt(device, at, events)
        page = self._page(device)
        while (due := self._due(device, page, judged_from)) <= at:
            if device.alerts is not None and device.alerts.due <= due:
                events.append(self._remind(device, page, device.alerts))
            elif self._offline_at(device, page, judged_from) <= due:
                self._go_offline(device, page, events)
            else:
                self._retire(device, page, events)
        return events

    def due(self, device: Device, judged_from: float) -> float:
        """When `settle` may next have something to say; inf for a device that isn't there."""
        return self._due(device, self._page(device), judged_from)

    def silent_at(self, device: Device, judged_from: float) -> float:
        """When its silence is the first level of offline; inf where that is told already."""
        page = self._page(device)
        is_told = device.alerts is not None and any(
            episode.kind == "offline" for episode in device.alerts.open.values()
        )
        return NEVER if is_told else self._offline_at(device, page, judged_from)

    def acknowledge(
        self, device: Device, alert_id: str, by: str, note: str | None, at: float
    ) -> list[Event]:
        """Somebody takes note of an open alert; nothing where it isn't, or where the same has been
        said. The caller settles first."""
        for episode in device.open_alerts():
            if episode.alert_id == alert_id and device.alerts is not None:
                value = device.value_of(episode)
                event = device.alerts.acknowledge(episode, by, note, at, value)
                return [] if event is None else [event]
        return []

    def adopt(self, device: Device, at: float, events: list[Event] | None = None) -> list[Event]:
        """Judge a device by our rules from now on. Rules that are the same keep their state,
        changed ones judge the newest values again, the alerts of removed ones resolve."""
        if events is None:
            events = []
        page, before = self.rulebook.of(device.id), device.hashes
        device.heed(page)
        if before == page.hashes or (device.alerts is None and (not before or not device.values)):
            return events
        if device.alerts is None:
            device.alerts = Alerts(device.id)
        known = page.hashes if before is None else before
        reload.adopt(device, device.alerts, page, frozenset(known), at, events)
        return events

    def take_closed(self) -> list[window_.Closed]:
        """The windows closed since the last call, or closed again."""
        closed, self._closed = self._closed, []
        return closed

    def _page(self, device: Device) -> Rulebook:
        """Where its rules stand; whoever judges by them adopts them first."""
        page = device.page
        if page is None or page.root is not self.rulebook:
            return self.rulebook.of(device.id)
        return page

    def _check_metrics(self, device: Device, values: dict[str, float]) -> None:
        if len(device.layout.places.keys() | values.keys()) > MAX_METRICS:
            raise Refused("too_many_metrics")

    def _is_repeat(self, device: Device, reading: Reading) -> bool:
        """Whether the very same reading is among the last ones; if not it is now."""
        key = _fingerprint(reading)
        recent = device.recent
        if recent is None:
            device.recent = [key]
            return False
        if key in recent:
            return True
        recent.append(key)
        if len(recent) > REMEMBERED:
            del recent[0]
        return False

    # -- judging

    def _judge(
        self,
        device: Device,
        page: Rulebook,
        values: dict[str, float],
        judged: float,
        at: float,
        events: list[Event],
    ) -> dict[str, float]:
        """Returns the values that no sensor's fault has made."""
        alerts = device.alerts
        if alerts is None:
            alerts = device.alerts = Alerts(device.id)
        sound = values
        for bounds in page.ranges:
            found = fault.crossed(bounds, values)
            _note(events, fault.judge(bounds, alerts, values, found, judged, at))
            sound = _without(sound, found)
        held = len(sound) < len(values)
        for stuck in page.flatlines:
            if not held:
                _note(events, flatline.judge(stuck, alerts, values, judged, at))
            held = held or stuck.name in alerts.open
        if not held:
            for rule in page.thresholds:
                value = values.get(rule.metric)
                if value is not None and rule.over:
                    value = _trend(device, rule, value, judged)
                if value is not None:
                    _note(events, threshold.judge(rule, alerts, value, judged, at))
        if alerts.open:
            _hear(device, page, alerts, values, held, judged, at, events)
        return sound

    def _return(
        self, page: Rulebook, alerts: Alerts, judged: float, at: float, events: list[Event]
    ) -> None:
        episode = None if page.offline is None else alerts.open.get(page.offline.name)
        if episode is not None:
            events.append(alerts.resolve(episode, "device_returned", judged, at))
        for episode in alerts.open.values():
            if episode.reminded:
                alerts.heard(episode, at, page.named[episode.rule].remind)

    # -- what falls due

    def _due(self, device: Device, page: Rulebook, judged_from: float) -> float:
        due = min(
            self._offline_at(device, page, judged_from),
            self._retires_at(device, page, judged_from),
        )
        return due if device.alerts is None else min(due, device.alerts.due)

    def _offline_at(self, device: Device, page: Rulebook, judged_from: float) -> float:
        """When the next level of silence is reached."""
        rule = page.offline
        if rule is None or device.readings < rule.min_readings:
            return NEVER
        episode = None if device.alerts is None else device.alerts.open.get(rule.name)
        if episode is None:
            limit = offline.limit(rule, device.gaps)
        elif episode.level == 0 and rule.danger_after:
            limit = max(rule.danger_after, offline.limit(rule, device.gaps))
        else:
            return NEVER
        return offline.judged_at(device.last_seen, limit, judged_from)

    def _retires_at(self, device: Device, page: Rulebook, judged_from: float) -> float:
        if device.last_seen == UNKNOWN:
            return NEVER
        return max(device.last_seen + page.retire_after, judged_from)

    def _remind(self, device: Device, page: Rulebook, alerts: Alerts) -> Event:
        episode = min(alerts.open.values(), key=lambda one: one.remind_at)
        return alerts.remind(episode, page.named[episode.rule].remind, device.value_of(episode))

    def _go_offline(self, device: Device, page: Rulebook, events: list[Event]) -> None:
        rule = page.offline
        assert rule is not None  # noqa: S101  (nothing was due without it)
        if device.alerts is None:
            device.alerts = Alerts(device.id)
        alerts = device.alerts
        due = device.last_seen + offline.limit(rule, device.gaps)
        episode = alerts.open.get(rule.name)
        if episode is not None:
            due = max(due, device.last_seen + rule.danger_after)
            changed = alerts.change(episode, "danger", 1, None, None, due, due, None, rule.remind)
            events.append(changed)
            return
        values = device.open_alerts()
        fired = alerts.fire(
            rule.name, rule.severity, "offline", due, due,
            kind="offline", rule_hash=rule.hash, remind=rule.remind,
        )  # fmt: skip
        events.append(fired)
        events += [alerts.suppress(one, fired.alert_id, due) for one in values]
        self._close_window(device, due)

    def _retire(self, device: Device, page: Rulebook, events: list[Event]) -> None:
        due = device.last_seen + page.retire_after
        if device.alerts is not None:
            for episode in device.open_alerts():
                value = device.value_of(episode)
                events.append(device.alerts.resolve(episode, "device_retired", due, due, value))
        self._close_window(device)
        device.retire()

    # -- windows

    def _count_late(
        self, device: Device, page: Rulebook, values: dict[str, float], judged: float
    ) -> None:
        device.meet(values)  # so that they count, though nothing of now is known of them
        sound = _sound(page, values)
        if len(sound) == len(values):
            for rule in page.windowed:
                if rule.metric in values:
                    _trend(device, rule, values[rule.metric], judged)
        if self.window and sound:
            self._count_into_window(device, sound, judged)

    def _count_into_window(self, device: Device, values: dict[str, float], time: float) -> None:
        """A later window than the open one closes that."""
        if not device.window_start <= time < device.window_end:
            closed = device.windows
            if time < device.window_start or (closed and time < closed[-1].end):
                self._count_into_closed(device, values, time)
                return
            self._close_window(device)
            start = window_.start_of(time, self.window)
            if start != self._start:
                self._start, self._end = start, start + self.window
            device.open_window(self._start, self._end)
        device.count(values, time)

    def _count_into_closed(self, device: Device, values: dict[str, float], time: float) -> None:
        if device.windows is None:
            device.windows = []
        self._collect(device, window_.add(device.windows, values, time, self.window))
        window_.forget(device.windows, device.time - self.max_lateness)

    def _close_window(self, device: Device, until: float = NEVER) -> None:
        """The open one, if it has ended by then."""
        if UNKNOWN < device.window_end <= until:
            closed = device.close_window()
            closed.revision = 1
            if device.windows is None:
                device.windows = []
            device.windows.append(closed)
            self._collect(device, closed)
            window_.forget(device.windows, device.time - self.max_lateness)

    def _collect(self, device: Device, closed: window_.Window) -> None:
        self._closed += [window_.Closed(device.id, closed, metric) for metric in closed.cells]


def _note(events: list[Event], event: Event | None) -> None:
    if event is not None:
        events.append(event)


def _mind_density(device: Device, rule: Offline, at: float) -> None:
    """Closer than its cadence for longer than its limit: that was of other days."""
    if offline.is_dense(rule, device.gaps, at - device.dense_since):
        device.forget_cadence(rule, offline.BURST)
        device.dense_since = at


def _sound(page: Rulebook, values: dict[str, float]) -> dict[str, float]:
    """Without what a sensor can't measure."""
    sound = values
    for rule in page.ranges:
        sound = _without(sound, fault.crossed(rule, values))
    return sound


def _without(values: dict[str, float], faulty: dict[str, float]) -> dict[str, float]:
    if not faulty:
        return values
    return {metric: value for metric, value in values.items() if metric not in faulty}


def _trend(device: Device, rule: Threshold, value: float, judged: float) -> float | None:
    if device.slices is None:
        device.slices = {}
    slices = device.slices.setdefault(rule.name, [])
    trend.add(rule, slices, value, judged)
    return trend.value_of(rule, slices, judged)


def _hear(
    device: Device,
    page: Rulebook,
    alerts: Alerts,
    values: dict[str, float],
    held: bool,
    judged: float,
    at: float,
    events: list[Event],
) -> None:
    """The first judged reading after a silence: what is still open is no longer suppressed."""
    for episode in device.open_alerts():
        if not episode.stale:
            continue
        known = episode.metric in values and not (held and episode.kind == "threshold")
        if known or episode.suppressed_by is not None:
            value = device.value_of(episode)
            remind = page.named[episode.rule].remind
            events.append(alerts.unsuppress(episode, known, judged, at, value, remind))


def _forget_the_future(device: Device, time: float) -> None:
    """What a wrong clock has stamped ahead would never end."""
    device.put_back(time)
    if device.windows is not None:
        device.windows = [one for one in device.windows if one.start <= time]
    device.slices = None


def _fingerprint(reading: Reading) -> int:
    """Sequence, device time and values in 63 bits, the same on every worker and in every run."""
    text = f"{reading.time}|{sorted(reading.values.items())}"
    sequence = reading.sequence or 0
    return (sequence & 0x7FFFFFFF) << 32 | zlib.crc32(text.encode())
