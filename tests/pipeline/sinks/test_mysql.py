"""What MySQL keeps: every alert once, its events, the newest revision of every window."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.sinks import rows, schema
from pipeline.sinks.link import arguments_of
from pipeline.sinks.mysql import MySQL
from pipeline.sinks.sink import EVENT, WINDOW, Displaced, SinkUnavailable
from pipeline.stores import DATABASE
from pipeline.web.past import Past
from tests.pipeline.sinks.shell import T0, Writing, event_of, record, window_of
from tests.stores import MariaDB

ROOT = Path(__file__).parents[3]
DAY = 86_400.0
HOSTILE = [
    "'; DROP TABLE alerts; --",
    '" OR 1=1 --',
    "\\'; DELETE FROM alerts; #",
    "%s %(x)s %%",
    "\x00\x1a\n",
    "💥 ' \u202e",
]


@pytest.fixture
async def writing(mariadb: MariaDB) -> AsyncIterator[Writing]:
    mariadb.empty()
    sink = MySQL(Settings(mysql_url=mariadb.url, mysql_days=10))
    await sink.migrate()
    yield Writing(sink)
    await sink.close()


def count(mariadb: MariaDB, table: str) -> object:
    return mariadb.execute(f"SELECT COUNT(*) FROM {table}")[0][0]  # noqa: S608


async def test_an_alert_is_one_row_with_its_last_event_and_each_event_is_one(writing, mariadb):
    fired = event_of(seq=1)
    resolved = event_of(
        seq=2, event="resolved", status="resolved", resolved_at="2026-01-01T00:00:00Z"
    )
    await writing.write(record(EVENT, 0, resolved), record(EVENT, 1, fired))
    assert mariadb.execute("SELECT seq, status, resolved_at FROM alerts") == [
        (2, "resolved", datetime(2026, 1, 1))  # noqa: DTZ001
    ]
    assert mariadb.execute("SELECT seq, event FROM alert_events ORDER BY seq") == [
        (1, "fired"),
        (2, "resolved"),
    ]


async def test_an_older_event_in_a_later_batch_changes_nothing(writing, mariadb):
    await writing.write(record(EVENT, 0, event_of(seq=3, severity="danger")))
    await writing.write(record(EVENT, 1, event_of(seq=2, severity="info")))
    assert mariadb.execute("SELECT seq, severity FROM alerts") == [(3, "danger")]


async def test_of_a_window_the_highest_revision_holds(writing, mariadb):
    await writing.write(record(WINDOW, 0, window_of(revision=2, count=31)))
    await writing.write(record(WINDOW, 1, window_of(revision=1, count=30)))
    assert mariadb.execute("SELECT revision, `count` FROM windows") == [(2, 31)]
    await writing.write(record(WINDOW, 2, window_of(revision=3, count=32)))
    assert mariadb.execute("SELECT revision, `count` FROM windows") == [(3, 32)]


async def test_all_severities_that_an_alert_had_are_known_in_whatever_order_they_come(
    writing, mariadb
):
    await writing.write(record(EVENT, 0, event_of(seq=2, severity="info")))
    await writing.write(
        record(EVENT, 1, event_of(seq=1, severity="danger")),
        record(EVENT, 2, event_of("other", severity="warning")),
    )
    found = mariadb.execute("SELECT severity, severities FROM alerts ORDER BY severities")
    assert found == [("warning", 2), ("info", 1 | 4)]


async def test_the_fleets_windows_are_what_those_of_its_devices_come_to(writing, mariadb):
    chance, told = random.Random(5), []
    for number in range(400):
        readings = chance.randrange(1, 9)
        told.append(
            window_of(
                f"d{number % 7}",
                metric=chance.choice(["temperature", "humidity"]),
                start=iso(T0 + chance.randrange(40) * 100),
                revision=readings,
                count=readings,
                mean=20.0 + readings,
                min=20.0 - readings,  # more readings move a minimum only down
                max=20.0 + readings,
            )
        )
    batches = [told[:150], told[100:300], told[250:]]  # some are told again, and revised
    for offset, some in zip((0, 200, 500), batches, strict=True):
        await writing.write(*(record(WINDOW, offset + n, one) for n, one in enumerate(some)))
    fleet = "SELECT metric, start, `count`, ROUND(total, 6), `min`, `max` FROM fleet_windows"
    summed = (
        "SELECT metric, CAST(TIMESTAMPADD(SECOND, FLOOR(TIMESTAMPDIFF(SECOND, '1970-01-01', start)"
        " / 300) * 300, '1970-01-01') AS DATETIME) AS step,"
        " SUM(`count`), ROUND(SUM(mean * `count`), 6), MIN(`min`), MAX(`max`)"
        " FROM windows GROUP BY metric, step"
    )
    found = sorted(mariadb.execute(fleet))
    assert found == sorted(mariadb.execute(summed))
    assert len(found) > 20


async def test_a_piece_that_is_refused_adds_nothing_to_the_fleets_windows(writing, mariadb):
    good, bad = window_of("a"), window_of("b", metric="m" * 65)
    assert len(await writing.write(record(WINDOW, 0, good), record(WINDOW, 1, bad))) == 1
    assert mariadb.execute("SELECT metric, `count` FROM fleet_windows") == [("temperature", 30)]


async def test_a_window_whose_names_no_column_can_hold_is_refused(writing, mariadb):
    why = await writing.write(
        record(WINDOW, 0, window_of("a")),
        record(WINDOW, 1, window_of("kho-lạnh")),
        record(WINDOW, 2, window_of("b", metric="nhiệt")),
    )
    assert len(why) == 2
    assert count(mariadb, "windows") == 1


async def test_tables_of_an_older_version_are_brought_forward_with_what_is_in_them(
    writing, mariadb, monkeypatch
):
    await writing.write(record(EVENT, 0, event_of()))
    newer = (*schema.MIGRATIONS, ("ALTER TABLE alerts ADD COLUMN site VARCHAR(9) NULL",))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    monkeypatch.setattr(schema, "VERSION", len(newer))
    with pytest.raises(SinkUnavailable, match="archive migrate"):
        await writing.progress([EVENT])
    assert "version 2 of the tables now, after 1" in await writing.sink.migrate()
    assert mariadb.execute("SELECT seq, site FROM alerts") == [(1, None)]
    assert await writing.progress([EVENT]) == {"alerts": 1}


async def test_times_are_utc_whatever_the_servers_zone(writing, mariadb):
    mariadb.execute("SET GLOBAL time_zone = '+07:00'")
    try:
        await writing.sink.close()
        await writing.write(record(WINDOW, 0, window_of(start="2026-11-22T10:00:00.250+02:00")))
        ((start, stored),) = mariadb.execute("SELECT start, stored_at FROM windows")
    finally:
        mariadb.execute("SET GLOBAL time_zone = 'SYSTEM'")
    assert start == datetime(2026, 11, 22, 8, 0, 0, 250_000)  # noqa: DTZ001
    assert stored == datetime.fromtimestamp(T0, UTC).replace(tzinfo=None)


async def test_devices_are_known_by_their_first_and_last_window_or_alert(writing, mariadb):
    await writing.write(record(WINDOW, 0, window_of(start="2026-11-22T10:00:00Z")))
    await writing.write(
        record(WINDOW, 1, window_of(start="2026-11-22T11:00:00Z")),
        record(EVENT, 0, event_of(started_at=T0)),
        record(EVENT, 1, event_of("*fleet")),
    )
    ((device, first, last),) = mariadb.execute("SELECT device_id, first_at, last_at FROM devices")
    assert device == "attic"
    assert first == datetime.fromtimestamp(T0, UTC).replace(tzinfo=None)
    assert last == datetime(2026, 11, 22, 11)  # noqa: DTZ001


async def test_ids_differ_by_case_and_trailing_blanks(writing, mariadb):
    await writing.write(
        *(record(WINDOW, n, window_of(name)) for n, name in enumerate(["barn", "Barn", "BARN"]))
    )
    assert count(mariadb, "windows") == 3


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_strings_are_only_data(writing, mariadb, text):
    event = event_of(rule=text, note=text)
    assert await writing.write(record(EVENT, 0, event)) == []
    assert mariadb.execute("SELECT rule FROM alerts") == [(text,)]


async def test_a_batch_that_comes_again_is_known_and_changes_nothing(writing, mariadb):
    batch = writing.batch(record(EVENT, 0, event_of()), record(WINDOW, 0, window_of()))
    await writing.put(batch, at=T0)
    await writing.put(batch, at=T0 + DAY)
    assert (count(mariadb, "alert_events"), count(mariadb, "windows")) == (1, 1)
    assert mariadb.execute("SELECT DISTINCT stored_at FROM alerts") == [
        (datetime.fromtimestamp(T0, UTC).replace(tzinfo=None),)
    ]
    assert await writing.progress([EVENT, WINDOW]) == {"alerts": 1, "windows": 1}


async def test_a_writer_whose_partition_stands_elsewhere_is_displaced(writing, mariadb):
    await writing.write(record(EVENT, 0, event_of()))
    late = Writing(writing.sink)
    with pytest.raises(Displaced, match="stands at 1, and not at None"):
        await late.write(record(EVENT, 5, event_of(seq=2)))
    mariadb.execute("DELETE FROM progress")
    with pytest.raises(Displaced, match="stands at None, and not at 1"):
        await writing.write(record(EVENT, 1, event_of(seq=2)))
    assert count(mariadb, "alert_events") == 1


def test_rows_come_in_the_order_of_their_keys():
    names = [f"d{number}" for number in random.Random(2).sample(range(50), 50)]
    batch = Writing(cast(MySQL, None)).batch(
        *(record(EVENT, n, event_of(name, n % 2)) for n, name in enumerate(names)),
        *(record(WINDOW, n, window_of(name, metric=name[-1])) for n, name in enumerate(names)),
    )
    events, windows = batch.entries[:50], [one.content for one in batch.entries[50:]]
    now = datetime.fromtimestamp(T0, UTC)
    for keys, made in (
        (1, rows.touched(events, windows, now)),
        (2, rows.event_rows(events, now)),
        (1, rows.alert_rows(events, now)),
        (2, rows.fleet_rows(windows, {}, now)),
        (4, rows.window_rows(windows, now)),
    ):
        found = [row[:keys] for row in made]
        assert found == sorted(found)
        assert len(found) >= 10


BAD = [
    event_of("d" * 129),
    event_of(severity="a word that is too long"),
    event_of(alert_id="x" * 37),
    event_of(seq=1 << 40),
    event_of(device_id="kho-lạnh"),
]


async def test_rows_that_the_database_refuses_are_found_among_many(writing, mariadb):
    events = [event_of(f"d{n}") for n in range(500)]
    where = [0, 123, 124, 300, 499]
    for at, bad in zip(where, BAD, strict=True):
        events[at] = bad
    why = await writing.write(*(record(EVENT, n, event) for n, event in enumerate(events)))
    assert [one.entry.offset for one in writing.refused] == where
    assert "Data too long" in why[0]
    assert count(mariadb, "alerts") == count(mariadb, "alert_events") == 495
    assert await writing.progress([EVENT]) == {"alerts": 500}


async def test_what_is_no_event_or_window_is_refused_and_the_rest_is_written(writing, mariadb):
    why = await writing.write(
        record(EVENT, 0, b"not json"),
        record(EVENT, 1, {"alert_id": "a"}),
        record(EVENT, 2, event_of()),
        record(EVENT, 3, None),
        record(WINDOW, 0, window_of(mean="warm")),
        record(EVENT, 4, b'{"note":"\xff",' + str(event_of()).encode()[1:]),
    )
    assert len(why) == 5
    assert all(one.startswith(("no event: ", "no window: ")) for one in why)
    assert count(mariadb, "alerts") == 1


async def test_what_a_rule_of_the_database_forbids_is_refused_with_its_words(writing, mariadb):
    mariadb.execute("ALTER TABLE windows ADD CONSTRAINT warm CHECK (`max` < 100)")
    why = await writing.write(
        record(WINDOW, 0, window_of("a")),
        record(WINDOW, 1, window_of("b", max=100.5)),
        record(WINDOW, 2, window_of("c")),
    )
    (words,) = why
    assert re.search("CONSTRAINT `warm` failed|constraint 'warm' is violated", words)
    assert count(mariadb, "windows") == 2


async def test_a_deadlock_is_no_rows_fault_and_the_same_batch_goes_through_later(writing, mariadb):
    mariadb.execute(
        "CREATE TRIGGER deadlock BEFORE INSERT ON windows FOR EACH ROW"
        " SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'"
    )
    batch = writing.batch(record(WINDOW, 0, window_of()), record(EVENT, 0, event_of()))
    with pytest.raises(SinkUnavailable, match="Deadlock found"):
        await writing.put(batch)
    assert (count(mariadb, "alerts"), await writing.progress([EVENT])) == (0, {})
    mariadb.execute("DROP TRIGGER deadlock")
    await writing.put(batch)
    assert (count(mariadb, "alerts"), count(mariadb, "windows")) == (1, 1)


async def test_a_connection_that_is_lost_in_the_middle_of_a_batch_leaves_nothing(writing, mariadb):
    batch = writing.batch(record(EVENT, 0, event_of()), record(WINDOW, 0, window_of()))

    async def cut(_refused: object) -> None:
        for (number,) in mariadb.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE id <> CONNECTION_ID() AND db = DATABASE()"
        ):
            mariadb.execute(f"KILL {number}")

    batch.refused = writing.batch(record(EVENT, 1, b"?")).refused  # told before the end
    with pytest.raises(SinkUnavailable):
        await writing.sink.write("cluster", batch, cut, T0)
    assert (count(mariadb, "alert_events"), count(mariadb, "windows")) == (0, 0)
    await writing.put(batch)
    assert (count(mariadb, "alert_events"), count(mariadb, "windows")) == (1, 1)


async def test_a_write_that_is_given_up_leaves_the_next_one_a_connection_of_its_own(
    writing, mariadb
):
    batch = writing.batch(*(record(EVENT, n, event_of(f"d{n}")) for n in range(2_000)))
    task = asyncio.create_task(writing.put(batch))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await writing.put(batch)
    assert count(mariadb, "alerts") == 2_000


async def test_a_database_without_our_tables_says_what_to_run(mariadb):
    mariadb.execute("CREATE DATABASE IF NOT EXISTS bare", database="")
    sink = MySQL(Settings(mysql_url=mariadb.url.replace(DATABASE, "bare")))
    with pytest.raises(SinkUnavailable, match="archive migrate"):
        await sink.progress("cluster", [("alerts", 0)])
    assert "version 1 of the tables now, after 0" in await sink.migrate()
    assert "already" in await sink.migrate()
    assert await sink.progress("cluster", [("alerts", 0)]) == {}
    mariadb.execute("INSERT INTO schema_version VALUES (99)", database="bare")
    with pytest.raises(SinkUnavailable, match="newer smart-iot"):
        await sink.migrate()
    mariadb.execute("DROP DATABASE bare", database="")
    await sink.close()


async def test_what_is_over_goes_after_its_days_and_what_is_open_stays(writing, mariadb):
    resolved = event_of("old", seq=2, event="resolved", status="resolved")
    await writing.write(
        record(EVENT, 0, event_of("old")),
        record(EVENT, 1, resolved),
        record(EVENT, 2, event_of("open")),
        record(WINDOW, 0, window_of("old")),
    )
    later = T0 + timedelta(days=9).total_seconds()
    new = window_of("new", metric="co2")
    await writing.write(record(WINDOW, 1, new), at=later)
    assert await writing.sink.tidy(later) == 0
    while await writing.sink.tidy(T0 + 11 * DAY):
        pass
    assert mariadb.execute("SELECT device_id FROM alerts") == [("open",)]
    assert count(mariadb, "alert_events") == 1
    for table in ("windows", "devices"):
        assert mariadb.execute(f"SELECT device_id FROM {table}") == [("new",)]  # noqa: S608
    assert mariadb.execute("SELECT metric FROM fleet_windows") == [("co2",)]


async def test_the_rights_that_deploy_names_are_enough(mariadb):
    told = re.findall(r"^#   (\w.*);$", (ROOT / "deploy/storage.env").read_text(), re.MULTILINE)
    for name in ("smart_iot", "viewer"):
        mariadb.execute(f"DROP USER IF EXISTS {name}", database="")
    mariadb.execute("DROP DATABASE IF EXISTS smart_iot", database="")
    told += ["CREATE USER viewer IDENTIFIED BY '...'", "GRANT SELECT ON smart_iot.* TO viewer"]
    for statement in told:
        mariadb.execute(statement.replace("%", "%%"), database="")
    url = mariadb.url.replace("root@", "{}:...@").replace(DATABASE, "smart_iot")
    writing = Writing(MySQL(Settings(mysql_url=url.format("smart_iot"), mysql_days=1)))
    await writing.sink.migrate()
    await writing.write(record(EVENT, 0, event_of()), record(WINDOW, 0, window_of("d" * 129)))
    assert len(writing.refused) == 1
    assert await writing.sink.tidy(T0 + 3 * DAY) == 1  # the device
    await writing.sink.close()
    past = Past(Settings(mysql_url=url.format("viewer")))
    assert len(await past.events(event_of()["alert_id"])) == 1
    await past.stop()


@pytest.mark.parametrize("url", ["mysql://host", "redis://host/1", "host/db", "mysql:///db"])
def test_a_url_that_names_no_database_is_refused(url):
    with pytest.raises(ValueError, match="mysql://user:password@host:port/database"):
        MySQL(Settings(mysql_url=url))


def test_names_in_a_url_may_hold_anything_that_is_percent_encoded():
    how = arguments_of("mysql://me%40here:p%2Fw%3A@db:3307/smart%20iot")
    assert (how["user"], how["password"], how["port"]) == ("me@here", "p/w:", 3307)
    assert how["database"] == "smart iot"
