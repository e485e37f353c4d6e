"""Events to the floor, which says that it has heard them before it passes them on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks.web.contestants.kafka_sender import text
from tests.benchmarks.web.pace import Send, run


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["BENCH_CONTROL"]))
    turn = asyncio.Lock()

    async def send(number: int) -> None:
        async with turn:
            writer.write(text(number) + b"\n")
            await reader.readline()

    yield send
    writer.close()


if __name__ == "__main__":
    run(sending)
