"""What `faust -A pipeline.archive:mysql worker` runs, and `:mongo` and `:redis`: an archive each.

Storage is apart from the alerts, and each database from the others: a Faust app, a consumer group
and a process of its own, with its own progress. So one that is slow, or away, delays itself alone.
The client of a database is imported where its archive starts: nothing else needs its driver.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast

from faust import Stream
from faust.types import StreamT
from mode import Service

from agents.archive import Archive
from pipeline.garbage import seldom
from pipeline.metrics import begin_archive
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.sinks.known import SINKS, NoSink, sink_of
from pipeline.sinks.sink import EVENT, OPEN, READING, WINDOW
from pipeline.streams import App, end_process
from pipeline.streams import app as worker
from pipeline.transport import Chunks
from pipeline.watchdog import Watchdog
from pipeline.web.vitals import Vitals

log = logging.getLogger(__name__)

DAY: Final = 86_400.0
# A database may be away for long, and then nothing is polled; the watchdog sees what hangs.
MOST_BETWEEN_POLLS: Final = 30 * DAY


class Archiver(App):
    """A Faust app that keeps no state of its own."""

    def __init__(self, settings: Settings, name: str) -> None:
        super().__init__(
            settings,
            Names(settings.topic_prefix).archive(name),
            broker_max_poll_interval=MOST_BETWEEN_POLLS,
        )
        self.archive = Archive(self, name, _kinds(self.names, SINKS[name].kinds))
        self.on_release = self.archive.release
        self.on_restore = self.archive.restore
        self.on_positioned = self.archive.positioned
        self.on_setup = self._begin
        self.web_service = _Web(self)
        sources = self.topic(*self.archive.kinds, schema=Chunks(), key_type=bytes,
                             value_type=bytes, allow_empty=True)  # fmt: skip
        self.agent(sources, name=f"archive-{name}", concurrency=1)(self._take)
        for task in (
            self.archive.write_for_ever,
            self.archive.tidy_for_ever,
            self.archive.look_for_ever,
        ):
            self.task(_supervised(task))

    def _create_directories(self) -> None:
        """What it keeps is in the database."""

    def settled(self, cluster: str, partitions: int) -> None:
        self.partition_count = partitions
        self.archive.cluster = cluster

    def _begin(self) -> None:
        try:
            self.archive.sink = sink_of(self.archive.name, self.settings)
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

    def __init__(self, app: Archiver, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        settings, number = app.settings, list(SINKS).index(app.archive.name)
        port = settings.archive_port and settings.archive_port + number
        self._vitals = Vitals(settings.web_host, port, lambda: app.archive.problem)

    async def on_start(self) -> None:
        await self._vitals.start()

    async def on_stop(self) -> None:
        await self._vitals.stop()
        if hasattr(self._app.archive, "sink"):
            await self._app.archive.sink.close()


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
    """A background task that fails ends the process: the archive is of no use without it."""

    async def run() -> None:
        try:
            await task()
        except Exception:
            log.exception("a background task failed")
            end_process("a background task failed")

    return run


mysql = Archiver(worker.settings, "mysql")
mongo = Archiver(worker.settings, "mongo")
redis = Archiver(worker.settings, "redis")
