"""`alerts` and `alerts-open` in, without a group; live events to the hub and the open alerts out.

A start notes where `alerts` ends, then reads `alerts-open` whole, then follows both. What stands in
`alerts` before that end was told by whoever was here before us. Its tail, so many events of so many
seconds, is read for viewers who come back and ask for what they missed; and the last minute of it
in any case, since `alerts-open` may lag behind. Whatever stops the feed, it starts again where it
was and reads `alerts-open` anew; where it can't go on where it was (the log is gone, or another
cluster answers) it forgets everything and ends its viewers, who come back and get the open alerts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import NoReturn, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

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
from pipeline.web.audience import Said
from pipeline.web.cursor import Cursor
from pipeline.web.hub import Hub
from pipeline.web.lookout import ids_of, look_out
from pipeline.web.recent import Recent, Told, onward
from pipeline.web.source import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Gone,
    Offsets,
    Topics,
    cause,
    consuming,
    existing,
    heed_cancellation,
    is_expected,
    partitions_of,
)
from pipeline.web.viewer import SERVICE_RESTART, framed

log = logging.getLogger(__name__)

REMEMBERED = 100_000  # alerts whose highest seq is remembered
REWIND = 60.0  # seconds of `alerts` read again at a start; `alerts-open` must not lag by more
AT_ONCE = 100  # records; a viewer is told so many, and those that it waits for, in one write
REACH, REACH_POLL = 2.0, 0.02  # seconds that we wait to be as far as another view has been

Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]


class Feed:
    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._kafka = settings.kafka()
        names = Names(settings.topic_prefix)
        self._alerts_topic, self._open_topic = names.alerts, names.alerts_open
        self._hub = hub
        self._open = OpenAlerts(REMEMBERED)
        self._relayed = Highest(REMEMBERED)
        self._recent = Recent(settings.recovery_events, settings.recovery_age)
        self._age = settings.recovery_age
        self._most = settings.recovery_events
        self._log = ""
        """The cluster's id and the topic's: offsets of another log mean nothing here."""
        self._positions: dict[int, int] = {}
        """Partition of `alerts` to the next offset that the viewers haven't seen."""
        self._anew = True
        """Until the log's tail is read: nobody has been told anything by us."""
        self._at_first: list[tuple[float, Alert]] = []
        """What `alerts-open` held then, and since when."""
        self._marks: Offsets = {}
        self._ahead: dict[str, int] = {}
        self._unread: Offsets = {}
        """What is still to be read before the open alerts are known: partition to its end."""
        self.caught_up = False
        self.problem: str | None = "the alert feed has not started"

    # What the views ask. None of these awaits, so what they say belongs together.

    def cursor(self) -> str:
        """Where all viewers are."""
        return Cursor(self._log, tuple(at for _, at in sorted(self._positions.items()))).text()

    def missed(self, cursor: Cursor) -> Iterator[tuple[str, Alert]] | None:
        """What was relayed since, each with its cursor; None where we can't tell."""
        if cursor.log != self._log:
            return None
        self._recent.forget(time.time())
        missed = self._recent.since(cursor, self._positions)
        return None if missed is None else onward(cursor, len(self._positions), missed)

    async def reach(self, cursor: Cursor) -> None:
        """Wait a little where another view was further than we are."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REACH):
                while cursor.log == self._log and self._is_behind(cursor):  # noqa: ASYNC110
                    await asyncio.sleep(REACH_POLL)

    def _is_behind(self, cursor: Cursor) -> bool:
        return any(self._positions.get(p, 0) < offset for p, offset in enumerate(cursor.offsets))

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
        return dict(self._ahead)

    # A feed's life.

    async def run(self) -> NoReturn:
        """Until cancelled."""
        pause = FIRST_PAUSE
        while True:
            heed_cancellation()
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
        if self._anew or isinstance(why, (Gone, OffsetOutOfRangeError)):
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
        self._recent.clear()
        self._hub.end_all(SERVICE_RESTART)

    async def _session(self) -> None:
        both = (self._alerts_topic, self._open_topic)
        cluster, topics = await existing(self._kafka, both, self._wait_for)
        async with consuming(self._kafka) as consumer, asyncio.TaskGroup() as tasks:
            ids = await ids_of(consumer, topics)
            await self._begin(consumer, f"{cluster}/{ids[self._alerts_topic]}", topics)
            tasks.create_task(look_out(self, consumer, topics, ids))
            await self._follow(consumer)  # see `heed_cancellation` why in this task

    def _wait_for(self, problem: str) -> None:
        if self.problem != problem:
            log.info("alert feed: %s", problem)
        self.problem = problem

    async def _begin(self, consumer: AIOKafkaConsumer, name: str, topics: Topics) -> None:
        self.problem = "reading the open alerts"
        alerts = partitions_of(self._alerts_topic, topics)
        opened = partitions_of(self._open_topic, topics)
        first = await consumer.beginning_offsets(alerts)
        end = await consumer.end_offsets(alerts)
        opened_first = await consumer.beginning_offsets(opened)
        opened_end = await consumer.end_offsets(opened)
        minute_ago = await _since(consumer, alerts, REWIND)
        tail = await _since(consumer, alerts, self._age)

        self._resume(name, first, end)
        self._marks = {tp: self._positions[tp.partition] for tp in alerts}
        self._unread = {**self._marks, **opened_end}
        self._open, self._at_first, self._ahead = OpenAlerts(REMEMBERED), [], {}
        # assign() wakes the fetcher, which would look for committed offsets: no await until seek()
        consumer.assign([*alerts, *opened])
        for tp, mark in self._marks.items():
            begin = mark
            if self._anew:
                begin = max(mark - self._most, min(tail.get(tp, mark), mark))
            begin = max(first[tp], min(begin, minute_ago.get(tp, mark)))
            self._recent.begin(tp.partition, begin if self._anew else mark)
            consumer.seek(tp, begin)
        for tp in opened:
            consumer.seek(tp, opened_first[tp])

    def _resume(self, name: str, first: Offsets, end: Offsets) -> None:
        """Where relaying begins: where it was, else at the end."""
        there = {tp.partition: (first[tp], end[tp]) for tp in end}
        possible = name == self._log and all(
            partition in there and there[partition][0] <= offset <= there[partition][1]
            for partition, offset in self._positions.items()
        )
        if self._positions and not possible:
            log.warning("alert feed: the log we were reading is gone; beginning anew")
            self._forget()
        self._log = name
        self._anew = not self._positions
        # where we go on, a partition that was added since is read from its first event
        begin = {partition: span[self._anew] for partition, span in there.items()}
        self._positions = begin | self._positions

    async def _follow(self, consumer: AIOKafkaConsumer) -> NoReturn:
        while True:
            heed_cancellation()
            await self._hub.audience.room()
            batches = await consumer.getmany(timeout_ms=500, max_records=AT_ONCE)
            self._take(record for records in batches.values() for record in records)
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
            self._note_at_first()
        self._anew, self._at_first = False, []
        self.caught_up, self.problem = True, None
        log.info("alert feed: caught up, %d alerts are open", len(self._open))

    def _note_at_first(self) -> None:
        """What is open since before the log's tail was announced before: again, it is no news. What
        came after the tail's last event isn't on the log yet, and will be news."""
        newest = min(self._recent.newest() or time.time(), time.time())
        for at, alert in self._at_first:
            if at < newest - REWIND:
                self._relayed.note(alert.alert_id, alert.seq)
                self._weigh(alert.alert_id)

    # The records' way.

    def _take(self, records: Iterable[Record]) -> None:
        said = [
            Said(framed(alert.live(self.cursor())), alert, partial(_relayed, record, alert))
            for record in records
            if (alert := self._news(record)) is not None
        ]
        if said:
            self._hub.audience.say(*said)

    def _news(self, record: Record) -> Alert | None:
        """Of a record, what the viewers are to be told; the cursor has moved then."""
        if record.topic == self._alerts_topic:
            return self._event(record)
        if record.value is None:
            self._tombstone(record)
        elif alert := _read(record):
            self._open.apply(alert)
            self._weigh(alert.alert_id)
            if self._anew:
                self._at_first.append((record.timestamp / 1000, alert))
        return None

    def _tombstone(self, record: Record) -> None:
        headers = dict(record.headers)
        try:
            alert_id = headers["alert_id"].decode()
            self._open.close(alert_id, int(headers["seq"]))
            self._weigh(alert_id)
        except (KeyError, ValueError):
            self._open.close_key(record.key or b"")
            for alert_id in tuple(self._ahead):
                self._weigh(alert_id)

    def _event(self, record: Record) -> Alert | None:
        alert = _read(record)
        is_new = alert is not None and self._relayed.note(alert.alert_id, alert.seq)
        if alert is not None:
            self._open.apply(alert)
            self._weigh(alert.alert_id)
        is_told = record.offset < self._marks[TopicPartition(record.topic, record.partition)]
        if not is_told:
            self._positions[record.partition] = record.offset + 1
        if alert is None:
            return None
        if is_new and (self._anew or not is_told):
            self._remember(record, alert)
        if is_told:
            return None
        if not is_new:
            EVENTS_REPEATED.inc()
            return None
        return alert

    def _weigh(self, alert_id: str) -> None:
        """Whether its open event is one that `alerts` hasn't told."""
        alert = self._open.get(alert_id)
        if alert is not None and alert.seq > self._relayed.get(alert_id):
            self._ahead[alert_id] = alert.seq
        else:
            self._ahead.pop(alert_id, None)

    def _remember(self, record: Record, alert: Alert) -> None:
        at = record.timestamp / 1000
        self._recent.add(Told(at, record.partition, record.offset, alert))


def _relayed(record: Record, alert: Alert) -> None:
    """Everyone has been told."""
    EVENTS_RELAYED.labels(label(alert.event, EVENTS)).inc()
    RELAY_SECONDS.observe(max(0.0, time.time() - record.timestamp / 1000))


async def _since(consumer: AIOKafkaConsumer, tps: list[TopicPartition], seconds: float) -> Offsets:
    """Where the records of the last seconds begin; nothing of a partition that has none."""
    at = int(max(0.0, time.time() - seconds) * 1000)
    found = await consumer.offsets_for_times(dict.fromkeys(tps, at))
    return {tp: there.offset for tp, there in found.items() if there is not None}


def _read(record: Record) -> Alert | None:
    try:
        return Alert.of(record.value or b"")
    except Unreadable as error:
        EVENTS_UNREADABLE.inc()
        where = (record.topic, record.partition, record.offset)
        log.warning("no alert event at %s partition %d offset %d: %s", *where, error)
        return None
