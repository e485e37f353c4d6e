"""What MySQL reads for the API's questions: about what it answers, however much it keeps.

It counts the rows itself (`Handler_read_…`), so this holds on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pymysql
import pytest
from pymysql.cursors import Cursor

from pipeline.access import EVERYTHING, Scope
from pipeline.records import iso
from pipeline.sinks import schema
from pipeline.sinks.link import arguments_of
from pipeline.web import queries, summing
from pipeline.web.episodes import Asked, cursor_of
from pipeline.web.queries import moment
from pipeline.web.summing import Sought
from tests.stores import MariaDB

T0 = 1_764_000_000.0
STEP = 300  # seconds
ROWS = 10_000  # alerts of 200 devices, one a step; windows of 10; windows of the fleet, 2 metrics
SLICE, LOOKED_AT = 50, 200
BARN = Scope("barn", ("barn-7", "barn-8*"))

DIGITS = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10))
NUMBERS = (
    "(SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS n"  # noqa: S608
    f" FROM ({DIGITS}) a, ({DIGITS}) b, ({DIGITS}) c, ({DIGITS}) d) AS numbers"
)
FILL = (
    "INSERT INTO alerts (alert_id, seq, device_id, rule, severity, status, severities, started_at,"
    " resolved_at, body, stored_at) SELECT LPAD(n, 36, '0'), 2, CONCAT('barn-', n MOD 200),"
    " ELT(1 + n MOD 2, 'hot', 'cold'), 'danger', IF(n MOD 100, 'resolved', 'active'), 4,"
    " TIMESTAMPADD(SECOND, 300 * n, %(begin)s),"
    " IF(n MOD 100, TIMESTAMPADD(SECOND, 300 * n + 60, %(begin)s), NULL), '{}', %(begin)s",
    "INSERT INTO alert_events SELECT LPAD(n DIV 2, 36, '0'), 1 + n MOD 2, 'fired', %(begin)s, '{}',"
    " %(begin)s",
    "INSERT INTO windows SELECT CONCAT('barn-', n MOD 10), 'humidity', TIMESTAMPADD(SECOND,"
    " 300 * (n DIV 10), %(begin)s), 300, 1, 9, 20, 19, 21, 20, NULL, %(begin)s",
    "INSERT INTO fleet_windows SELECT ELT(1 + n MOD 2, 'humidity', 'co2'),"
    " TIMESTAMPADD(SECOND, 300 * (n DIV 2), %(begin)s), 9, 180, 19, 21, %(begin)s",
    "INSERT INTO devices SELECT DISTINCT CONCAT('barn-', n MOD 200), %(begin)s, %(begin)s,"
    " %(begin)s",
)  # fmt: skip


@pytest.fixture(scope="module")
def cursor(mariadb: MariaDB) -> Iterator[Cursor]:
    mariadb.empty()
    with pymysql.connect(**arguments_of(mariadb.url)) as link, link.cursor() as cursor:
        for statement in [one for version in schema.MIGRATIONS for one in version]:
            cursor.execute(statement)
        for statement in FILL:
            cursor.execute(f"{statement} FROM {NUMBERS}", {"begin": moment(T0)})
        cursor.execute("ANALYZE TABLE alerts, alert_events, windows, fleet_windows, devices")
        cursor.fetchall()
        link.commit()
        yield cursor


@pytest.fixture(autouse=True)
def _one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "SLICE", SLICE)
    monkeypatch.setattr(queries, "STEP", LOOKED_AT)
    monkeypatch.setattr(queries, "LOOKING", -1)


def rows_read(cursor: Cursor) -> int:
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(number) for _, number in cursor.fetchall())


def began(step: int) -> float:
    return T0 + step * STEP


AFTER = f"cursor={cursor_of((began(ROWS // 2), '9'))}"  # half of them are older


@pytest.mark.parametrize("more", ["", AFTER])
@pytest.mark.parametrize(
    "asked",
    [
        "",
        "device=barn-7",
        "device=barn-7&status=active",
        "device=barn-*",
        "device=[b]arn-7",
        "status=active",
        "status=resolved",
        "rule=hot",
        "rule=*ot&severity=danger",
        "severity=info",
        f"until={iso(began(ROWS // 3))}",
    ],
)
@pytest.mark.parametrize("scope", [EVERYTHING, BARN], ids=["all", "some"])
def test_a_page_of_alerts_is_found_by_an_index(
    cursor: Cursor, asked: str, more: str, scope: Scope
) -> None:
    query = dict(one.split("=", 1) for one in f"{asked}&{more}".split("&") if one)
    before = rows_read(cursor)
    queries.alerts(cursor, Asked.of(query), scope)
    assert rows_read(cursor) - before < 2 * (LOOKED_AT + SLICE)


def test_those_that_were_open_at_a_time_are_found_by_an_index(cursor: Cursor) -> None:
    asked = Asked.of({"since": iso(began(ROWS - 20)), "until": iso(began(ROWS - 10))})
    before = rows_read(cursor)
    found = queries.alerts(cursor, asked, EVERYTHING).alerts
    assert len(found) > 20  # most of them open for long
    assert rows_read(cursor) - before < 2 * (LOOKED_AT + SLICE)


def test_an_alerts_events_are_found_by_an_index(cursor: Cursor) -> None:
    before = rows_read(cursor)
    assert len(queries.events(cursor, "7".rjust(36, "0"))) == 2
    assert rows_read(cursor) - before < 50


@pytest.mark.parametrize(
    ("device", "scope", "windows"),
    [(None, EVERYTHING, 2 * 288), ("barn-7", EVERYTHING, 288), (None, BARN, 2 * 288)],
    ids=["fleet", "device", "some"],
)
def test_a_day_is_added_up_of_that_day(
    cursor: Cursor, device: str | None, scope: Scope, windows: int
) -> None:
    sought = Sought(device, frozenset(), scope, began(100), began(100 + 288), 3_600)
    before = rows_read(cursor)
    summed = summing.windows(cursor, sought)
    read = rows_read(cursor) - before
    assert sum(part.readings for parts in summed.parts.values() for part in parts) == 9 * windows
    assert summed.since == T0
    assert read < 3 * windows + 300  # groups are looked up too
