"""A port in; the same port behind a cable that can be pulled out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Cable:
    """Between a browser and a view. Pulled, nothing is refused and nothing is closed: what is
    said stays on the way, as it does in a network."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._ways: set[asyncio.Task[None]] = set()
        self.port = 0

    def pull(self) -> None:
        self._plugged.clear()

    def plug(self) -> None:
        self._plugged.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._plugged.wait()
        there = await asyncio.open_connection("127.0.0.1", self._behind)
        for source, sink in ((reader, there[1]), (there[0], writer)):
            way = asyncio.create_task(self._carry(source, sink))
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while said := await source.read(65_536):
                await self._plugged.wait()
                sink.write(said)
                await sink.drain()
        sink.close()

    async def end(self) -> None:
        self.plug()
        for way in tuple(self._ways):
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)


@contextlib.asynccontextmanager
async def cable(port: int) -> AsyncIterator[Cable]:
    made = Cable(port)
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
