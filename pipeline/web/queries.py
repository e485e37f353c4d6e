"""A cursor of MySQL's and what somebody asks for in; what is kept of it out. Runs in a thread.

What SQL can't say as fnmatch does (`[…]`) it says more widely, and the rest is looked at here. No
question reads for long: alerts are looked for step by step, and who gets a page that isn't full
goes on where it ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pipeline.access import Scope
from pipeline.globs import ONE_OF
from pipeline.sinks.rows import SEVERITIES
from pipeline.web.episodes import ALWAYS, LONGEST_EPISODE, NEVER, Asked, Place

if TYPE_CHECKING:  # the driver needs not be there
    from pymysql.cursors import Cursor

LOOKING: Final = 1.5  # seconds that a question may look for more
SLICE: Final = 500  # alerts that are read at once
STEP: Final = 2_000  # alerts that are looked at for them
EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  (UTC, which MySQL doesn't say)
FARTHEST: Final = 3e10  # seconds from there that can be said: 950 years
EVENTS: Final = "SELECT body FROM alert_events WHERE alert_id = %s ORDER BY seq DESC LIMIT %s"
ORDER: Final = "ORDER BY started_at DESC, alert_id DESC LIMIT"


class Kept(NamedTuple):
    """An alert by its last event."""

    place: Place
    seq: int
    text: bytes


class Stored(NamedTuple):
    """When the first and the last row was stored that is there."""

    first: float
    last: float

    def since(self, known: float) -> float:
        """From then on nothing is missing, where nothing is of what was told after `known`: if the
        archive has come that far."""
        return known if self.last < known else min(known, self.first)


class Found(NamedTuple):
    """Alerts, the one that began last first. `end` is the place up to which was looked, though
    there are more; None where there aren't."""

    alerts: list[Kept]
    end: Place | None
    stored: Stored


class Where:
    """Conditions that must all hold, and their values."""

    def __init__(self) -> None:
        self._texts = ["TRUE"]
        self.values: list[Any] = []

    def add(self, text: str, *values: Any) -> None:
        self._texts.append(text)
        self.values += values

    def like(self, column: str, globs: Iterable[str]) -> None:
        """At least what one of them matches."""
        patterns = [pattern for pattern in map(_pattern, globs) if pattern is not None]
        same = " OR ".join([f"{column} LIKE %s ESCAPE '|'"] * len(patterns))
        self.add(f"({same or 'FALSE'})", *patterns)

    def __str__(self) -> str:
        return " AND ".join(self._texts)


def _pattern(glob: str) -> str | None:
    """Of LIKE; None where no text of ours can match, since they are ASCII."""
    text = ONE_OF.sub("?", glob)
    if not text.isascii():
        return None
    for ours, theirs in (("|", "||"), ("%", "|%"), ("_", "|_"), ("*", "%"), ("?", "_")):
        text = text.replace(ours, theirs)
    return text


def alerts(cursor: Cursor, asked: Asked, scope: Scope) -> Found:
    found: list[Kept] = []
    after, ends = asked.after, time.monotonic() + LOOKING
    while True:
        bound = _bound(cursor, asked, after)
        rows = _slice(cursor, asked, scope, after, bound)
        found += [_kept(row) for row in rows if _is_meant(row, asked, scope)]
        after = bound if len(rows) < SLICE else _kept(rows[-1]).place
        if after is None or len(found) > asked.limit or time.monotonic() > ends:
            return Found(found, after, stored(cursor, "alert_events"))


def _bound(cursor: Cursor, asked: Asked, after: Place | None) -> Place | None:
    """Where so many alerts have been looked at, whatever is found among them; None where an index
    leads to what is looked for, or so many there aren't."""
    by_index = asked.status == "active" or (asked.device is not None and asked.device.is_exact)
    if by_index or asked.since > ALWAYS:
        return None
    where = _before(asked, after)
    text = f"SELECT started_at, alert_id FROM alerts WHERE {where} {ORDER} {STEP}, 1"  # noqa: S608
    cursor.execute(text, where.values)
    return next(((seconds_of(at), alert_id) for at, alert_id in cursor.fetchall()), None)


def _slice(
    cursor: Cursor, asked: Asked, scope: Scope, after: Place | None, bound: Place | None
) -> Sequence[tuple[Any, ...]]:
    where = _where(asked, scope, after)
    if bound is not None:
        at, alert_id = _sayable(bound)
        where.add("started_at >= %s AND (started_at > %s OR alert_id >= %s)", at, at, alert_id)
    columns = "SELECT alert_id, seq, device_id, rule, started_at, body FROM alerts"
    if asked.since == ALWAYS:
        cursor.execute(f"{columns} WHERE {where} {ORDER} {SLICE}", where.values)
        return list(cursor.fetchall())
    # those that are open, and those that were then, each by its own index
    ways = {"status = 'active'": [], "status = 'resolved' AND resolved_at >= %s": [asked.since]}
    parts = [f"({columns} WHERE {where} AND {way} {ORDER} {SLICE})" for way in ways]
    values = [value for more in ways.values() for value in (*where.values, *map(moment, more))]
    cursor.execute(f"{' UNION ALL '.join(parts)} {ORDER} {SLICE}", values)
    return list(cursor.fetchall())


def _before(asked: Asked, after: Place | None) -> Where:
    """One bound and no more: of two MySQL has been seen to take the wider one."""
    where = Where()
    if after is None or asked.until <= after[0]:
        if asked.until < NEVER:
            where.add("started_at < %s", moment(asked.until))
    else:
        at, alert_id = _sayable(after)
        where.add("started_at <= %s AND (started_at < %s OR alert_id < %s)", at, at, alert_id)
    return where


def _sayable(place: Place) -> tuple[datetime, str]:
    return moment(place[0]), place[1].encode("ascii", "replace").decode()


def _where(asked: Asked, scope: Scope, after: Place | None) -> Where:
    where = _before(asked, after)
    if asked.device is not None:
        where.like("device_id", [asked.device.text])
    if not scope.sees_all:
        where.like("device_id", scope.devices)
    if asked.rule is not None:
        where.like("rule", [asked.rule.text])
    if asked.severities:
        where.add("severities & %s", sum(SEVERITIES[name] for name in asked.severities))
    if asked.status:
        where.add("status = %s", asked.status)
    return where


def _is_meant(row: Sequence[Any], asked: Asked, scope: Scope) -> bool:
    device_id, rule = row[2], row[3]
    return (
        scope.sees(device_id)
        and (asked.device is None or asked.device.match(device_id))
        and (asked.rule is None or asked.rule.match(rule))
    )


def _kept(row: Sequence[Any]) -> Kept:
    alert_id, seq, _, _, started_at, body = row
    return Kept((seconds_of(started_at), alert_id), seq, body.encode())


def events(cursor: Cursor, alert_id: str) -> list[bytes]:
    """The last of one alert, in the order of their seq."""
    cursor.execute(EVENTS, (alert_id, LONGEST_EPISODE))
    return [body.encode() for (body,) in reversed(cursor.fetchall())]


# -- times


def stored(cursor: Cursor, table: str) -> Stored:
    cursor.execute(f"SELECT MIN(stored_at), MAX(stored_at) FROM {table}")  # noqa: S608
    ((first, last),) = cursor.fetchall()
    return Stored(NEVER, ALWAYS) if first is None else Stored(seconds_of(first), seconds_of(last))


def moment(at: float) -> datetime:
    return EPOCH + timedelta(seconds=min(max(at, -FARTHEST), FARTHEST))


def seconds_of(moment: datetime) -> float:
    """As `parse_time` reckons, to the last bit: places are compared."""
    since = moment - EPOCH
    return since.days * 86_400.0 + since.seconds + since.microseconds / 1e6
