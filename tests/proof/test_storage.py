"""Storage, beside the alerts: whatever happens to archives and databases, all of it is kept once,
and no alert waits for it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer

from tests.proof.archives import (
    Archives,
    alerts_in,
    events_in,
    how_many_in,
    latest_in,
    readings_in,
    until,
    windows_in,
)
from tests.proof.kafka import (
    Sent,
    alerts,
    open_alerts,
    publish,
    quiet,
    read_topic,
)
from tests.proof.worker import Worker
from tests.stores import MariaDB, Mongo, Redis, Server, mysql_at, redis_cli, running

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

READINGS = 100_000
DEVICES = 200
RATE = 2_500  # a second, until the worst is over
T0 = 1_764_000_000.0
SHOWN = ("revision", "count", "mean", "last")
PATIENCE = 320.0  # seconds: what speaks MongoDB's protocol here takes a few thousand a second
ASIDE = 1.0  # seconds that a database is away


def history() -> Iterator[Sent]:
    """A tenth of the devices has it too hot for a while, again and again."""
    for number in range(READINGS):
        device, step = number % DEVICES, number // DEVICES
        hot = device % 10 == 0 and step % 40 >= 25
        yield Sent(f"d{device}", {"temperature": 41.0 if hot else 21.0}, time.time())


@dataclass
class Found:
    """`events` and `alerts` by id, `windows` with what they came to, `readings` by place, `latest`
    as device to record time and temperature, `opened` as they stand on the topic."""

    events: set[tuple[str, int]]
    alerts: dict[str, Any]
    windows: set[tuple[Any, ...]]
    readings: dict[str, Any]
    latest: dict[str, tuple[float, float]]
    opened: list[Any]


class Stores:
    """What the databases hold."""

    found: Found

    def __init__(self, mariadb: MariaDB, mongo: Mongo, redis: Redis, prefix: str) -> None:
        self._mariadb, self._mongo, self._redis = mariadb, mongo, redis
        self._prefix = prefix

    async def look(self) -> None:
        devices, opened = await latest_in(self._redis, self._prefix)
        self.found = Found(
            events_in(self._mariadb),
            alerts_in(self._mariadb),
            windows_in(self._mariadb),
            await readings_in(self._mongo),
            {one.device_id: (one.at, one.values["temperature"]) for one in devices.values()},
            sorted(opened, key=str),
        )


class Expected:
    """What the topics say, and so what the databases must."""

    found: Found

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix

    async def look(self) -> None:
        bootstrap, prefix = self._bootstrap, self._prefix
        told = await alerts(bootstrap, prefix)
        readings, latest = await self._readings()
        self.found = Found(
            {(event["alert_id"], event["seq"]) for event in told},
            {event["alert_id"]: event for event in sorted(told, key=lambda one: one["seq"])},
            await self._windows(),
            readings,
            latest,
            sorted((await open_alerts(bootstrap, prefix)).values(), key=str),
        )

    async def _windows(self) -> set[tuple[Any, ...]]:
        windows: dict[Any, Any] = {}
        for record in await read_topic(self._bootstrap, self._prefix + "windows"):
            one = json.loads(record.value)
            identity = one["device_id"], one["metric"], one["start"]
            if one["revision"] >= windows.get(identity, one)["revision"]:
                windows[identity] = one
        return {
            (device, metric, start.replace("T", " ")[:-1], *map(one.get, SHOWN))
            for (device, metric, start), one in windows.items()
        }

    async def _readings(self) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
        readings: dict[str, Any] = {}
        newest: dict[str, tuple[int, int, float]] = {}
        for record in await read_topic(self._bootstrap, self._prefix + "readings"):
            said = json.loads(record.value)
            readings[f"{record.topic}-{record.partition}-{record.offset}"] = said
            place = (record.timestamp, record.offset, said["temperature"])
            newest[said["device_id"]] = max(newest.get(said["device_id"], place), place)
        return readings, {one: (at / 1000, value) for one, (at, _, value) in newest.items()}


@pytest.mark.timeout(560)
async def test_every_reading_and_alert_is_kept_once_whatever_happens_to_archives_and_databases(
    kafka, prefix, tmp_path
):
    mariadb, mongo = mysql_at(tmp_path / "mariadb"), Mongo(tmp_path / "mongo")
    redis = Redis(tmp_path / "redis")
    servers: dict[str, Server] = {"mysql": mariadb, "mongo": mongo, "redis": redis}
    asked = {"SMART_IOT_MYSQL_URL": mariadb.url, "SMART_IOT_REDIS_URL": redis.url}
    worker = Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_WINDOW="10", **asked)
    with ExitStack() as stack:
        for server in servers.values():
            stack.enter_context(running(server))
        await stack.enter_context(worker).ready()
        before = await latency(kafka.bootstrap, prefix, "before")
        archives = stack.enter_context(
            Archives(kafka.bootstrap, prefix, tmp_path, *servers.values())
        )
        for sink in servers:
            await until(lambda sink=sink: ready(archives, sink), f"{sink}: {archives.tail()}")
        readings, calm = prefix + "readings", asyncio.Event()
        publishing = asyncio.create_task(
            publish(kafka.bootstrap, readings, history(), rate=RATE, hurry=calm)
        )
        for sink in ("mysql", "mongo", "redis", "mysql", "mongo"):
            await asyncio.sleep(0.7)
            await archives.kill(sink)
        for number, server in enumerate(servers.values()):
            (server.kill if number == 1 else server.stop)()
            await asyncio.sleep(ASIDE)
            await asyncio.to_thread(server.start)
        assert not publishing.done()  # all that was under load
        calm.set()
        await publishing
        await quiet(kafka.bootstrap, prefix, seconds=1)

        expected = Expected(kafka.bootstrap, prefix)
        stores = Stores(mariadb, mongo, redis, prefix)

        async def agree() -> bool:
            if await how_many_in(mongo) < READINGS:
                await asyncio.sleep(1)
                return False
            await stores.look()
            await expected.look()  # what is told late, of who is silent now, is in there too
            return vars(stores.found) == vars(expected.found)

        try:
            await until(agree, "all is kept", within=PATIENCE)
        except AssertionError:  # say what isn't
            await asyncio.gather(stores.look(), expected.look())
        for name, wanted in vars(expected.found).items():
            assert getattr(stores.found, name) == wanted, archives.tail()
        assert len(expected.found.readings) == READINGS + 15
        assert len(expected.found.alerts) >= 200
        assert len(expected.found.windows) >= DEVICES
        assert await read_topic(kafka.bootstrap, prefix + "readings-rejected") == []

        await until(lambda: is_source(worker, "redis"), "the open alerts are told from Redis")
        for server in servers.values():
            server.kill()
        after = await latency(kafka.bootstrap, prefix, "after")
        assert await archives.ask("redis", "/-/healthy")
        await until(lambda: is_source(worker, "topic"), "and without it from the topic")
    print(f"alert latency: {before * 1e3:.0f} ms without archives, {after * 1e3:.0f} ms beside "
          "three whose databases are dead")  # fmt: skip
    assert after < 3 * before + 0.1


async def is_source(worker: Worker, source: str) -> bool:
    address = f"http://127.0.0.1:{worker.port}/api/alerts/active/"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        return answer.headers.get("X-Source") == source


async def ready(archives: Archives, sink: str) -> bool:
    return '"ready": true' in await archives.ask(sink, "/-/ready")


async def latency(bootstrap: str, prefix: str, name: str) -> float:
    """From a reading sent to its alert read, the median of several."""
    consumer = AIOKafkaConsumer(
        prefix + "alerts", bootstrap_servers=bootstrap, fetch_max_wait_ms=100
    )
    seconds = []
    async with consumer:
        await consumer.seek_to_end()
        for number in range(15):
            began, device = time.monotonic(), f"{name}-{number}"
            hot = Sent(device, {"temperature": 50.0}, time.time())
            await publish(bootstrap, prefix + "readings", [hot])
            while json.loads((await consumer.getone()).value)["device_id"] != device:
                pass
            seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


async def test_a_dead_database_stops_no_other_a_poison_reading_none_and_an_emptied_one_is_refilled(
    kafka, prefix, tmp_path
):
    mongo, redis = Mongo(tmp_path / "mongo"), Redis(tmp_path / "redis")
    readings, bootstrap = prefix + "readings", kafka.bootstrap
    with (
        running(mongo),
        running(redis),
        Archives(bootstrap, prefix, tmp_path, mongo, redis) as archives,
    ):
        for sink in ("mongo", "redis"):
            await until(lambda sink=sink: ready(archives, sink), f"{sink}: {archives.tail()}")
        mongo.kill()
        sent = [Sent(f"d{number}", {"temperature": 21.0}, T0 + number) for number in range(300)]
        poison = Sent("poison", {"temperature": 21.0, "serial": 1 << 70}, T0)
        await publish(bootstrap, readings, [*sent[:150], poison, *sent[150:]])

        async def in_redis() -> bool:
            return len((await latest_in(redis, prefix))[0]) == 301

        await until(in_redis, "Redis has them, though MongoDB is dead")

        async def is_seen() -> bool:
            told = await archives.ask("mongo", "/metrics")
            return 'archive_lag_records{sink="mongo"} 301.0' in told

        await until(is_seen, "what waits for MongoDB is seen")

        async def says_so() -> bool:
            return "mongo can't be written" in await archives.ask("mongo", "/-/ready")

        await until(says_so, "the archive isn't ready")
        await asyncio.to_thread(mongo.start)

        async def in_mongo() -> bool:
            return len(await readings_in(mongo)) >= 300

        await until(in_mongo, "MongoDB has them, once it is back")
        (rejected,) = await read_topic(bootstrap, prefix + "readings-rejected")
        headers = dict(rejected.headers)
        assert json.loads(rejected.value)["serial"] == 1 << 70
        assert (headers["reason"], headers["sink"]) == (b"sink_rejected", b"mongo")
        assert headers["topic"] == readings.encode()
        assert b"8-byte ints" in headers["detail"]

        redis_cli(redis, "flushall")
        await publish(bootstrap, readings, [Sent("d0", {"temperature": 22.0}, T0 + 1_000)])
        await until(in_redis, "what Redis had lost is there again")
        assert (await latest_in(redis, prefix))[0]["d0"].values == {"temperature": 22.0}
