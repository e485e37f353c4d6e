"""Lines in, each as one frame to every viewer out: what the kernel and our client take by
themselves. No queue, no filter, no ping, nothing but writes; on uvloop."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import uvloop

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def frame(text: bytes) -> bytes:
    return (
        b"\x81"
        + (bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2))
        + text
    )


class Viewer(asyncio.Protocol):
    everyone: set[Any] = set()  # noqa: RUF012  (one server a process)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /ws"):
            self.everyone.add(self.transport)
            self.transport.write(ANSWER + frame(b"hello"))
        else:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        self.everyone.discard(self.transport)


async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for line in reader:
        writer.write(b"\n")
        message = frame(line.rstrip())
        for viewer in Viewer.everyone:
            viewer.write(message)
    writer.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(Viewer, "127.0.0.1", int(os.environ["BENCH_PORT"]), backlog=1000)
    await asyncio.start_server(hear, "127.0.0.1", int(os.environ["BENCH_CONTROL"]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
