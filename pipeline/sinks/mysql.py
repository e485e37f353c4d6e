"""Alert events and windows in; in MySQL or MariaDB every alert, its events and all statistics.

One transaction a batch, which ends with the progress of its partitions: all of it is there, or
nothing. A table row is written under its identity, and only over an older one, so that a database
which is filled anew from Kafka comes out the same.

A connection on which something went wrong is dropped, and the server takes back what was under way
on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import pymysql
from pymysql.cursors import Cursor

from pipeline.settings import Settings
from pipeline.sinks import schema
from pipeline.sinks.entries import Window
from pipeline.sinks.link import TIMEOUT, Link, arguments_of, told
from pipeline.sinks.rows import (
    Known,
    alert_rows,
    event_rows,
    fleet_rows,
    identity,
    touched,
    utc,
    window_rows,
)
from pipeline.sinks.sink import (
    EVENT,
    WINDOW,
    Batch,
    Entry,
    Refuse,
    SinkRejected,
    SinkUnavailable,
    Source,
    Span,
    name_of,
    named,
    stands,
    without_rejected,
)

TIDY_ROWS: Final = 2_000


class MySQL:
    takes = (EVENT, WINDOW)

    def __init__(self, settings: Settings) -> None:
        """ValueError where the URL is none of MySQL's."""
        self._how = arguments_of(settings.mysql_url)
        self._days = settings.mysql_days
        self._link: Link | None = None
        self._turn = asyncio.Lock()

    async def migrate(self) -> str:
        async with self._transaction() as link:
            before = await link.run(_migrate)
        if before == schema.VERSION:
            return f"MySQL has version {schema.VERSION} of the tables already"
        return f"MySQL has version {schema.VERSION} of the tables now, after {before}"

    async def progress(self, cluster: str, sources: Collection[Source]) -> Mapping[Source, int]:
        names = {name_of(cluster, source): source for source in sources}
        async with self._transaction() as link:
            await link.run(_check_version)
            stored = await link.run(_progress, list(names), "")
        return {names[name]: offset for name, offset in stored.items()}

    async def write(self, cluster: str, batch: Batch, refuse: Refuse, at: float) -> None:
        spans, now = named(cluster, batch.spans), utc(at)
        async with self._transaction() as link:
            if stands(spans, await link.run(_progress, list(spans), "FOR UPDATE")):
                return

            async def put(entries: Sequence[Entry]) -> None:
                await link.run(_put, entries, now)

            refused = batch.refused + await without_rejected(batch.entries, put)
            if refused:
                await refuse(refused)
            await link.run(_advance, spans)

    async def current(self, cluster: str, stands: Mapping[Source, int]) -> None:
        pass  # its readers know by when a row was stored

    async def tidy(self, at: float) -> int:
        if not self._days:
            return 0
        before = utc(at) - timedelta(days=self._days)
        async with self._transaction() as link:
            return await link.run(_tidy, before)

    async def close(self) -> None:
        async with self._turn:
            if self._link:
                self._link.drop()
                self._link = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Link]:
        """Committed at the end of the block, unless that is left by an exception."""
        async with self._turn:
            link, self._link = self._link or Link(self._how), None
            try:
                yield link
                await link.run(_commit)
            except BaseException:
                link.drop()
                raise
            self._link = link


# -- what is done on a connection, in its thread


def _commit(cursor: Cursor) -> None:
    cursor.connection.commit()


def _migrate(cursor: Cursor) -> int:
    cursor.execute(schema.VERSIONS)
    cursor.execute("SELECT GET_LOCK('smart-iot migrate', %s)", (TIMEOUT / 2,))
    if cursor.fetchone() != (1,):
        raise SinkUnavailable("somebody else migrates the tables")
    try:
        before = _version(cursor)
        for version, statements in enumerate(schema.MIGRATIONS[before:], before + 1):
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("INSERT INTO schema_version VALUES (%s)", (version,))
        return before
    finally:
        cursor.execute("SELECT RELEASE_LOCK('smart-iot migrate')")


def _version(cursor: Cursor) -> int:
    cursor.execute("SELECT MAX(version) FROM schema_version")
    (version,) = cursor.fetchone() or (None,)
    if (version or 0) > schema.VERSION:
        raise SinkUnavailable(f"its tables are of version {version}, which a newer smart-iot made")
    return int(version or 0)


def _check_version(cursor: Cursor) -> None:
    if _version(cursor) < schema.VERSION:
        raise SinkUnavailable("its tables are old: run `smart-iot archive migrate`")


def _progress(cursor: Cursor, names: Sequence[str], locked: str) -> dict[str, int]:
    cursor.execute(f"SELECT name, `next` FROM progress WHERE name IN %s {locked}", (names,))  # noqa: S608
    return dict(cursor.fetchall())


def _advance(cursor: Cursor, spans: Mapping[str, Span]) -> None:
    cursor.executemany(
        "INSERT INTO progress (name, `next`) VALUES (%s, %s)"
        " ON DUPLICATE KEY UPDATE `next` = VALUES(`next`)",
        [(name, span.end) for name, span in spans.items()],
    )


def _put(cursor: Cursor, entries: Sequence[Entry], now: datetime) -> None:
    """All of these, or none: what came before in the transaction stays."""
    events = [entry for entry in entries if entry.kind == EVENT]
    windows = [entry.content for entry in entries if entry.kind == WINDOW]
    cursor.execute("SAVEPOINT piece")
    try:
        rows = {
            schema.TOUCH_DEVICES: touched(events, windows, now),
            schema.PUT_EVENTS: event_rows(events, now),
            schema.PUT_ALERTS: alert_rows(events, now),
            schema.ADD_TO_FLEET: fleet_rows(windows, _known(cursor, windows), now),
            schema.PUT_WINDOWS: window_rows(windows, now),
        }
        for statement, some in rows.items():
            if some:
                cursor.executemany(statement, some)
    except pymysql.MySQLError as error:
        why = told(error)
        if isinstance(why, SinkRejected):
            cursor.execute("ROLLBACK TO SAVEPOINT piece")
        raise why from None


def _known(cursor: Cursor, windows: Sequence[Window]) -> Known:
    if not windows:
        return {}
    cursor.execute(schema.KNOWN_WINDOWS, (tuple({identity(window) for window in windows}),))
    return {
        (device_id, metric, start, seconds): (revision, count, mean)
        for device_id, metric, start, seconds, revision, count, mean in cursor.fetchall()
    }


def _tidy(cursor: Cursor, before: datetime) -> int:
    for statement in schema.TIDY:
        if gone := cursor.execute(statement.format(limit=TIDY_ROWS), (before,)):
            return int(gone)
    return 0
