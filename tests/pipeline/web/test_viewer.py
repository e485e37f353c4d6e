"""Frames that we make ourselves, and what of aiohttp that rests on."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress

import aiohttp
import pytest
from aiohttp import web

from pipeline.access import Scope
from pipeline.settings import Settings
from pipeline.web.door import Door
from pipeline.web.gate import Gate
from pipeline.web.hub import Hub, put_all
from pipeline.web.viewer import Viewer, framed
from tests.benchmarks.web.frames import upgrade
from tests.pipeline.web.conftest import PATIENCE, until


class Stream:
    """A stream of one's own, at a real door."""

    def __init__(self, queue: int = 1_000) -> None:
        self.hub = Hub(10, 10, queue)
        self.door = Door(Settings(), self.hub, Gate(Settings()))
        self.viewers: list[Viewer] = []

    async def view(self, request: web.Request) -> web.StreamResponse:
        return await self.door.admit(request, None, self._watch)

    async def is_empty(self) -> bool:
        return not self.hub._viewers

    async def _watch(self, viewer: Viewer, scope: Scope) -> nullcontext[None]:
        viewer.greet(framed(b"welcome"))

        async def telling() -> None:
            for hundred in range(0, 300, 100):
                await viewer.write(b"".join(framed(b"%d" % (hundred + n)) for n in range(100)))
                await asyncio.sleep(0)

        viewer.begin(telling)
        self.viewers.append(viewer)
        return nullcontext()


@asynccontextmanager
async def listening(stream: Stream) -> AsyncIterator[int]:
    """The port."""
    app = web.Application()
    app.router.add_get("/", stream.view)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(stream: Stream, **more: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        listening(stream) as port,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"http://127.0.0.1:{port}/", **more) as ws,
    ):
        assert await ws.receive_str(timeout=PATIENCE) == "welcome"
        yield ws


@pytest.mark.parametrize(
    ("opcode", "said", "code"),
    [(3, b"", 1002), (aiohttp.WSMsgType.TEXT, b"\xff", 1007), (2, b"x" * 5_000, 1009)],
)
async def test_what_is_no_message_to_us_ends_the_viewer(
    opcode: int, said: bytes, code: int
) -> None:
    async with connected(Stream(), max_msg_size=1 << 20) as ws:
        await ws._writer.send_frame(said, opcode)  # type: ignore[arg-type]
        while (message := await ws.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 300_000])
async def test_a_frame_of_any_size_is_one_for_a_real_client(size: int) -> None:
    stream = Stream()
    async with connected(stream, max_msg_size=1 << 20) as ws:
        assert [await ws.receive_str() for _ in range(300)] == [str(n) for n in range(300)]
        text = "ß" * (size // 2) + "x" * (size % 2)
        frames = [framed(text.encode()), framed(b"next")]
        await put_all(list(stream.viewers), frames)
        assert await ws.receive_str(timeout=PATIENCE) == text
        assert await ws.receive_str(timeout=PATIENCE) == "next"


async def test_what_comes_while_a_viewer_is_told_the_beginning_comes_after_it() -> None:
    stream = Stream()
    async with connected(stream) as ws:
        await put_all(list(stream.viewers), [framed(b"live")])
        told = [await ws.receive_str(timeout=PATIENCE) for _ in range(301)]
        assert told == [*map(str, range(300)), "live"]


async def test_a_viewer_keeps_no_queue_and_no_task_while_it_keeps_up() -> None:
    stream = Stream()
    async with connected(stream) as ws:
        for _ in range(300):
            await ws.receive_str(timeout=PATIENCE)
        (viewer,) = stream.viewers
        await put_all(list(stream.viewers), [framed(b"live")] * 50)
        assert [await ws.receive_str(timeout=PATIENCE) for _ in range(50)] == ["live"] * 50
        assert (viewer._later, viewer._waiting) == (None, None)


async def test_our_frames_and_those_of_aiohttp_do_not_mix() -> None:
    """Its pongs and its close go to the transport as we do: a whole frame at once."""
    stream = Stream()
    async with connected(stream, max_msg_size=1 << 20) as ws:
        for number in range(50):
            await ws.ping(b"are you there?")
            await put_all(list(stream.viewers), [framed(b"%d" % number * 20_000)])
        stream.hub.end_all(1012)
        for _ in range(300):
            await ws.receive_str(timeout=PATIENCE)
        while (message := await ws.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
            assert len(set(message.data)) <= 2
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)


async def test_a_reason_is_as_long_as_a_close_frame_can_tell() -> None:
    stream = Stream()
    async with connected(stream) as ws:
        for _ in range(300):
            await ws.receive_str(timeout=PATIENCE)
        stream.viewers[0].end(1013, "ü" * 100)
        message = await ws.receive(timeout=PATIENCE)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)
        assert message.extra == "ü" * 61


async def test_all_who_are_sent_away_are_told_nothing_more_and_go_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.web.hub.ENDED", 1)
    monkeypatch.setattr("pipeline.web.hub.BREATH", 0.1)
    stream = Stream()
    loop = asyncio.get_running_loop()

    async def ended(client: aiohttp.ClientSession, port: int) -> float:
        async with client.ws_connect(f"http://127.0.0.1:{port}/") as ws:
            await inside.wait()
            while (message := await ws.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.TEXT:
                assert message.data != "live"
            assert message.data == 1012
            return loop.time()

    inside = asyncio.Barrier(4)
    async with listening(stream) as port, aiohttp.ClientSession() as client:
        endings = [asyncio.create_task(ended(client, port)) for _ in range(3)]
        await inside.wait()
        begin = loop.time()
        stream.hub.end_all(1012)
        await put_all(list(stream.viewers), [framed(b"live")])
        late = [at - begin for at in sorted(await asyncio.gather(*endings))]
    assert late[1] >= 0.1
    assert late[2] >= 0.2


CLOSED = b"\x88\x82\0\0\0\0\x03\xe8"
RESET = struct.pack("ii", 1, 0)


@pytest.mark.parametrize(
    "how", ["closes", "is gone", "is reset", "talks nonsense", "is closed", "is deaf", "is silent"]
)
async def test_a_viewer_that_leaves_needs_not_be_looked_for(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Millions of them come and go in a view's life; `pipeline.web.hub` says what that is for."""
    monkeypatch.setattr("pipeline.web.viewer.CLOSE_GRACE", 0.1)
    stream = Stream()
    async with listening(stream) as port:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                await come_and_go(stream, port, how)
            stream.viewers.clear()
            gc.collect()
            ours = (Viewer, web.WebSocketResponse, web.Request, web.RequestHandler, asyncio.Task)
            assert [one for one in gc.garbage if isinstance(one, ours)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def come_and_go(stream: Stream, port: int, how: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(upgrade(f"127.0.0.1:{port}", "/"))
    await reader.readuntil(b"welcome")
    (viewer,) = stream.hub._viewers
    match how:
        case "closes":
            writer.write(CLOSED)
        case "is gone":
            writer.close()
        case "is reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        case "talks nonsense":
            writer.write(b"\xff" * 4)
        case "is closed":
            viewer.end(1012)
            writer.write(CLOSED)
        case "is deaf":
            viewer.end(1012)
        case "is silent":
            viewer.ping()
            viewer.ping()
    del viewer
    with suppress(ConnectionError):
        await reader.read()
    writer.close()
    await until(stream.is_empty)
    await asyncio.sleep(0.01)  # its task ends
