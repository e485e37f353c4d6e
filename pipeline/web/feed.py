"""`alerts` and `alerts-open` in, without a group; live events to the hub and the open alerts out.

A start notes where `alerts` ends, then reads `alerts-open` whole, then follows both. `alerts-open`
may lag behind `alerts`, so the last minute of `alerts` before that end is read as well: it counts
for what is open and is relayed to no one. Whatever stops the feed, it starts again where it was and
reads `alerts-open` anew; where it can't go on where it was (the log is gone, or another cluster
answers) it forgets everything and ends its viewers, who come back and get the open alerts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from typing import NoReturn

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from pipeline.metrics import (
    EVENTS,
    EVENTS_RELAYED,
    EVENTS_REPEATED,
    EVENTS_UNREADABLE,
    FEED_RESTARTS,
    OPEN_ALERTS,
    RELAY_SECONDS,
    label,
)
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web.alerts import Alert, Highest, OpenAlerts, Unreadable
from pipeline.web.hub import SERVICE_RESTART, Hub
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Gone,
    Offsets,
    Topics,
    cause,
    check_reached,
    check_unchanged,
    consuming,
    existing,
    is_expected,
    partitions_of,
)

log = logging.getLogger(__name__)

REMEMBERED = 100_000  # alerts whose highest seq is remembered
REWIND = 60.0  # seconds of `alerts` read again at a start; `alerts-open` must not lag by more
LOOK = 5.0  # seconds between two looks at where the topics end


class Feed:
    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._kafka = settings.kafka()
        names = Names(settings.topic_prefix)
        self._alerts_topic, self._open_topic = names.alerts, names.alerts_open
        self._hub = hub
        self._open = OpenAlerts(REMEMBERED)
        self._relayed = Highest(REMEMBERED)
        self._cluster = ""
        self._positions: dict[int, int] = {}
        """Partition of `alerts` to the next offset that the viewers haven't seen."""
        self._anew = True
        self._marks: Offsets = {}
        self._ahead_of: tuple[tuple[Alert, ...], dict[str, int]] = ((), {})
        self._unread: Offsets = {}
        """What is still to be read before the open alerts are known: partition to its end."""
        self.caught_up = False
        self.problem: str | None = "the alert feed has not started"

    # What the views ask. None of these awaits, so what they say belongs together.

    def cursor(self) -> str:
        """Cluster and next offset of every partition, opaque to viewers."""
        offsets = [offset for _, offset in sorted(self._positions.items())]
        text = json.dumps([self._cluster, offsets], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def unknown(self) -> str | None:
        """Why the open alerts aren't known; None if they are."""
        return None if self.caught_up else self.problem or "the open alerts are not known yet"

    def open_alerts(self) -> tuple[Alert, ...]:
        return self._open.listed()

    def find(self, alert_id: str) -> Alert | None:
        """Its last event, if it is open."""
        return self._open.get(alert_id)

    def is_resolved(self, alert_id: str) -> bool:
        """Whether it is one of the last alerts that were resolved."""
        return self._open.has_closed(alert_id)

    def ahead(self) -> dict[str, int]:
        """Open alerts that `alerts-open` told us of before `alerts` did, and their seq."""
        listed = self._open.listed()
        if self._ahead_of[0] is not listed:  # once for all viewers that come between two events
            ahead = {a.alert_id: a.seq for a in listed if a.seq > self._relayed.get(a.alert_id)}
            self._ahead_of = (listed, ahead)
        return dict(self._ahead_of[1])

    # A feed's life.

    async def run(self) -> NoReturn:
        """Until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._session()
            except Exception as error:
                pause = FIRST_PAUSE if self.caught_up else min(pause * 2, LONGEST_PAUSE)
                self._stopped(cause(error), pause)
            await asyncio.sleep(pause)

    def _stopped(self, why: Exception, pause: float) -> None:
        FEED_RESTARTS.inc()
        self.caught_up = False
        self.problem = f"the alert feed starts again: {why}"
        if isinstance(why, (Gone, OffsetOutOfRangeError)):
            self._forget()
        expected = is_expected(why)
        log.log(
            logging.WARNING if expected else logging.ERROR,
            "alert feed: %s; it starts again in %.1f s",
            why,
            pause,
            exc_info=None if expected else why,
        )

    def _forget(self) -> None:
        self._positions = {}
        self._relayed.clear()
        self._hub.end_all(SERVICE_RESTART)

    async def _session(self) -> None:
        both = (self._alerts_topic, self._open_topic)
        cluster, topics = await existing(self._kafka, both, self._wait_for)
        async with consuming(self._kafka) as consumer, asyncio.TaskGroup() as tasks:
            await self._begin(consumer, cluster, topics)
            tasks.create_task(self._follow(consumer))
            tasks.create_task(self._look(consumer, topics))

    def _wait_for(self, problem: str) -> None:
        if self.problem != problem:
            log.info("alert feed: %s", problem)
        self.problem = problem

    async def _begin(self, consumer: AIOKafkaConsumer, cluster: str, topics: Topics) -> None:
        self.problem = "reading the open alerts"
        alerts = partitions_of(self._alerts_topic, topics)
        opened = partitions_of(self._open_topic, topics)
        first = await consumer.beginning_offsets(alerts)
        end = await consumer.end_offsets(alerts)
        minute_ago = int((time.time() - REWIND) * 1000)
        recent = await consumer.offsets_for_times(dict.fromkeys(alerts, minute_ago))
        open_first = await consumer.beginning_offsets(opened)
        open_end = await consumer.end_offsets(opened)

        self._resume(cluster, first, end)
        self._marks = {tp: self._positions[tp.partition] for tp in alerts}
        self._unread = {**self._marks, **open_end}
        self._open = OpenAlerts(REMEMBERED)
        # assign() wakes the fetcher, which would look for committed offsets: no await until seek()
        consumer.assign([*alerts, *opened])
        for tp, mark in self._marks.items():
            found = recent.get(tp)
            consumer.seek(tp, max(first[tp], min(found.offset, mark) if found else mark))
        for tp in opened:
            consumer.seek(tp, open_first[tp])

    def _resume(self, cluster: str, first: Offsets, end: Offsets) -> None:
        """Where relaying begins: where it was, else at the end."""
        there = {tp.partition: (first[tp], end[tp]) for tp in end}
        possible = cluster == self._cluster and all(
            partition in there and there[partition][0] <= offset <= there[partition][1]
            for partition, offset in self._positions.items()
        )
        if self._positions and not possible:
            log.warning("alert feed: the log we were reading is gone; beginning anew")
            self._forget()
        self._cluster = cluster
        self._anew = not self._positions
        # where we go on, a partition that was added since is read from its first event
        begin = {partition: span[self._anew] for partition, span in there.items()}
        self._positions = begin | self._positions

    async def _follow(self, consumer: AIOKafkaConsumer) -> NoReturn:
        while True:
            batches = await consumer.getmany(timeout_ms=500, max_records=200)
            for records in batches.values():
                for record in records:
                    await self._take(record)
            if not self.caught_up:
                await self._check_caught_up(consumer)
            else:
                OPEN_ALERTS.set(len(self._open))
            await asyncio.sleep(0)  # getmany doesn't give way while it has records

    async def _check_caught_up(self, consumer: AIOKafkaConsumer) -> None:
        # positions, not records: a log may end in offsets that hold none
        for tp, end in list(self._unread.items()):
            if await consumer.position(tp) >= end:
                del self._unread[tp]
        if self._unread:
            return
        if self._anew:
            # nobody was here before: whoever comes gets these with the backlog, so a repeat or an
            # event that `alerts-open` told us of first is no news
            for alert in self._open.listed():
                self._relayed.note(alert.alert_id, alert.seq)
        self.caught_up, self.problem = True, None
        log.info("alert feed: caught up, %d alerts are open", len(self._open))

    async def _look(self, consumer: AIOKafkaConsumer, topics: Topics) -> NoReturn:
        """See what aiokafka doesn't tell: topics recreated, partitions added, a silent broker."""
        assigned = list(consumer.assignment())
        while True:
            await asyncio.sleep(LOOK)
            check_unchanged(consumer, topics)
            try:
                async with asyncio.timeout(LOOK):
                    ends = await consumer.end_offsets(assigned)
            except (TimeoutError, KafkaError):
                self.problem = "Kafka doesn't answer"
                continue
            if self.caught_up:
                self.problem = None
            await check_reached(consumer, ends)

    # A record's way.

    async def _take(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        if record.topic == self._alerts_topic:
            await self._event(record)
        elif record.value is None:
            self._tombstone(record)
        elif alert := _read(record):
            self._open.apply(alert)

    def _tombstone(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        headers = dict(record.headers)
        try:
            self._open.close(headers["alert_id"].decode(), int(headers["seq"]))
        except (KeyError, ValueError):
            self._open.close_key(record.key or b"")

    async def _event(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        alert = _read(record)
        mark = self._marks[TopicPartition(record.topic, record.partition)]
        async with self._hub.turn:
            news = alert is not None and self._relayed.note(alert.alert_id, alert.seq)
            if alert is not None:
                self._open.apply(alert)
            if record.offset < mark:
                return
            self._positions[record.partition] = record.offset + 1
            if alert is None:
                return
            if not news:
                EVENTS_REPEATED.inc()
                return
            await self._hub.publish(alert.live(self.cursor()), alert)
        EVENTS_RELAYED.labels(label(alert.event, EVENTS)).inc()
        RELAY_SECONDS.observe(max(0.0, time.time() - record.timestamp / 1000))


def _read(record: ConsumerRecord[bytes | None, bytes | None]) -> Alert | None:
    try:
        return Alert.of(record.value or b"")
    except Unreadable as error:
        EVENTS_UNREADABLE.inc()
        where = (record.topic, record.partition, record.offset)
        log.warning("no alert event at %s partition %d offset %d: %s", *where, error)
        return None
