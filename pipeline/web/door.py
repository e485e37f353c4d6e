"""A WebSocket request in, a viewer's whole life out: who may come, what it is told, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp import WSMsgType, web

from pipeline.metrics import CLOSE_CODES, VIEWERS_CLOSED, label
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.web.alerts import Wanted
from pipeline.web.hub import GOING_AWAY, TRY_AGAIN_LATER, Full, Hub, Viewer

HEARTBEAT = 25.0  # seconds between two WebSocket pings; half of it without an answer is the end
LARGEST_MESSAGE = 4096  # bytes; we listen to nothing that a viewer says
CLOSE_GRACE, STOP_GRACE = 5.0, 1.5  # seconds a viewer has to answer our close; a stop has 2 in all
ABNORMAL = 1006
BREATH = 100  # messages of a viewer's beginning between two turns of the event loop
DEVELOPMENT_ORIGINS = frozenset({"http://localhost:3000", "http://127.0.0.1:3000"})


class Door:
    """What every stream asks of whoever comes: an origin that may watch, and room for one more."""

    def __init__(self, settings: Settings, hub: Hub) -> None:
        self._hub = hub
        self._is_local = is_loopback(settings.web_host)
        self._also_allowed = DEVELOPMENT_ORIGINS if self._is_local else frozenset[str]()

    def allows(self, request: web.Request) -> bool:
        """Our own pages, who develops one on this machine, and whatever is no browser."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self._also_allowed:
            return True
        return _parts(origin).netloc.lower() == request.host.lower()

    def forbids(self, request: web.Request) -> str | None:
        """Why this request may change nothing; None if it may.

        A foreign name can be made to lead to this machine, and its page then seems to be ours:
        where we listen on loopback, only a page under one of loopback's own names may."""
        origin = request.headers.get("Origin")
        ours = origin is None or not self._is_local or is_loopback(_parts(origin).hostname or "")
        if ours and self.allows(request):
            return None
        return "this page's origin may change nothing; open the page that we serve"

    async def admit(
        self,
        request: web.Request,
        wanted: Callable[[], Wanted | None],
        watch: Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]],
        problem: str | None,
    ) -> web.StreamResponse:
        """`watch` with a viewer of the alerts that it wants, or a refusal. `problem`: why nobody
        can watch now."""
        if not self.allows(request):
            return refusal(403, "this page's origin may not watch; open the page that we serve")
        if not web.WebSocketResponse().can_prepare(request):
            return refusal(400, "this is a stream of messages: open it as a WebSocket (ws://…)")
        if problem is not None:
            return refusal(503, problem)
        try:
            asked = wanted()
        except ValueError as error:
            return refusal(400, str(error))
        try:
            with self._hub.subscribe(asked) as viewer:
                return await watch(request, viewer)
        except Full:
            return refusal(503, "as many viewers are connected as may be (SMART_IOT_VIEWERS)")


async def attend(
    request: web.Request, viewer: Viewer, beginning: Iterable[bytes | None]
) -> web.WebSocketResponse:
    """Send what a viewer is to begin with (None: nothing, but it took time), then its queue."""
    # uncompressed, so that the bytes of an event are the same for all
    ws = web.WebSocketResponse(heartbeat=HEARTBEAT, max_msg_size=LARGEST_MESSAGE, compress=False)
    await ws.prepare(request)
    reading = asyncio.create_task(_read(ws))
    writing = asyncio.create_task(_write(ws, viewer, beginning))
    try:
        first: list[asyncio.Future[Any]] = [reading, writing, viewer.ended]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled(reading, writing)
        await _close(request, ws, viewer)
    return ws


async def _close(request: web.Request, ws: web.WebSocketResponse, viewer: Viewer) -> None:
    code = viewer.ended.result() if viewer.ended.done() else ws.close_code or ABNORMAL
    VIEWERS_CLOSED.labels(label(code, CLOSE_CODES)).inc()
    message = b"too far behind: come back" if code == TRY_AGAIN_LATER else b""
    try:
        async with asyncio.timeout(STOP_GRACE if code == GOING_AWAY else CLOSE_GRACE):
            # drain=False: aiohttp's drain waits on the very future that cancelling the writer
            # has cancelled, and would end us with it
            await ws.close(code=code, message=message, drain=False)
    except TimeoutError:
        # at a stop the rest may still go out; else it would hold the memory that we want back
        if code != GOING_AWAY and request.transport is not None:
            request.transport.abort()


async def _read(ws: web.WebSocketResponse) -> None:
    """Until it leaves. Reading is what answers its pings and finds that it is gone."""
    async for _ in ws:
        pass


async def _write(
    ws: web.WebSocketResponse, viewer: Viewer, beginning: Iterable[bytes | None]
) -> None:
    with contextlib.suppress(ConnectionError):
        for number, message in enumerate(beginning):
            if message is not None:
                await ws.send_frame(message, WSMsgType.TEXT)
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        while True:
            await ws.send_frame(await viewer.next(), WSMsgType.TEXT)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def connection(**fields: Any) -> bytes:
    """A message about the connection itself: no client of the seed shows it."""
    return json.dumps({"type": "connection", **fields, "timestamp": iso(time.time())}).encode()


def refusal(status: int, why: str) -> web.Response:
    headers = {"Retry-After": "1"} if status == 503 else {}
    return web.json_response({"error": why}, status=status, headers=headers)


def _parts(origin: str) -> SplitResult:
    """Of what a browser says; what is no URL has no host."""
    try:
        return urlsplit(origin)
    except ValueError:
        return urlsplit("")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
