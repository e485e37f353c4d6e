"""Readings and checks at their home in; changed rows with their events, closed windows and
rejections, out.

No `await`: between two of the event loop's turns the state is whole. What has changed is noted as
dirty in its partition, and becomes durable with the next flush (`writer`).

A reading on which our core fails is rejected as `core_error`, and never tried again. What it
decided before it failed (that its device was offline, say, and has returned) is in the device, so
it is announced like all else: state and announcements agree, and the next one goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka import ConsumerRecord

from agents.checks import plan
from agents.item import Item
from pipeline import metrics
from pipeline.rejection import rejection
from pipeline.rows import Outgoing, Row
from pipeline.rules.engine import Engine, Reading, Refused
from pipeline.rules.fleet import FLEET
from pipeline.rules.lifecycle import Event
from pipeline.words import event_json
from tables.partition import CHECKS, Partition

log = logging.getLogger(__name__)

SLICE = 2_000  # devices between two breaths of the event loop
LONG_AGO = float("-inf")
JUDGED: Final = "judged"  # the verdict on most readings


class Judge:
    """Feeds the engine. `wake` is called when there is an event to be announced."""

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self.engine = engine
        self.wake: Final = wake
        self._verdicts: dict[str, int] = {}  # since the last report, beside
        self._most = 0  # those that were judged, as most are

    # -- readings

    def reading(self, home: Partition, item: Item, reading: Reading, wall: float) -> None:
        """Apply a reading to its device, unless it is applied already."""
        origin, place = item.partition, item.place
        if home.has_applied(origin, place):
            self._count("replayed")
            return
        at = home.clock.see(reading.record_time, wall)
        home.note_applied(origin, place)
        row = item.row
        if row is None or row.gone:
            row = home.row(reading.device_id)
        if home.row_has_applied(row, origin, place):
            self._count("replayed")
            return
        events: list[Event] = []
        try:
            if home.silences.concern(row.device):
                self.settle(home, row, at)
            if home.silent:
                home.silent.pop(row.device.id, None)
            verdict = self._judged(home, row, reading, at, events)
        except Refused as refusal:
            self.reject(home, item, refusal.reason)
            return
        except Exception:
            log.exception("our core failed on a reading of %r", reading.device_id)
            self.reject(home, item, "core_error")
        else:
            self._count(verdict)
            if item.refused:
                count_refused(item.refused)
        home.note_applied_by_row(row, origin, place)
        self.decided(home, row, events, reading.record_time)
        if events and home.clock.live:
            metrics.DECISION_SECONDS.observe(max(0.0, wall - reading.record_time))

    def _count(self, verdict: str) -> None:
        if verdict == JUDGED:
            self._most += 1
        else:
            self._verdicts[verdict] = self._verdicts.get(verdict, 0) + 1

    def report(self) -> None:
        """What has been counted, to the metrics: a lock and a look-up each, too much a reading."""
        if self._most:
            self._verdicts[JUDGED], self._most = self._most, 0
        for verdict, count in self._verdicts.items():
            metrics.READINGS.labels(verdict).inc(count)
        self._verdicts.clear()

    def _judged(
        self, home: Partition, row: Row, reading: Reading, at: float, events: list[Event]
    ) -> str:
        """The verdict; what is decided goes to `events`, until the engine fails if it does."""
        judged_from = home.clock.judged_from
        try:
            return self.engine.reading(row.device, reading, at, judged_from, events)[0]
        finally:
            self._take_windows(home)

    def _take_windows(self, partition: Partition) -> None:
        """After every call of the engine, which all partitions share."""
        if closed := self.engine.take_closed():
            partition.windows += closed

    def refuse(self, partition: Partition, item: Item, wall: float) -> None:
        """What is no reading proves that time has passed where it arrived."""
        partition.clock.see(item.timestamp / 1000, wall)
        count_refused(item.refused)
        self.reject(partition, item, item.rejected)

    def reject(self, partition: Partition, item: Item, reason: str) -> None:
        """For the rejected topic, with the place where it arrived first."""
        metrics.READINGS.labels("rejected").inc()
        metrics.REJECTED.labels(reason).inc()
        origin = dict(item.origin().headers())
        headers = [("reason", reason.encode())]
        headers += [(name, origin[name]) for name in ("topic", "partition", "offset")]
        partition.rejected.append(rejection(item.record.key, item.record.value, headers))

    # -- rules

    def take_up(self, partition: Partition) -> None:
        """It is ours, or the rules are new: each of its devices is to be adopted."""
        partition.silent.clear()
        partition.unjudged = list(partition.rows)
        plan(self.engine, partition, partition.fleet)
        for episode in partition.fleet.device.open_alerts():
            partition.standing.opened(episode.alert_id, episode.severity, episode.kind)

    def adopt_some(self, partition: Partition) -> bool:
        """Bring a slice of the devices under today's rules, and note when each may be due; whether
        there are more."""
        if partition.closed:
            return False
        unjudged, at = partition.unjudged, partition.now()
        for row in map(partition.rows.get, unjudged[-SLICE:]):
            if row is not None:
                self._adopt(partition, row, at)
        del unjudged[-SLICE:]
        return bool(unjudged)

    def _adopt(self, partition: Partition, row: Row, at: float) -> None:
        if events := self.engine.adopt(row.device, at):
            self.decided(partition, row, events)
        else:
            plan(self.engine, partition, row)
        for episode in row.device.open_alerts():
            partition.standing.opened(episode.alert_id, episode.severity, episode.kind)
            if episode.kind == "offline":
                partition.silent.setdefault(row.device.id, (LONG_AGO, LONG_AGO))

    # -- checks

    def check(self, partition: Partition, record: ConsumerRecord) -> None:
        """Settle what fell due, as far as everything has been heard."""
        if record.offset <= partition.applied[CHECKS]:
            return
        partition.applied[CHECKS] = record.offset
        row = partition.rows.get((record.key or b"").decode("utf-8", "replace"))
        if row is None or record.offset <= row.applied_check:
            return
        if self.settle(partition, row, partition.horizon()) or row.is_over():
            row.applied_check = record.offset
            self.changed(partition, row, [])
        else:
            plan(self.engine, partition, row)

    def settle(self, partition: Partition, row: Row, upto: float) -> bool:
        """Whatever fell due, ends of silences among it, in due order; whether there was any."""
        if row is partition.fleet:
            return self._let_out_fleet(partition, row, upto)
        judged_from = partition.clock.judged_from
        events = partition.silences.settle(self.engine, row.device, upto, judged_from)
        self._take_windows(partition)
        if events:
            self.changed(partition, row, events)
        return bool(events)

    def _let_out_fleet(self, partition: Partition, row: Row, upto: float) -> bool:
        """Nothing else falls due of what sends no readings."""
        events: list[Event] = []
        while (end := partition.silences.due(row.device)) <= upto:
            events += partition.silences.release(row.device, end)
        if events:
            self.changed(partition, row, events)
        return bool(events)

    def decided(
        self, partition: Partition, row: Row, events: list[Event], since: float | None = None
    ) -> None:
        """These are new: say which silence each is under. `since` is the time of the reading that
        they are of, if they are."""
        if events and partition.silences.concern(row.device):
            partition.silences.mark(row.device, events)
        self.changed(partition, row, events, since)

    def changed(
        self, partition: Partition, row: Row, events: list[Event], since: float | None = None
    ) -> None:
        partition.mark_dirty(row)
        for event in events:
            if event.kind == "offline":
                _note_silence(partition, event)
            _tally(partition, event)
            row.outbox += (_outgoing(partition, event, since),)
        plan(self.engine, partition, row)
        if events:
            partition.undelivered += len(events)
            partition.urgent[row.device.id] = row
            self.wake()


def _outgoing(partition: Partition, event: Event, since: float | None) -> Outgoing:
    active = event.status == "active"
    outgoing = Outgoing(event.rule, event.alert_id, event.seq, active, event_json(event))
    if partition.clock.live:  # how late recorded data is says nothing of us
        outgoing.is_due = event.kind == "offline" and event.event == "fired"
        outgoing.since = event.timestamp if outgoing.is_due else since
    return outgoing


def _tally(partition: Partition, event: Event) -> None:
    if event.status == "active":
        partition.standing.opened(event.alert_id, event.severity, event.kind)
    else:
        partition.standing.closed(event.alert_id)
    metrics.EVENTS_DECIDED.labels(event.rule, event.event).inc()
    if event.suppressed_by is not None:
        silence = partition.silences.get(event.suppressed_by)
        by_fleet = silence is not None and silence.by == FLEET
        why = "offline" if silence is None else "fleet" if by_fleet else "silence"
        metrics.SUPPRESSED.labels(why).inc()


def _note_silence(partition: Partition, event: Event) -> None:
    if event.status == "active":
        partition.silent.setdefault(event.device_id, (partition.horizon(), event.started_at))
    else:
        partition.silent.pop(event.device_id, None)


def count_refused(reasons: Iterable[str]) -> None:
    for reason in reasons:
        metrics.VALUES_REFUSED.labels(reason).inc()
