"""A fleet of 50 in Redis, as the user's own design keeps it; every event is a reading of one of
them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from tests.benchmarks.web.marks import name_of
from tests.benchmarks.web.pace import Send, run

FLEET = 50


def reading(device: int, **more: object) -> str:
    return json.dumps(
        {
            "device_id": f"greenhouse-{device}",
            "temperature": 36.2,
            "humidity": 55.1,
            "battery": 87,
            "timestamp": "2026-11-22T10:00:00Z",
            **more,
        }
    )


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    async with Redis(host="127.0.0.1", port=int(os.environ["BENCH_REDIS"])) as redis:
        for device in range(FLEET):
            await redis.hset("latest", str(device), reading(device))

        async def send(number: int) -> None:
            device = number % FLEET
            await redis.hset("latest", str(device), reading(device, event=name_of(number)))

        yield send


if __name__ == "__main__":
    run(sending)
