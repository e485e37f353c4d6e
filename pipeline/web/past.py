"""Questions about the past in; what MySQL or MariaDB keeps out, or Unanswered.

PyMySQL waits for its answers: so it does that in threads of our own, four and no more, each with a
connection that is kept for the next who asks. The server ends by itself what takes it too long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import pymysql
from pymysql.cursors import Cursor

from pipeline.access import Scope
from pipeline.settings import Settings
from pipeline.sinks.link import Link, arguments_of
from pipeline.web import queries, summing
from pipeline.web.asking import WITHIN, Asking
from pipeline.web.episodes import Asked
from pipeline.web.queries import Found, Stored
from pipeline.web.summing import Sought, Summed

LINKS: Final = 4
LONGEST_ID: Final = 36  # of an alert
DAY: Final = 86_400.0
# MariaDB and MySQL have a setting each, and read the other's as a comment.
LIMITED: Final = (
    "SET time_zone = '+00:00'"
    " /*M! , max_statement_time = 2 */ /*!80000 , max_execution_time = 2000 */"
)
LIMITS: Final = {
    "connect_timeout": 2,
    "read_timeout": WITHIN,
    "write_timeout": WITHIN,
    "autocommit": True,  # each question sees what is there by then
    "init_command": LIMITED,
}

T = TypeVar("T")


class Past:
    def __init__(self, settings: Settings) -> None:
        """ValueError where the URL is none of MySQL's."""
        self._how = {**arguments_of(settings.mysql_url), **LIMITS}
        self._kept_for = settings.mysql_days * DAY or float("inf")
        self._asking = Asking("mysql")
        self._threads = ThreadPoolExecutor(LINKS, thread_name_prefix="mysql")
        self._room = asyncio.Semaphore(LINKS)
        self._idle: list[Link] = []
        self._busy: set[Link] = set()

    async def alerts(self, asked: Asked, scope: Scope) -> Found:
        """A page of them and more, where there are more."""
        found = await self._ask(queries.alerts, asked, scope)
        return found._replace(stored=self._whole(found.stored))

    async def events(self, alert_id: str) -> list[bytes]:
        """Of an alert; none where it isn't known."""
        if not alert_id.isascii() or len(alert_id) > LONGEST_ID:
            return []
        return await self._ask(queries.events, alert_id)

    async def windows(self, sought: Sought) -> Summed:
        summed = await self._ask(summing.windows, sought)
        return summed._replace(stored=self._whole(summed.stored))

    def _whole(self, stored: Stored) -> Stored:
        """Some of what is older than it is kept for may be gone."""
        return stored._replace(first=max(stored.first, time.time() - self._kept_for))

    async def stop(self) -> None:
        for link in (*self._busy, *self._idle):
            link.cut()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._asking.answer(lambda: self._run(work, *arguments))

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        await self._room.acquire()
        link = self._idle.pop() if self._idle else Link(self._how)
        self._busy.add(link)
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._threads, link.do, _alive, work, *arguments)
        done.add_done_callback(partial(self._done, link))
        # who asked may give up; the connection is free once its thread has come back
        return await asyncio.shield(done)

    def _done(self, link: Link, done: asyncio.Future[Any]) -> None:
        self._busy.discard(link)
        self._room.release()
        if done.cancelled() or done.exception() is not None:
            link.drop()
        else:
            self._idle.append(link)


def _alive(cursor: Cursor, work: Callable[..., T], *arguments: Any) -> T:
    """A connection that was idle may be over: the server was started again, or has had enough."""
    try:
        cursor.connection.ping(reconnect=False)
    except (pymysql.MySQLError, OSError):
        cursor.connection.connect()
    return work(cursor, *arguments)
