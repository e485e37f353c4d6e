"""MySQL behind the REST API: what goes back further than the topics' own memory, whole and in time.

Most is told by comparing: a view that has everything in memory, beside one that has next to nothing
there and asks MySQL, over the same alerts and windows.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from pipeline.access import parse
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.sinks.mysql import MySQL
from pipeline.sinks.sink import EVENT, WINDOW
from pipeline.stores import DATABASE
from pipeline.web import asking, history
from pipeline.web.past import LIMITED, LIMITS
from tests.pipeline.sinks.shell import Writing, record, window_of
from tests.pipeline.web.alert_log import AlertLog, event, resolved
from tests.pipeline.web.conftest import Site, metric, running, until
from tests.pipeline.web.test_history import pages
from tests.pipeline.web.test_stats import Windows, windows  # noqa: F401  (a fixture)
from tests.stores import MariaDB

NOW = time.time()
AT_ONCE = LIMITED.replace("max_statement_time = 2", "max_statement_time = 0.1")
BARN = {"headers": {"Authorization": "Bearer of-the-barn"}}
TOKENS = parse('[{"token": "of-the-barn", "name": "barn", "devices": ["barn/*", "[gh]all?1"]}]')


class Past(Writing):
    """A MySQL, what writes to it as an archive does, and views that ask it."""

    def __init__(self, mariadb: MariaDB, log: AlertLog, settings: Settings) -> None:
        self.settings = replace(settings, mysql_url=mariadb.url)
        super().__init__(MySQL(self.settings))
        self._log = log

    async def tell(self, *events: dict[str, Any]) -> None:
        """On the topic, and kept."""
        await self._log.tell(*events)
        await self.keep(*events)

    async def keep(self, *events: dict[str, Any], at: float = NOW) -> None:
        begin = self.stands.get(("alerts", 0)) or 0
        await self.write(*(record(EVENT, begin + n, one) for n, one in enumerate(events)), at=at)

    async def keep_windows(self, told: Sequence[dict[str, Any]], at: float = NOW) -> None:
        await self.write(*(record(WINDOW, n, one) for n, one in enumerate(told)), at=at)

    @asynccontextmanager
    async def forgetful(self, **more: Any) -> AsyncIterator[Site]:
        """A view that reads the newest event of each partition, and the last window; and asks."""
        settings = replace(self.settings, windows_kept=1, **more)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(history, "KEPT", 3)
            async with running(settings) as site:
                await site.until_ready()
                await until_known(site, **(BARN if settings.tokens else {}))
                yield site


@pytest.fixture
async def past(mariadb: MariaDB, log: AlertLog, settings: Settings) -> AsyncIterator[Past]:
    mariadb.empty()
    past = Past(mariadb, log, settings)
    await past.sink.migrate()
    yield past
    await past.sink.close()


async def until_known(site: Site, path: str = "/api/alerts/", **more: Any) -> None:
    async def known() -> bool:
        return (await site.get(path, **more))[0] == 200

    await until(known)


def at(minute: int) -> str:
    return iso(NOW - 86_400 + minute * 60)


def alerts_of_many_kinds() -> list[dict[str, Any]]:
    """Events of 40 alerts, in the order in which they were told."""
    chance, told = random.Random(7), []
    for number in range(40):
        device = chance.choice(["barn/1", "barn/2", "hall_1", "hall%1", "hall-1", "Barn/1"])
        rule = chance.choice(["temperature-high", "humidity-low"])
        more = {"device_id": device, "rule": rule, "started_at": at(number // 2)}
        first, second = chance.choice([("danger", "warning"), ("info", "info")])
        events = [
            event(f"a{number}", 1, severity=first, type=first, **more),
            event(f"a{number}", 2, severity=second, type=second, event="updated", **more),
            resolved(f"a{number}", 3, severity=second, resolved_at=at(number), **more),
        ]
        told += events[: chance.choice([1, 2, 3])]
    return told


ASKED = [
    "",
    "limit=7",
    "status=active&limit=3",
    "status=resolved&limit=3",
    "severity=danger&limit=4",
    "severity=info,warning",
    "rule=*-high&limit=5",
    "device=barn/*",
    "device=hall_1",
    "device=hall%251",
    "device=hall?1&limit=2",
    "device=[hb]a*[!2]",
    "device=kho-l%E1%BA%A1nh",
    "device=%ED%A0%80*",
    f"since={at(12)}",
    f"since={at(5)}&until={at(9)}&limit=4",
    f"until={at(3)}",
    f"until={at(3)}&status=active&device=barn*",
]


async def test_whoever_keeps_it_the_history_is_the_same(past: Past, settings: Settings) -> None:
    await past.tell(*alerts_of_many_kinds())
    async with running(settings) as site:
        await site.until_ready()
        await until_known(site)
        expected = {query: await pages(site, query) for query in ASKED}
        whole = (await site.get("/api/alerts/"))[1]
        stories = {f"a{n}": (await site.get(f"/api/alerts/a{n}/"))[1] for n in range(40)}
    assert (whole["source"], sum(map(len, expected[""]))) == ("topic", 40)
    async with past.forgetful() as site:
        for query, ids in expected.items():
            assert await pages(site, query) == ids, query
        page = (await site.get("/api/alerts/"))[1]
        assert page["source"] == "mysql"
        assert page["alerts"] == whole["alerts"]
        sources = set()
        for alert_id, story in stories.items():
            _, answer = await site.get(f"/api/alerts/{alert_id}/")
            sources.add(answer.pop("source"))
            assert answer == {"alert": story["alert"], "events": story["events"]}
        assert sources == {"mysql", "topic"}
        assert await site.get("/api/alerts/nothing/") == (404, {"error": "no such alert is known"})
        assert (await site.get("/api/alerts/kho-l%E1%BA%A1nh/"))[0] == 404


async def test_what_the_archive_has_not_written_yet_is_the_topics(
    log: AlertLog, past: Past
) -> None:
    old = [event(f"old{n}", started_at=at(n)) for n in range(3)]
    await past.tell(*old, event("hot", started_at=at(9)))
    async with past.forgetful() as site:
        over = resolved("hot", 2, started_at=at(9), resolved_at=at(10))
        await log.tell(over, event("new", started_at=at(11)))

        async def told() -> bool:
            return (await pages(site, "limit=2"))[0] == ["new", "hot"]

        await until(told)
        assert await pages(site, "limit=2") == [["new", "hot"], ["old2", "old1"], ["old0"]]
        _, page = await site.get("/api/alerts/?status=resolved")
        assert (page["alerts"], page["source"]) == ([over], "mysql")
        assert await pages(site, "status=active") == [["new", "old2", "old1", "old0"]]
        _, story = await site.get("/api/alerts/hot/")
        assert [one["seq"] for one in story["events"]] == [1, 2]


async def test_a_question_that_takes_mysql_too_long_holds_up_no_other(
    log: AlertLog, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [event(f"a{n}", started_at=at(n)) for n in range(9)]
    await log.tell(*told)
    await past.keep(event("past", started_at=at(0)), *told)
    slowly = "SELECT SLEEP(9) FROM alert_events WHERE alert_id = %s LIMIT %s"
    monkeypatch.setattr("pipeline.web.queries.EVENTS", slowly)
    monkeypatch.setattr("pipeline.web.past.LIMITS", {**LIMITS, "init_command": AT_ONCE})
    async with past.forgetful() as site:
        failed = questions("failed")
        assert (await site.get("/api/alerts/past/"))[0] == 503
        assert questions("failed") == failed + 1
        assert (await site.get("/api/alerts/"))[1]["source"] == "mysql"


async def test_who_acknowledges_what_mysql_alone_knows_to_be_resolved_is_told_so(
    past: Past,
) -> None:
    await past.keep(resolved("over", 2), event("hot"))
    async with running(past.settings) as site:
        await site.until_ready()
        await until_known(site)
        for alert_id, status in (("over", 409), ("hot", 404), ("none", 404)):
            url = f"{site.http}/api/alerts/{alert_id}/ack"
            async with site.client.post(url, json={"by": "ada"}) as answer:
                assert answer.status == status


async def test_it_is_said_since_when_the_history_is_whole(log: AlertLog, past: Past) -> None:
    told = [event(f"a{n}", started_at=at(n)) for n in range(9)]
    await log.tell(*told)
    await past.keep(*told[:5])
    async with past.forgetful() as site:
        known = (await site.get("/api/alerts/"))[1]["since"]
        assert known > iso(NOW)  # the archive isn't proven to have come so far
        await past.keep(*told[5:], at=time.time() + 900)
        assert (await site.get("/api/alerts/"))[1]["since"] == iso(int(NOW))


async def test_a_token_for_some_devices_is_told_of_those_alone(log: AlertLog, past: Past) -> None:
    names = ["barn/1", "hall_1", "hallo_1", "gall/1", "cellar", "*fleet", "Barn/1"]
    told = [event(name, device_id=name, started_at=at(n)) for n, name in enumerate(names)]
    # what is newest in each partition must not be one of those that are looked for
    await log.tell(*told, *(event(f"z{n}", device_id=f"z{n}") for n in range(20)))
    await past.keep(*told)
    async with past.forgetful(tokens=TOKENS) as site:
        status, page = await site.get("/api/alerts/", **BARN)
        assert [one["device_id"] for one in page["alerts"]] == ["gall/1", "hall_1", "barn/1"]
        assert (status, page["source"]) == (200, "mysql")
        assert (await site.get("/api/alerts/cellar/", **BARN))[0] == 403
        assert (await site.get("/api/alerts/hall_1/", **BARN))[0] == 200
        assert (await site.get("/api/alerts/hall_1/"))[0] == 401


def of_twenty_days() -> list[dict[str, Any]]:
    """Windows of three devices, in the order in which they were told."""
    chance, found = random.Random(3), []
    for number in range(180):
        start = (NOW // 300 - (180 - number) * 31) * 300
        for device in ("barn/1", "barn/2", "cellar"):
            mean, count = round(chance.uniform(10, 30), 3), chance.randrange(1, 40)
            found.append(
                window_of(
                    device, metric=chance.choice(["temperature", "humidity"]), start=iso(start),
                    end=iso(start + 300), revision=count, count=count, mean=mean, min=mean - 1,
                    max=mean + chance.random(), schema=1,
                )
            )  # fmt: skip
    return found


async def tell(windows: Windows, told: Sequence[dict[str, Any]]) -> None:  # noqa: F811
    """In their order: it is one partition."""
    bodies = [(json.dumps(one).encode(), one["device_id"].encode()) for one in told]
    await asyncio.gather(*(windows.raw(body, key, NOW - 1) for body, key in bodies))


SUMMED = ["", "&device=barn/2", "&metric=humidity", "&device=cellar&metric=temperature,none"]
RANGES = ["range=1h", "range=24h", "range=7d", "range=30d", f"from={NOW - 9e5:.0f}&to={NOW - 8e5}"]


@pytest.mark.parametrize("tokens", [(), TOKENS], ids=["all", "some"])
async def test_whoever_keeps_them_statistics_are_the_same(
    windows: Windows,  # noqa: F811
    past: Past,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tokens: Any,
) -> None:
    told, more = of_twenty_days(), BARN if tokens else {}
    await tell(windows, told)
    await past.keep_windows(told)
    monkeypatch.setattr("pipeline.web.stats.time.time", lambda: NOW)
    queries = [f"/api/stats/?{span}{what}" for span in RANGES for what in SUMMED]

    async with running(replace(settings, tokens=tokens)) as site:
        await until_known(site, "/api/stats/", **more)
        expected = {query: await site.get(query, **more) for query in queries}
    sources = set()
    async with past.forgetful(tokens=tokens) as site:
        await until_known(site, "/api/stats/", **more)
        for query, (status, whole) in expected.items():
            found, answer = await site.get(query, **more)
            assert found == status, query
            if status == 200:
                assert whole["source"] == "topic"
                assert whole["ranges"] == ["1h", "24h", "7d"]
                assert answer["ranges"] == ["1h", "24h", "7d", "30d", "365d"]
                sources.add(answer["source"])
                assert answer["metrics"] == whole["metrics"], query
                assert answer["seconds"] == whole["seconds"]
    assert sources == {"mysql"}
    assert any(answer["metrics"] for _, answer in expected.values() if "metrics" in answer)


async def test_what_an_archive_that_is_late_leaves_out_is_not_said_to_be_whole(
    windows: Windows,  # noqa: F811
    past: Past,
) -> None:
    told = of_twenty_days()
    await tell(windows, told[-30:])
    await past.keep_windows(told, at=NOW - 7_200)
    async with past.forgetful() as site:
        await until_known(site, "/api/stats/")
        _, answer = await site.get("/api/stats/?range=30d")
        assert answer["source"] == "mysql"
        buckets = answer["metrics"]["temperature"]["buckets"]
        assert buckets[0]["start"] < iso(NOW - 86_400) < answer["from"]


@pytest.mark.parametrize("how", ["dead", "stopped", "silent", "refuses", "without tables"])
async def test_without_mysql_the_topics_are_asked_soon_and_nothing_else_waits(
    past: Past, mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(asking, "PAUSE", 0.3)
    await past.tell(*(event(f"a{n}", started_at=at(n)) for n in range(9)))
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = mariadb.url
        if how == "silent":  # takes connections and says nothing
            url = f"mysql://root@127.0.0.1:{nobody.getsockname()[1]}/{DATABASE}"
        elif how == "dead":
            url = f"mysql://root@127.0.0.1:1/{DATABASE}"
        elif how == "without tables":
            mariadb.execute("DROP TABLE alert_events, alerts")
        elif how == "refuses":
            url = mariadb.url.replace("root@", "nobody:wrong@")
        monkeypatch.setattr(history, "KEPT", 3)
        failed = questions("failed")
        async with running(replace(past.settings, mysql_url=url)) as site:
            await site.until_ready()
            await until_known(site)

            async def is_mysql() -> bool:
                return (await site.get("/api/alerts/"))[1]["source"] == "mysql"

            if how == "stopped":
                await until(is_mysql)
                mariadb.process.send_signal(signal.SIGSTOP)
            monkeypatch.setattr(asking, "WITHIN", 0.5)
            try:
                await answers_of_the_topic(site)
                assert questions("failed") > failed
            finally:
                mariadb.process.send_signal(signal.SIGCONT)
            if how == "stopped":
                monkeypatch.setattr(asking, "WITHIN", 3.0)
                await until(is_mysql)
                assert sum(map(len, await pages(site))) == 9
            began = time.monotonic()
        assert time.monotonic() - began < 10  # the view ends as ever


async def answers_of_the_topic(site: Site) -> None:
    longest, stop = 0.0, False

    async def look() -> None:
        nonlocal longest
        while not stop:
            began = time.monotonic()
            assert (await site.get("/-/healthy"))[0] == 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    began = time.monotonic()
    found = await asyncio.gather(*(site.get("/api/alerts/") for _ in range(40)))
    took = time.monotonic() - began
    stop = True
    await looking
    assert {(status, page["source"]) for status, page in found} == {(200, "topic")}
    assert found[0][1]["since"] is not None
    assert 0 < len(found[0][1]["alerts"]) <= 3
    assert took < 10  # one after the other they would take 20 s
    assert longest < 2  # and who waits on the event loop holds up all for 3 s
    assert (await site.get("/api/alerts/a0/"))[0] in (200, 503)
    assert (await site.get("/api/stats/"))[0] in (200, 503)


def questions(outcome: str) -> float:
    return metric("smart_iot_web_questions_total", sink="mysql", outcome=outcome)


async def test_a_search_that_finds_little_ends_and_goes_on_where_it_was(
    log: AlertLog, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.web.queries.SLICE", 4)
    monkeypatch.setattr("pipeline.web.queries.STEP", 6)
    monkeypatch.setattr("pipeline.web.queries.LOOKING", -1)
    names = ["barn", *["darn"] * 10, "barn"]
    told = [event(f"a{n}", device_id=name, started_at=at(n)) for n, name in enumerate(names)]
    await log.tell(*(event(f"z{n}", device_id=f"z{n}") for n in range(20)))
    await past.keep(*told)
    async with past.forgetful() as site:
        found = await pages(site, "device=[b]arn")  # LIKE finds as much as `?arn`
        assert [one for page in found for one in page] == ["a11", "a0"]
        assert len(found) > 2  # some found nothing, and said where to go on
        found = await pages(site, "severity=info")
        assert len(found) > 1  # in steps, though nothing is found
        assert not any(found)
        assert await pages(site, "device=barn") == [["a11", "a0"]]  # which an index leads to
