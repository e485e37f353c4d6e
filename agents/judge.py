"""Readings and checks at their home in; changed rows with their events, and rejections, out.

No `await`: between two of the event loop's turns the state is whole. What has changed is noted as
dirty in its partition, and becomes durable with the next flush (`writer`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from aiokafka import ConsumerRecord

from agents.checks import NEVER, plan
from agents.order import Item
from agents.rekeying import LONGEST_KEY
from pipeline import metrics
from pipeline.records import event_json
from pipeline.rules.engine import Engine, Reading, Refused
from pipeline.rules.lifecycle import Event
from tables.devices import CHECKS, Outgoing, Partition, Rejection, Row

log = logging.getLogger(__name__)

LARGEST_REJECTED = 900_000  # bytes of an original that the rejected topic keeps


class Judge:
    """Feeds the engine. `wake` is called when there is an event to be announced."""

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self.engine = engine
        self._wake = wake

    # -- readings

    def reading(self, home: Partition, item: Item, reading: Reading, wall: float) -> None:
        """Apply a reading to its device, unless it is applied already."""
        origin, place = item.origin.partition, item.origin.place
        if home.has_applied(origin, place):
            metrics.READINGS.labels("replayed").inc()
            return
        at = home.clock.see(reading.record_time, wall)
        home.note_applied(origin, place)
        row = home.row(reading.device_id)
        if home.row_has_applied(row, origin, place):
            metrics.READINGS.labels("replayed").inc()
            return
        try:
            verdict, events = self.engine.reading(row.device, reading, at, home.clock.judged_from)
        except Refused as refusal:
            self.reject(home, item, refusal.reason)
            return
        except Exception:
            log.exception("our core failed on a reading of %r", reading.device_id)
            self.reject(home, item, "core_error")
            return
        metrics.READINGS.labels(verdict).inc()
        count_refused(item.refused)
        home.note_applied_by_row(row, origin, place)
        self._changed(home, row, events)
        if events:
            metrics.DECISION_SECONDS.observe(max(0.0, wall - reading.record_time))

    def refuse(self, partition: Partition, item: Item, wall: float) -> None:
        """What is no reading proves that time has passed where it arrived."""
        partition.clock.see(item.origin.timestamp / 1000, wall)
        count_refused(item.refused)
        self.reject(partition, item, item.rejected)

    def reject(self, partition: Partition, item: Item, reason: str) -> None:
        """For the rejected topic, with the place where it arrived first."""
        metrics.READINGS.labels("rejected").inc()
        metrics.REJECTED.labels(reason).inc()
        origin = dict(item.origin.headers())
        headers = [("reason", reason.encode())]
        headers += [(name, origin[name]) for name in ("topic", "partition", "offset")]
        record = item.record
        value = record.value
        if value is not None and len(value) > LARGEST_REJECTED:
            value = value[:LARGEST_REJECTED]
            headers.append(("truncated", b"true"))
        key = record.key and record.key[:LONGEST_KEY]
        partition.rejected.append(Rejection(key, value, headers))

    # -- checks

    def plan(self, partition: Partition) -> None:
        """Note anew when each device may be due."""
        partition.plan.clear()
        for row in partition.rows.values():
            row.wake_at = NEVER
            plan(self.engine, partition, row)

    def check(self, partition: Partition, record: ConsumerRecord) -> None:
        """Settle what fell due, as far as everything has been heard."""
        if record.offset <= partition.applied[CHECKS]:
            return
        partition.applied[CHECKS] = record.offset
        row = partition.rows.get((record.key or b"").decode("utf-8", "replace"))
        if row is None or record.offset <= row.applied[CHECKS]:
            return
        events = self.engine.settle(row.device, partition.horizon(), partition.clock.judged_from)
        if events or row.is_over():
            row.applied[CHECKS] = record.offset
            self._changed(partition, row, events)
        else:
            plan(self.engine, partition, row)

    def _changed(self, partition: Partition, row: Row, events: list[Event]) -> None:
        partition.dirty[row.device.id] = row
        for event in events:
            metrics.EVENTS_DECIDED.labels(event.rule, event.event).inc()
            row.outbox.append(
                Outgoing(
                    event.rule,
                    event.alert_id,
                    event.seq,
                    event.status == "active",
                    event_json(event),
                )
            )
        partition.undelivered += len(events)
        plan(self.engine, partition, row)
        if events:
            self._wake()


def count_refused(reasons: Iterable[str]) -> None:
    for reason in reasons:
        metrics.VALUES_REFUSED.labels(reason).inc()
