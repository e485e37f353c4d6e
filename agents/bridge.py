"""Chunks of `alerts` and `alerts-open` in; Alertmanagers that know what is open out.

Nothing is kept, and nothing hangs on what is committed: whoever is given partitions reads
`alerts-open` whole, which is what is open, and the end of `alerts`, which is what was resolved
while nobody told it, as far back as an Alertmanager may believe otherwise. Only then is anybody
told.

Each Alertmanager has a task of its own, so that one which is away doesn't keep the others waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, cast

import msgspec
from aiokafka import ConsumerRecord, TopicPartition
from faust.types import TP, EventT

from agents.lag import Lag, ends_of
from pipeline import metrics
from pipeline.looking import consumer
from pipeline.settings import Settings
from pipeline.shapes import AlertEvent
from pipeline.sinks.alertmanager import KEPT, Alertmanager
from pipeline.sinks.board import Board
from pipeline.sinks.known import NoSink
from pipeline.sinks.sink import EVENT, SinkUnavailable, Source
from pipeline.streams import App
from pipeline.supervisor import Pauses
from pipeline.transport import Consumer

log = logging.getLogger(__name__)

PAUSES: Final = Pauses(first=0.5, longest=15.0)
TOGETHER: Final = 0.1  # seconds between two looks: what changes meanwhile is told together
LOOK_EVERY: Final = 5.0  # seconds between two looks at the lag
BEGINNING: Final = "what is open isn't read yet"

_decode = msgspec.json.Decoder(AlertEvent).decode


class Bridge:
    """`kinds` says of each topic what its records are."""

    def __init__(self, app: App, name: str, kinds: Mapping[str, str]) -> None:
        self.app = app
        self.name = name
        self.kinds = kinds
        self.cluster = ""
        self.problem: str | None = "the bridge has not started yet"
        settings = app.settings
        self._hold = settings.alertmanager_hold
        self._kept = max(KEPT, self._hold)
        self._lag = Lag(app, name)
        self._told: list[Alertmanager] = []
        self._away: dict[str, str] = {}  # Alertmanager to why it can't be told
        self._board = self._fresh()
        self._ends: Mapping[Source, int] = {}
        self._taken: dict[Source, int] = {}
        self._first: Mapping[Source, int] = {}
        self._caught_up = False

    def begin(self) -> None:
        settings = self.app.settings
        if not settings.alertmanager_urls:
            raise NoSink("SMART_IOT_ALERTMANAGER_URLS is not set: it names the Alertmanagers")
        self._told = [
            Alertmanager(address, self.app.names.app, self._hold)
            for address in settings.alertmanager_urls
        ]
        metrics.expose(metrics.BRIDGE)

    async def close(self) -> None:
        for alertmanager in self._told:
            await alertmanager.close()

    def tasks(self) -> Sequence[Callable[[], Coroutine[None, None, None]]]:
        return self.tell_for_ever, self.look_for_ever

    def _fresh(self) -> Board:
        settings = self.app.settings
        suppressed = settings.alertmanager_suppressed == "YES"
        return Board(self.app.names.app, page_of(settings), self._kept, suppressed=suppressed)

    # -- partitions come and go

    async def restore(self, assigned: frozenset[TP]) -> None:
        sources = [(tp.topic, tp.partition) for tp in assigned if tp.topic in self.kinds]
        self._ends = await ends_of(self.app, sources) if sources else {}
        self._first = await self._recent([one for one in sources if self.kinds[one[0]] == EVENT])

    async def _recent(self, sources: Sequence[Source]) -> dict[Source, int]:
        """Where those records begin that may have to be told still."""
        if not sources:
            return {}
        since = round((time.time() - self._kept) * 1000)
        looking = consumer(self.app.settings)
        await looking.start()
        try:
            asked = {TopicPartition(*source): since for source in sources}
            found = await looking.offsets_for_times(asked)
        finally:
            await looking.stop()
        return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if at is not None}

    def positioned(self, positions: Mapping[TP, int]) -> None:
        self._board = self._fresh()
        self._caught_up, self.problem = False, BEGINNING
        for alertmanager in self._told:
            alertmanager.began_again()
        self._taken = {}
        for tp in positions:
            source = (tp.topic, tp.partition)
            is_log = self.kinds[tp.topic] == EVENT
            end = self._ends.get(source, 0)
            self._taken[source] = self._first.get(source, end) if is_log else 0
        go_to = {TP(*source): at for source, at in self._taken.items()}
        cast(Consumer, self.app.consumer).go_to(go_to)

    async def release(self) -> None:
        """From now on nobody is told anything of these partitions."""
        self._caught_up = False
        self._taken = {}
        metrics.ALERTMANAGER_ALERTS.set(0)

    # -- taking

    async def take(self, event: EventT[list[ConsumerRecord]]) -> None:
        source = (event.message.topic, event.message.partition)
        if event.message.generation_id != self.app.consumer_generation_id:
            return  # of an assignment that is over
        if source in self._taken:
            records = cast(list[ConsumerRecord], event.value)
            for record in records:
                self._apply(record)
            self._taken[source] = event.message.offset + 1
            self._forget()
            metrics.ARCHIVED.labels(self.name, self.kinds[source[0]]).inc(len(records))
        event.ack()

    def _apply(self, record: ConsumerRecord) -> None:
        at = record.timestamp / 1000
        try:
            if record.value is not None:
                self._board.apply(_decode(record.value), at)
            elif self.kinds[record.topic] != EVENT:
                headers = dict(record.headers)
                device_id, _, rule = (record.key or b"").decode().rpartition("|")
                alert_id = headers.get("alert_id")
                self._board.close(
                    (device_id, rule),
                    alert_id and alert_id.decode(),
                    int(headers.get("seq", b"0")),
                    at,
                )
        except (msgspec.MsgspecError, ValueError) as error:
            metrics.ARCHIVE_REFUSED.labels(self.name).inc()
            where = (record.topic, record.partition, record.offset)
            log.warning("no alert event at %s partition %d offset %d: %s", *where, error)

    def _forget(self) -> None:
        told = min(one.told for one in self._told)
        self._board.forget(time.time(), told if self._caught_up else self._board.version)

    # -- telling

    async def tell_for_ever(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._catch_up())
            for alertmanager in self._told:
                tasks.create_task(self._keep_informed(alertmanager))

    async def _catch_up(self) -> None:
        """Look, after every assignment, when all is read that there was at its time."""
        while not self.app.should_stop:
            await asyncio.sleep(TOGETHER)
            if self._caught_up or not self._taken:
                continue
            reader = cast(Consumer, self.app.consumer)
            if all(
                reader.read_to(TP(*source), at) >= self._ends.get(source, 0)
                for source, at in self._taken.items()
            ):
                self._caught_up, self.problem = True, None
                metrics.ALERTMANAGER_ALERTS.set(len(self._board))
                log.info("%s: caught up, %d alerts are open", self.name, len(self._board))

    async def _keep_informed(self, alertmanager: Alertmanager) -> None:
        pause = 0.0
        while not self.app.should_stop:
            await asyncio.sleep(pause or TOGETHER)
            board = self._board
            if not self._caught_up or not alertmanager.is_due(board, time.time()):
                continue
            try:
                await alertmanager.tell(board, time.time())
            except SinkUnavailable as why:
                pause = PAUSES.after(pause, 0)
                self._note_away(alertmanager, str(why))
            else:
                pause = 0.0
                self._note_there(alertmanager)
            if board is not self._board:  # partitions came or went meanwhile
                alertmanager.began_again()

    def _note_away(self, alertmanager: Alertmanager, why: str) -> None:
        metrics.ARCHIVE_FAILURES.labels(self.name).inc()
        metrics.ALERTMANAGER_REACHED.labels(alertmanager.name).set(0)
        if alertmanager.name not in self._away:
            log.warning("%s can't be told, and is tried again: %s", alertmanager.name, why)
        self._away[alertmanager.name] = why
        if len(self._away) == len(self._told) and self._caught_up:
            self.problem = f"no Alertmanager can be told: {why}"

    def _note_there(self, alertmanager: Alertmanager) -> None:
        metrics.ALERTMANAGER_REACHED.labels(alertmanager.name).set(1)
        if self._away.pop(alertmanager.name, None):
            log.warning("%s can be told again, and was told all", alertmanager.name)
        if self._caught_up:
            self.problem = None

    # -- beside that

    async def look_for_ever(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(LOOK_EVERY)
            if self._caught_up:
                self._forget()
                metrics.ALERTMANAGER_ALERTS.set(len(self._board))
            await self._lag.look(self._taken)


def page_of(settings: Settings) -> str:
    """The address that people reach the page at."""
    scheme = "https" if settings.web_certfile else "http"
    return settings.web_url or f"{scheme}://localhost:{settings.web_port or 8000}"
