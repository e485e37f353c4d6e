"""Alert events and windows in; in MySQL or MariaDB every alert, its events and all statistics.

One transaction a batch, which ends with the progress of its partitions: all of it is there, or
nothing. A table row is written under its identity, and only over an older one, so that a database
which is filled anew from Kafka comes out the same.

PyMySQL waits for its answers, so it does that in a thread, one transaction at a time. A connection
on which something went wrong is dropped, and the server takes back what was under way on it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

from pipeline.settings import Settings
from pipeline.sinks import schema
from pipeline.sinks.entries import Event, Window
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

TIMEOUT: Final = 20  # seconds for one answer
TIDY_ROWS: Final = 2_000
MODE: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION"  # nothing is cut in silence
NO_TABLE, DUPLICATE = 1146, 1062
# What a row is refused for: null, range, cut, value, text, length, packet, foreign keys, a trigger,
# JSON and checks. All else is the server's state, and may be better later.
REFUSED: Final = frozenset(
    {1048, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1644, 1690, 3140, 3819, 4025, DUPLICATE}
)

T = TypeVar("T")


class MySQL:
    takes = (EVENT, WINDOW)

    def __init__(self, settings: Settings) -> None:
        """ValueError where the URL is none of MySQL's."""
        self._how = arguments_of(settings.mysql_url)
        self._days = settings.mysql_days
        self._link: _Link | None = None
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
        spans, now = named(cluster, batch.spans), _utc(at)
        async with self._transaction() as link:
            if stands(spans, await link.run(_progress, list(spans), "FOR UPDATE")):
                return

            async def put(entries: Sequence[Entry]) -> None:
                await link.run(_put, entries, now)

            refused = batch.refused + await without_rejected(batch.entries, put)
            if refused:
                await refuse(refused)
            await link.run(_advance, spans)

    async def tidy(self, at: float) -> int:
        if not self._days:
            return 0
        before = _utc(at) - timedelta(days=self._days)
        async with self._transaction() as link:
            return await link.run(_tidy, before)

    async def close(self) -> None:
        async with self._turn:
            if self._link:
                self._link.drop()
                self._link = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_Link]:
        """Committed at the end of the block, unless that is left by an exception."""
        async with self._turn:
            link, self._link = self._link or _Link(self._how), None
            try:
                yield link
                await link.run(_commit)
            except BaseException:
                link.drop()
                raise
            self._link = link


class _Link:
    """A connection, made when it is first used."""

    def __init__(self, how: Mapping[str, Any]) -> None:
        self._how = how
        self._connection: pymysql.Connection[Cursor] | None = None
        self._busy = False
        self._dropped = False

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(self._run, work, *arguments)

    def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        self._busy = True
        try:
            if self._connection is None:
                self._connection = pymysql.connect(**self._how)
            with self._connection.cursor() as cursor:
                return work(cursor, *arguments)
        except (pymysql.MySQLError, OSError) as error:
            raise _told(error) from None
        finally:
            self._busy = False
            if self._dropped:
                self._close()

    def drop(self) -> None:
        """Close it without a word, at once or when its thread has come back: whoever waits for that
        may have given up."""
        self._dropped = True
        if not self._busy:
            self._close()

    def _close(self) -> None:
        if self._connection:
            self._connection._force_close()


def arguments_of(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    database = unquote(parts.path.strip("/"))
    if parts.scheme not in ("mysql", "mariadb") or not parts.hostname or not database:
        raise ValueError("it must read mysql://user:password@host:port/database")
    authorities = parse_qs(parts.query).get("ssl_ca")
    return {
        "host": parts.hostname,
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": database,
        "charset": "utf8mb4",
        "connect_timeout": TIMEOUT,
        "read_timeout": TIMEOUT,
        "write_timeout": TIMEOUT,
        "sql_mode": MODE,
        "init_command": "SET time_zone = '+00:00'",
        "ssl": ssl.create_default_context(cafile=authorities[0]) if authorities else None,
    }


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
    rows = {
        schema.TOUCH_DEVICES: _touched(events, windows, now),
        schema.PUT_EVENTS: [_event_row(entry, now) for entry in events],
        schema.PUT_ALERTS: _alert_rows(events, now),
        schema.PUT_WINDOWS: [_window_row(window, now) for window in windows],
    }
    cursor.execute("SAVEPOINT piece")
    try:
        for statement, some in rows.items():
            if some:
                cursor.executemany(statement, some)
    except pymysql.MySQLError as error:
        why = _told(error)
        if isinstance(why, SinkRejected):
            cursor.execute("ROLLBACK TO SAVEPOINT piece")
        raise why from None


def _tidy(cursor: Cursor, before: datetime) -> int:
    for statement in schema.TIDY:
        if gone := cursor.execute(statement.format(limit=TIDY_ROWS), (before,)):
            return int(gone)
    return 0


# -- rows, in the order of their keys: so two archives never wait for each other


def _touched(
    events: Iterable[Entry], windows: Iterable[Window], now: datetime
) -> list[tuple[Any, ...]]:
    began: dict[str, list[datetime]] = {}
    for window in windows:
        began.setdefault(window.device_id, []).append(window.start)
    for entry in events:
        if not entry.content.device_id.startswith("*"):
            began.setdefault(entry.content.device_id, []).append(entry.content.started_at)
    return [
        (device_id, _naive(min(times)), _naive(max(times)), now)
        for device_id, times in sorted(began.items())
    ]


def _event_row(entry: Entry, now: datetime) -> tuple[Any, ...]:
    event: Event = entry.content
    return event.alert_id, event.seq, event.event, _naive(event.detected_at), _body(entry), now


def _alert_rows(events: Iterable[Entry], now: datetime) -> list[tuple[Any, ...]]:
    last: dict[str, Entry] = {}
    for entry in events:
        known = last.setdefault(entry.content.alert_id, entry)
        if entry.content.seq >= known.content.seq:
            last[entry.content.alert_id] = entry
    return [_alert_row(last[alert_id], now) for alert_id in sorted(last)]


def _alert_row(entry: Entry, now: datetime) -> tuple[Any, ...]:
    event: Event = entry.content
    resolved_at = event.resolved_at and _naive(event.resolved_at)
    return (
        event.alert_id, event.device_id, event.rule, event.severity, event.status,
        _naive(event.started_at), resolved_at, _body(entry), now, event.seq,
    )  # fmt: skip


def _window_row(window: Window, now: datetime) -> tuple[Any, ...]:
    return (
        window.device_id, window.metric, _naive(window.start), window.seconds, window.count,
        window.mean, window.min, window.max, window.last, window.unit, now, window.revision,
    )  # fmt: skip


def _body(entry: Entry) -> str:
    try:
        return (entry.value or b"").decode()
    except UnicodeDecodeError as error:
        raise SinkRejected(f"it is no UTF-8: {error}") from None


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None, microsecond=0)


def _told(error: Exception) -> Exception:
    code = error.args[0] if error.args else None
    if code == NO_TABLE:
        return SinkUnavailable("its tables are not there: run `smart-iot archive migrate`")
    if isinstance(error, pymysql.DataError) or code in REFUSED or _is_ours(error, code):
        return SinkRejected(str(error))
    return SinkUnavailable(str(error) or type(error).__name__)


def _is_ours(error: Exception, code: object) -> bool:
    """PyMySQL refuses by itself what can't be written as SQL, such as an infinite number."""
    return isinstance(error, pymysql.ProgrammingError) and not isinstance(code, int)
