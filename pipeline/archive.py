"""What `faust -A pipeline.archive:mysql worker` runs, and `:mongo` and `:redis`, an archive each;
`:alertmanager` and `:webhook`, who tell others of alerts.

Storage is apart from the alerts, and each database from the others: a Faust app, a consumer group
and a process of its own, with its own progress. So one that is slow, or away, delays itself alone.
The client of a database is imported where its archive starts: nothing else needs its driver.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from faust import Stream
from faust.types import TP, EventT, StreamT
from mode import Service

from agents.archive import Archive
from agents.bridge import Bridge
from agents.webhook import Webhook
from pipeline.garbage import seldom
from pipeline.metrics import begin_archive
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.sinks.known import APART, NoSink
from pipeline.sinks.sink import EVENT, OPEN, READING, WINDOW
from pipeline.streams import App, end_process, supervised
from pipeline.streams import app as worker
from pipeline.transport import Chunks
from pipeline.watchdog import Watchdog
from pipeline.web.vitals import Vitals

log = logging.getLogger(__name__)

DAY: Final = 86_400.0
# A database may be away for long, and then nothing is polled; the watchdog sees what hangs.
MOST_BETWEEN_POLLS: Final = 30 * DAY


class Part(Protocol):
    """What is done with the records. `problem` is why it can't be done now."""

    name: str
    kinds: Mapping[str, str]
    cluster: str

    @property
    def problem(self) -> str | None: ...

    def begin(self) -> None:
        """NoSink where it isn't set whom this is for."""

    def tasks(self) -> Sequence[Callable[[], Coroutine[None, None, None]]]:
        """What runs beside, for ever."""

    async def take(self, event: EventT[Any]) -> None: ...

    async def release(self) -> None: ...

    async def restore(self, assigned: frozenset[TP]) -> None: ...

    def positioned(self, positions: Mapping[TP, int]) -> None: ...

    async def close(self) -> None: ...


class Archiver(App):
    """A Faust app that keeps no state of its own."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        made: Callable[[App, str, Mapping[str, str]], Part] = Archive,
    ) -> None:
        super().__init__(
            settings,
            Names(settings.topic_prefix).archive(name),
            broker_max_poll_interval=MOST_BETWEEN_POLLS,
        )
        self.archive = made(self, name, _kinds(self.names, APART[name]))
        self.on_release = self.archive.release
        self.on_restore = self.archive.restore
        self.on_positioned = self.archive.positioned
        self.on_setup = self._begin
        self.web_service = _Web(self, name)
        sources = self.topic(*self.archive.kinds, schema=Chunks(), key_type=bytes,
                             value_type=bytes, allow_empty=True)  # fmt: skip
        self.agent(sources, name=f"archive-{name}", concurrency=1)(self._take)
        for task in self.archive.tasks():
            self.task(_supervised(task))

    def _create_directories(self) -> None:
        """What it keeps is in the database."""

    def settled(self, cluster: str, partitions: int) -> None:
        self.partition_count = partitions
        self.archive.cluster = cluster

    def _begin(self) -> None:
        try:
            self.archive.begin()
        except NoSink as error:
            end_process(str(error))
        begin_archive(self.archive.name, self.archive.kinds.values())
        Watchdog(self).start()
        seldom()

    async def _take(self, stream: StreamT[Any]) -> None:
        try:
            async for event in cast(Stream[Any], stream).noack().events():
                await self.archive.take(event)
        except Exception:
            log.exception("the archive failed")
            end_process("the archive failed")


class _Web(Service):
    """What can be asked of the process, from its first second to its last."""

    def __init__(self, app: Archiver, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        settings, number = app.settings, list(APART).index(name)
        port = settings.archive_port and settings.archive_port + number
        self._vitals = Vitals(settings.web_host, port, lambda: app.archive.problem)

    async def on_start(self) -> None:
        await self._vitals.start()

    async def on_stop(self) -> None:
        await self._vitals.stop()
        await self._app.archive.close()


def _kinds(names: Names, kinds: tuple[str, ...]) -> dict[str, str]:
    """Topic to what its records say."""
    topics = {
        READING: names.readings,
        EVENT: names.alerts,
        OPEN: names.alerts_open,
        WINDOW: names.windows,
    }
    return {topics[kind]: kind for kind in kinds}


def _supervised(task: Callable[[], Coroutine[None, None, None]]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await supervised(task())

    return run


mysql = Archiver(worker.settings, "mysql")
mongo = Archiver(worker.settings, "mongo")
redis = Archiver(worker.settings, "redis")
alertmanager = Archiver(worker.settings, "alertmanager", Bridge)
webhook = Archiver(worker.settings, "webhook", Webhook)
