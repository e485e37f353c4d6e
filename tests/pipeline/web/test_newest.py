"""Redis behind the REST API: what is wrong now and the newest readings of the whole fleet, from any
view, as long as its archive comes after."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.access import parse
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.sinks.redis import Redis
from pipeline.sinks.sink import OPEN, SinkUnavailable
from pipeline.web import asking, newest
from tests.pipeline.sinks.shell import CLUSTER, Writing, reading, record
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import Site, running, until
from tests.stores import Redis as Server
from tests.stores import redis_cli

NOW = float(int(time.time()))
BARN = {"headers": {"Authorization": "Bearer of-the-barn"}}
TOKENS = parse('[{"token": "of-the-barn", "name": "barn", "devices": ["barn/*"]}]')
PATHS = ("/api/alerts/active/", "/api/readings/latest_all/", "/api/readings/latest/attic/")


@pytest.fixture
async def kept(redis_server: Server, settings: Settings) -> AsyncIterator[Writing]:
    """An empty Redis, and what writes to it as an archive does."""
    redis_cli(redis_server, "flushall")
    sink = Redis(replace(settings, redis_url=redis_server.url))
    yield Writing(sink)
    await sink.close()


async def fill(kept: Writing) -> float:
    """Three devices, one of which is hot and one offline; the archive says that it is all. Now."""
    now = float(int(time.time()))
    offline = event("silent", device_id="barn/2", rule="offline", metric=None, started_at=iso(now))
    await kept.write(
        reading(0, "attic", at=now, temperature=36.0, humidity=50),
        reading(1, "barn/1", at=now - 300, temperature=20.0),
        reading(2, "barn/2", at=now - 600, temperature=20.0, timestamp=iso(now - 601)),
        record(OPEN, 0, event("hot", device_id="attic"), key="attic|temperature-high"),
        record(OPEN, 1, offline, key="barn/2|offline"),
        at=now,
    )
    await current(kept)
    return now


async def current(kept: Writing) -> None:
    await kept.sink.current(CLUSTER, {("readings", 0): 0, ("alerts-open", 0): 0})


async def is_current(kept: Writing) -> bool:
    try:
        await current(kept)
    except SinkUnavailable:  # the connection that it had is over
        return False
    return True


@asynccontextmanager
async def asking_redis(settings: Settings, server: Server, **more: Any) -> AsyncIterator[Site]:
    async with running(replace(settings, redis_url=server.url, **more)) as site:
        yield site


async def sources(site: Site, *paths: str) -> list[str]:
    found = []
    for path in paths or PATHS:
        async with site.client.get(site.http + path) as answer:
            found.append(answer.headers.get("X-Source", str(answer.status)))
    return found


async def test_the_whole_fleet_is_told_from_redis_before_anything_else_is_read(
    settings: Settings, redis_server: Server, kept: Writing
) -> None:
    now = await fill(kept)
    async with asking_redis(settings, redis_server) as site:  # whose topics don't exist
        assert await sources(site) == ["redis"] * 3
        _, active = await site.get("/api/alerts/active/")
        assert [one["alert_id"] for one in active] == ["silent", "hot"]  # the newest first
        _, everything = await site.get("/api/readings/latest_all/")
        attic, barn, silent = sorted(everything, key=lambda one: str(one["device_id"]))
        assert attic == {
            "device_id": "attic",
            "temperature": 36.0,
            "humidity": 50.0,
            "timestamp": iso(now),
            "status": "online",
        }
        assert (barn["status"], silent["status"]) == ("late", "offline")
        assert silent["timestamp"] == iso(now - 601)
        assert await site.get("/api/readings/latest/attic/") == (200, attic)
        assert await site.get("/api/readings/latest/barn%2F2/") == (200, silent)
        assert (await site.get("/api/readings/latest/nobody/"))[0] == 503  # until it is read


async def test_a_token_for_some_devices_is_told_of_those_alone(
    settings: Settings, redis_server: Server, kept: Writing
) -> None:
    await fill(kept)
    async with asking_redis(settings, redis_server, tokens=TOKENS) as site:
        _, active = await site.get("/api/alerts/active/", **BARN)
        assert [one["alert_id"] for one in active] == ["silent"]
        _, known = await site.get("/api/readings/latest_all/", **BARN)
        assert sorted(one["device_id"] for one in known) == ["barn/1", "barn/2"]
        assert (await site.get("/api/readings/latest/attic/", **BARN))[0] == 403
        assert (await site.get("/api/readings/latest/barn%2F1/", **BARN))[0] == 200
        for path in PATHS:
            assert (await site.get(path))[0] == 401


async def test_more_devices_than_are_asked_for_at_once_are_all_told(
    settings: Settings, redis_server: Server, kept: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "AT_ONCE", 7)
    await kept.write(*(reading(n, f"d{n}", at=NOW, temperature=n) for n in range(50)), at=NOW)
    await current(kept)
    async with asking_redis(settings, redis_server) as site:
        _, known = await site.get("/api/readings/latest_all/")
        assert {one["device_id"]: one["temperature"] for one in known} == {
            f"d{n}": float(n) for n in range(50)
        }


async def test_an_archive_that_is_behind_or_was_never_there_is_not_believed(
    log: AlertLog, settings: Settings, redis_server: Server, kept: Writing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(asking, "PAUSE", 0.0)
    await log.tell(event("told"))
    await kept.write(record(OPEN, 0, event("old"), key="greenhouse-7|temperature-high"))
    async with asking_redis(settings, redis_server) as site:
        await site.until_ready()
        assert await site.open() == ["told"]
        await current(kept)
        assert await site.open() == ["old"]
        await kept.sink.current(CLUSTER, {("readings", 1): 0})
        key = f"{{{settings.topic_prefix}smart-iot}}:current"
        redis_cli(redis_server, "hset", key, f"{CLUSTER}/alerts-open/0", str(int(NOW) - 60))
        monkeypatch.setattr(newest, "FRESH", 0.0)
        assert await site.open() == ["told"]


async def test_partitions_of_a_cluster_that_is_gone_hold_nothing_back(
    settings: Settings, redis_server: Server, kept: Writing
) -> None:
    await kept.sink.current("another", {("readings", 0): 0})
    key = f"{{{settings.topic_prefix}smart-iot}}:current"
    await current(kept)
    names = redis_cli(redis_server, "hkeys", key).split()
    assert sorted(names) == [f"{CLUSTER}/alerts-open/0", f"{CLUSTER}/readings/0"]


@pytest.mark.parametrize("how", ["killed", "stopped", "of another kind"])
async def test_without_redis_what_was_read_is_told_soon(
    log: AlertLog, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    monkeypatch.setattr(asking, "PAUSE", 0.3)
    monkeypatch.setattr(newest, "FRESH", 0.0)
    server = Server(tmp_path)
    await log.tell(event("hot"))
    server.start()
    sink = Redis(replace(settings, redis_url=server.url))
    kept = Writing(sink)
    try:
        await kept.write(record(OPEN, 0, event("hot"), key="greenhouse-7|temperature-high"))
        await current(kept)
        async with asking_redis(settings, server) as site:
            await site.until_ready()
            path = "/api/alerts/active/"

            async def is_redis() -> bool:
                return await sources(site, path) == ["redis"]

            await until(is_redis)
            monkeypatch.setattr(asking, "WITHIN", 0.5)
            if how == "killed":
                server.kill()
            elif how == "stopped":
                server.process.send_signal(signal.SIGSTOP)
            else:
                redis_cli(server, "set", f"{{{settings.topic_prefix}smart-iot}}:current", "x")
            began = time.monotonic()
            assert await sources(site, *[path] * 20) == ["topic"] * 20
            assert time.monotonic() - began < 10
            assert await site.open() == ["hot"]
            if how == "stopped":
                server.process.send_signal(signal.SIGCONT)
            elif how == "killed":
                server.start()
                await until(partial(is_current, kept))
            else:
                redis_cli(server, "del", f"{{{settings.topic_prefix}smart-iot}}:current")
                await current(kept)
            monkeypatch.setattr(asking, "WITHIN", 3.0)
            await until(is_redis)
    finally:
        await sink.close()
        server.kill()


async def test_a_url_that_is_none_leaves_the_view_with_what_it_reads(
    log: AlertLog, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await log.tell(event("hot"))
    wrong = replace(settings, redis_url="no://where", mysql_url="no://where")
    async with running(wrong) as site:
        await site.until_ready()
        assert await sources(site, "/api/alerts/active/") == ["topic"]
    assert "SMART_IOT_REDIS_URL can't be used" in caplog.text
    assert "SMART_IOT_MYSQL_URL can't be used" in caplog.text
