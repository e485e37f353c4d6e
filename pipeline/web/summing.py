"""A cursor of MySQL's and a time in; what each metric came to in its buckets out. Runs in a thread.

The whole fleet's are added up of its own windows, of 5 minutes each, which the archive keeps; those
of some devices of theirs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.access import Scope
from pipeline.web.asking import Unanswered
from pipeline.web.episodes import NEVER
from pipeline.web.queries import LOOKING, Stored, Where, moment, seconds_of, stored
from pipeline.web.series import Part

if TYPE_CHECKING:  # the driver needs not be there
    from pymysql.cursors import Cursor

MOST_DEVICES: Final = 10_000  # of a scope
MOST_BUCKETS: Final = 50_000


class Sought(NamedTuple):
    """Windows of one device, or of all that a scope covers, from `since`, where a bucket begins, to
    `until`."""

    device: str | None
    metrics: frozenset[str]
    scope: Scope
    since: float
    until: float
    seconds: int


class Summed(NamedTuple):
    """What a metric came to in its buckets; `since` is when the first of the windows began."""

    since: float
    parts: dict[str, list[Part]]
    stored: Stored


def windows(cursor: Cursor, sought: Sought) -> Summed:
    metrics = _metrics(cursor, sought.metrics)
    if sought.device is None and sought.scope.sees_all:
        return _of_fleet(cursor, sought, metrics)
    devices = _devices(cursor, sought.scope) if sought.device is None else [sought.device]
    devices = [one for one in devices if one.isascii()]  # others can't be compared, and are nobody
    ends = time.monotonic() + LOOKING
    parts: dict[str, list[Part]] = {}
    for device_id in devices:
        _sum(cursor, sought, metrics, parts, device_id)
        if time.monotonic() > ends:
            raise Unanswered  # so many devices are more than can be added up while somebody waits
    since = _least(cursor, "SELECT MIN(first_at) FROM devices WHERE device_id IN %s", devices)
    return Summed(since, parts, stored(cursor, "windows"))


def _of_fleet(cursor: Cursor, sought: Sought, metrics: Sequence[str]) -> Summed:
    parts: dict[str, list[Part]] = {}
    _sum(cursor, sought, metrics, parts)
    # grouped, an index leads to the first of each metric: else all of them are read
    first = "SELECT MIN(start) FROM fleet_windows WHERE metric IN %s GROUP BY metric"
    since = _least(cursor, first, metrics)
    return Summed(since, parts, stored(cursor, "windows"))


def _sum(
    cursor: Cursor,
    sought: Sought,
    metrics: Sequence[str],
    parts: dict[str, list[Part]],
    device_id: str | None = None,
) -> None:
    """Of one device, or of all."""
    if not metrics:
        return
    where = Where()
    if device_id is not None:
        where.add("device_id = %s", device_id)
    where.add("metric IN %s", metrics)
    where.add("start >= %s AND start < %s", moment(sought.since), moment(sought.until))
    of_all = device_id is None
    table, total = ("fleet_windows", "total") if of_all else ("windows", "mean * `count`")
    text = (
        "SELECT metric, FLOOR(TIMESTAMPDIFF(SECOND, '1970-01-01', start) / %s) * %s AS begin,"  # noqa: S608
        f" SUM(`count`), SUM({total}), MIN(`min`), MAX(`max`) FROM {table}"
        f" WHERE {where} GROUP BY metric, begin LIMIT {MOST_BUCKETS}"
    )
    cursor.execute(text, (sought.seconds, sought.seconds, *where.values))
    for metric, begin, count, summed, least, most in cursor.fetchall():
        part = Part(float(begin), int(count), float(summed), least, most)
        parts.setdefault(metric, []).append(part)


def _metrics(cursor: Cursor, asked: frozenset[str]) -> list[str]:
    cursor.execute("SELECT DISTINCT metric FROM fleet_windows")
    return [metric for (metric,) in cursor.fetchall() if not asked or metric in asked]


def _devices(cursor: Cursor, scope: Scope) -> list[str]:
    where = Where()
    where.like("device_id", scope.devices)
    text = f"SELECT device_id FROM devices WHERE {where} LIMIT {MOST_DEVICES}"  # noqa: S608
    cursor.execute(text, where.values)
    return [device_id for (device_id,) in cursor.fetchall() if scope.sees(device_id)]


def _least(cursor: Cursor, text: str, among: Sequence[str]) -> float:
    if not among:
        return NEVER
    cursor.execute(text, (among,))
    return min((seconds_of(at) for (at,) in cursor.fetchall() if at is not None), default=NEVER)
