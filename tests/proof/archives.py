"""Archives and their databases for tests: `smart-iot archive` as a child, and what each keeps."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
from pymongo import AsyncMongoClient

from pipeline.kafka.broker import free_port
from pipeline.settings import Settings
from pipeline.sinks.known import APART
from pipeline.stores import DATABASE
from pipeline.supervisor import tied_to_this_process
from pipeline.web.asking import Unanswered
from pipeline.web.newest import Newest
from tests.lab import child, python
from tests.stores import MariaDB, Mongo, Redis, Server

WITHIN = 90.0  # seconds: where something hangs, not how fast it has to be


class Archives:
    """`smart-iot archive` for some databases; a context manager, after which all of it is gone."""

    def __init__(
        self, bootstrap: str, prefix: str, folder: Path, *servers: Server, **more: str
    ) -> None:
        self._log = folder / "archives.log"
        self._base = free_port() - len(APART)
        urls = {f"SMART_IOT_{server.sink.upper()}_URL": server.url for server in servers}
        self.environment = {
            **os.environ,
            "SMART_IOT_BOOTSTRAP": bootstrap,
            "SMART_IOT_TOPIC_PREFIX": prefix,
            "SMART_IOT_DATA_DIR": str(folder / "archives"),
            "SMART_IOT_ARCHIVE_PORT": str(self._base),
            "SMART_IOT_ARCHIVE_MIGRATE": "YES",
            "SMART_IOT_PARTITIONS": "4",
            **urls,
            **more,
        }

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                python("from pipeline.cli import main; main(['archive'])"),
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=tied_to_this_process(),
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    async def kill(self, sink: str) -> None:
        """kill -9, as soon as it runs."""

        async def was_killed() -> bool:
            pid = await asyncio.to_thread(child, self.process.pid, f"pipeline.archive:{sink}")
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            return pid is not None

        await until(was_killed, f"{sink} isn't started again")

    async def ask(self, sink: str, path: str) -> str:
        """What it answers; empty where it doesn't."""
        address = f"http://127.0.0.1:{self._base + list(APART).index(sink)}{path}"
        try:
            async with aiohttp.ClientSession() as session, session.get(address) as answer:
                return await answer.text()
        except aiohttp.ClientError:
            return ""

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-4_000:]


async def until(true: Callable[[], Awaitable[Any]], what: str, within: float = WITHIN) -> None:
    deadline = time.monotonic() + within
    while not await true():
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {what}"
        await asyncio.sleep(0.1)


# -- what is kept


def events_in(mariadb: MariaDB) -> set[tuple[Any, ...]]:
    return set(mariadb.execute("SELECT alert_id, seq FROM alert_events"))


def alerts_in(mariadb: MariaDB) -> dict[str, Any]:
    """Alert to its last event."""
    rows = mariadb.execute("SELECT alert_id, body FROM alerts")
    return {alert_id: msgspec.json.decode(body) for alert_id, body in rows}


def windows_in(mariadb: MariaDB) -> set[tuple[Any, ...]]:
    columns = "device_id, metric, CAST(start AS CHAR), revision, `count`, mean, `last`"
    return set(mariadb.execute(f"SELECT {columns} FROM windows"))  # noqa: S608


async def readings_in(mongo: Mongo) -> dict[str, Any]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongo.url)
    try:
        found = client[DATABASE].readings.find({}, {"reading": 1})
        return {one["_id"]: one["reading"] async for one in found}
    finally:
        await client.close()


async def how_many_in(mongo: Mongo) -> int:
    client: AsyncMongoClient[Any] = AsyncMongoClient(mongo.url)
    try:
        return await client[DATABASE].readings.count_documents({})
    finally:
        await client.close()


async def latest_in(redis: Redis, prefix: str) -> tuple[dict[str, Any], list[Any]]:
    """What is known of each device, and the open alerts."""
    newest = Newest(Settings(redis_url=redis.url, topic_prefix=prefix))
    try:
        opened = [msgspec.json.decode(one.text) for one in await newest.open_alerts()]
        return {one.device_id: one async for some in newest.all() for one in some}, opened
    except Unanswered:  # no archive has said yet that it has come so far
        return {}, []
    finally:
        await newest.stop()
