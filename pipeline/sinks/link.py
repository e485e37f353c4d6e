"""A URL of MySQL or MariaDB in; a connection, whose work is done in a thread, out.

PyMySQL waits for its answers, so nobody on the event loop may call it. What goes wrong on the way
is told as a decision: SinkRejected where it is a row's fault, SinkUnavailable where it may be
better later.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
from pymysql.cursors import Cursor

from pipeline.sinks.sink import SinkRejected, SinkUnavailable, TakesTooLong

TIMEOUT: Final = 20  # seconds for one answer
MODE: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION"  # nothing is cut in silence
NO_TABLE, DUPLICATE = 1146, 1062
TOO_LONG: Final = frozenset({1969, 3024})  # MariaDB's and MySQL's own limit
# What a row is refused for: null, range, cut, value, text, letters that its column has not, length,
# foreign keys, a trigger, JSON and checks. All else is the server's state, and may be better later.
REFUSED: Final = frozenset(
    {
        1048, 1264, 1265, 1267, 1271, 1292, 1366, 1406, 1451, 1452, 1644, 1690, 3140, 3819, 3854,
        4025, DUPLICATE,
    }
)  # fmt: skip

T = TypeVar("T")


class Link:
    """A connection, made when it is first used."""

    def __init__(self, how: Mapping[str, Any]) -> None:
        self._how = how
        self._connection: pymysql.Connection[Cursor] | None = None
        self._busy = False
        self._dropped = False

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(self.do, work, *arguments)

    def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """In a thread, one at a time."""
        self._busy = True
        try:
            if self._connection is None:
                self._connection = pymysql.connect(**self._how)
            with self._connection.cursor() as cursor:
                return work(cursor, *arguments)
        except (pymysql.MySQLError, OSError) as error:
            raise told(error) from None
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

    def cut(self) -> None:
        """Drop it, and have its thread come back now, whatever it waits for."""
        self.drop()
        with suppress(OSError, AttributeError):  # not connected, or not any more
            self._connection._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def _close(self) -> None:
        if self._connection:
            self._connection._force_close()


def arguments_of(url: str) -> dict[str, Any]:
    """Of a connection; ValueError where the URL is none of MySQL's."""
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


def told(error: Exception) -> Exception:
    code = error.args[0] if error.args else None
    if code == NO_TABLE:
        return SinkUnavailable("its tables are not there: run `smart-iot archive migrate`")
    if code in TOO_LONG:
        return TakesTooLong(str(error))
    if isinstance(error, pymysql.DataError) or code in REFUSED or _is_ours(error, code):
        return SinkRejected(str(error))
    return SinkUnavailable(str(error) or type(error).__name__)


def _is_ours(error: Exception, code: object) -> bool:
    """PyMySQL refuses by itself what can't be written as SQL, such as an infinite number."""
    return isinstance(error, pymysql.ProgrammingError) and not isinstance(code, int)
