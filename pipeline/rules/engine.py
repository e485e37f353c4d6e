"""A device's readings and the passing of time in, alert events out: the rules asked in order.

The engine is a function of its arguments: no clock, no I/O, no draw. The same readings at the same
`at` give the same events, ids and sequence numbers, on whichever worker. A `Device` is mutated in
place; the caller stores it together with the events that came out.

Every message first settles what fell due up to its `at`, in due order and stamped with the due
time, and only then applies itself; so a check or the next reading, whichever comes first, gives the
same event.
"""

from __future__ import annotations

from typing import Final

from pipeline.rules import due, judging, offline, reload
from pipeline.rules.arrival import far, near
from pipeline.rules.counting import Counting
from pipeline.rules.device import UNKNOWN, Device
from pipeline.rules.lifecycle import Alerts, Event
from pipeline.rules.reading import Reading, Refused
from pipeline.rules.rulebook import DEFAULT, Offline, Rulebook
from pipeline.rules.window import Closed

__all__ = ["MAX_METRICS", "UNKNOWN", "Device", "Engine", "Reading", "Refused"]

MAX_METRICS: Final = 32
REMEMBERED: Final = 16  # readings of a device that a repeat is looked for among
NEVER: Final = float("inf")


class Engine:
    """`max_skew`: how far a device's time may be from its record's and still be believed.
    `max_lateness`: how old a reading may be, beside the newest, and still be only late.
    `window`: seconds of the windows that are counted; 0 counts none. What is closed is collected
    until somebody takes it (`take_closed`).
    `calm`: no device has anything due sooner than this after its last reading, reminders apart."""

    __slots__ = ("_counting", "calm", "max_lateness", "max_skew", "rulebook", "window")

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
        self._counting: Final = Counting(window, max_lateness)

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
            values = judging.judge(device, page, values, judged, at, events)
        elif device.window_start <= judged < device.window_end:
            loud = device.count_quiet(values, judged)  # most readings end here
            if loud is not None:
                sound = judging.judge(device, page, values, judged, at, events)
                device.count({name: loud[name] for name in loud if name in sound}, judged)
            return "judged", events
        elif not device.remember(values):
            values = judging.judge(device, page, values, judged, at, events)
        if self.window:
            self._counting.count(device, values, judged)
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
        while (when := due.due_at(device, page, judged_from)) <= at:
            due.settle(device, page, self._counting, judged_from, when, events)
        return events

    def due(self, device: Device, judged_from: float) -> float:
        """When `settle` may next have something to say; inf for a device that isn't there."""
        return due.due_at(device, self._page(device), judged_from)

    def silent_at(self, device: Device, judged_from: float) -> float:
        """When its silence is the first level of offline; inf where that is told already."""
        page = self._page(device)
        is_told = device.alerts is not None and any(
            episode.kind == "offline" for episode in device.alerts.open.values()
        )
        return NEVER if is_told else due.offline_at(device, page, judged_from)

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

    def take_closed(self) -> list[Closed]:
        """The windows closed since the last call, or closed again."""
        return self._counting.take_closed()

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
        key = reading.fingerprint()
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

    def _count_late(
        self, device: Device, page: Rulebook, values: dict[str, float], judged: float
    ) -> None:
        device.meet(values)  # so that they count, though nothing of now is known of them
        sound = judging.judge_late(device, page, values, judged)
        if self.window and sound:
            self._counting.count(device, sound, judged)

    def _return(
        self, page: Rulebook, alerts: Alerts, judged: float, at: float, events: list[Event]
    ) -> None:
        episode = None if page.offline is None else alerts.open.get(page.offline.name)
        if episode is not None:
            events.append(alerts.resolve(episode, "device_returned", judged, at))
        for episode in alerts.open.values():
            if episode.reminded:
                alerts.heard(episode, at, page.named[episode.rule].remind)


def _mind_density(device: Device, rule: Offline, at: float) -> None:
    """Closer than its cadence for longer than its limit: that was of other days."""
    if offline.is_dense(rule, device.gaps, at - device.dense_since):
        device.forget_cadence(rule, offline.BURST)
        device.dense_since = at


def _forget_the_future(device: Device, time: float) -> None:
    """What a wrong clock has stamped ahead would never end."""
    device.put_back(time)
    if device.windows is not None:
        device.windows = [one for one in device.windows if one.start <= time]
    device.slices = None
