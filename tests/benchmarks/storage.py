"""Rows in, rows a second into each database out: an archive's batches beside one write a reading.

The other way is the seed's: whoever consumes writes each message as it comes, and waits for it.
Both write the same to the same server, started here, one after the other; the figure is the ratio.
`python -m tests.benchmarks.storage [--rows 20000]`; the last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymysql
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.sinks import schema
from pipeline.sinks.known import sink_of
from pipeline.sinks.sink import WINDOW
from pipeline.stores import DATABASE, LocalRedis
from tests.pipeline.sinks.shell import T0, Record, Writing, reading, record, window_of
from tests.stores import MariaDB, Mongo, Server, running

DEVICES = 1_000
BATCH = Settings().archive_rows


class Redis(Server, LocalRedis):
    """As it runs beside `up`: it waits for no disk, which would hold up single writes the most."""


One = Callable[[Record], Awaitable[Any]]


def readings(rows: int) -> list[Record]:
    return [
        reading(n, f"device-{n % DEVICES}", at=T0 + n, temperature=20 + n % 9 / 10, humidity=55.1)
        for n in range(rows)
    ]


def windows(rows: int) -> list[Record]:
    return [
        record(WINDOW, n, window_of(f"device-{n % DEVICES}", start=iso(T0 + n // DEVICES * 300)))
        for n in range(rows)
    ]


@asynccontextmanager
async def one_by_one_in_mysql(server: Server) -> AsyncIterator[One]:
    link = pymysql.connect(
        host="127.0.0.1", port=server.port, user="root", database=DATABASE, autocommit=True
    )

    async def write(one: Record) -> None:
        said = json.loads(one.value or b"")
        start = datetime.fromisoformat(said["start"]).replace(tzinfo=None)
        which = (said["device_id"], said["metric"], start, said["seconds"])
        what = (said["count"], said["mean"], said["min"], said["max"], said["last"], said["unit"])
        now = datetime.now(UTC).replace(tzinfo=None)
        with link.cursor() as cursor:
            cursor.execute(schema.PUT_WINDOWS, (*which, *what, now, said["revision"]))

    with link:
        yield write


@asynccontextmanager
async def one_by_one_in_mongo(server: Server) -> AsyncIterator[One]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(server.url)

    async def write(one: Record) -> None:
        said = json.loads(one.value or b"")
        await client[DATABASE].seed.insert_one({**said, "stored_at": datetime.now(UTC)})

    yield write
    await client.close()


@asynccontextmanager
async def one_by_one_in_redis(server: Server) -> AsyncIterator[One]:
    client: Any = RedisClient.from_url(server.url)

    async def write(one: Record) -> None:
        said = json.loads(one.value or b"")
        await client.set(f"latest:{said['device_id']}", json.dumps(said), ex=60)

    yield write
    await client.aclose()


CONTESTS = {
    "mysql": (MariaDB, windows, one_by_one_in_mysql),
    "mongo": (Mongo, readings, one_by_one_in_mongo),
    "redis": (Redis, readings, one_by_one_in_redis),
}


async def batches(name: str, server: Server, records: Sequence[Record]) -> float:
    """Rows a second through the sink, decoding included."""
    sink = sink_of(name, Settings(**{f"{name}_url": server.url}))
    writing = Writing(sink)
    began = time.perf_counter()
    for start in range(0, len(records), BATCH):
        assert await writing.write(*records[start : start + BATCH]) == []
    seconds = time.perf_counter() - began
    await sink.close()
    return len(records) / seconds


async def one_by_one(
    server: Server, way: Callable[[Server], Any], records: Sequence[Record]
) -> float:
    async with way(server) as write:
        began = time.perf_counter()
        for one in records:
            await write(one)
        return len(records) / (time.perf_counter() - began)


async def contest(name: str, folder: Path, rows: int) -> dict[str, float]:
    kind, make, way = CONTESTS[name]
    records = make(rows)
    with running(kind(folder / name)) as server:
        sink = sink_of(name, Settings(**{f"{name}_url": server.url}))
        await sink.migrate()
        await sink.close()
        singly = await one_by_one(server, way, records[: rows // 10])
        ours = await batches(name, server, records)
    ratio = ours / singly
    print(f"{name:6} {ours:9,.0f} rows/s in batches {singly:8,.0f} one by one   x {ratio:.1f}")
    return {"ours": round(ours), "one_by_one": round(singly), "ratio": round(ratio, 1)}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--only", choices=CONTESTS, action="append")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: await contest(name, Path(folder), chosen.rows) for name in chosen.only or CONTESTS
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())
