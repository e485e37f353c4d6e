"""A WebSocket request in, a viewer's whole life out: who may come, what it is told, how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from aiohttp import WSMsgType, web

from pipeline.access import EVERYTHING, READ, Scope
from pipeline.metrics import VIEWERS_REFUSED
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.web.addresses import counted_for
from pipeline.web.gate import Gate, refusal
from pipeline.web.hub import Full, Hub, TooMany
from pipeline.web.viewer import NO_TOKEN, TOO_SMALL_A_SCOPE, Refused, Viewer

log = logging.getLogger(__name__)

TURNED_AWAY: Final = frozenset({NO_TOKEN, TOO_SMALL_A_SCOPE})
LARGEST_MESSAGE: Final = 4096  # bytes; of what a viewer says we listen to its token alone
TOKEN_WITHIN: Final = 5.0  # seconds

Watch = Callable[[Viewer, Scope], Awaitable[AbstractContextManager[None]]]
"""While that is entered, the viewer is told what it came for. Refused where that can't be."""


class Door:
    """What every stream asks of whoever comes: room for one more, and a token where they are on."""

    def __init__(self, settings: Settings, hub: Hub, gate: Gate) -> None:
        self._trusted = settings.trusted_proxies
        self._hub = hub
        self._gate = gate

    async def admit(
        self, request: web.Request, problem: str | None, watch: Watch
    ) -> web.StreamResponse:
        """A viewer's life, or a refusal. `problem`: why nobody can watch now."""
        if not web.WebSocketResponse().can_prepare(request):
            return refusal(400, "this is a stream of messages: open it as a WebSocket (ws://…)")
        if problem is not None:
            VIEWERS_REFUSED.labels("not_ready").inc()
            return refusal(503, problem)
        try:
            with self._hub.place(self._address(request)) as viewer:
                return await self._attend(request, viewer, watch)
        except TooMany as full:
            VIEWERS_REFUSED.labels("per_address").inc()
            return refusal(429, str(full))
        except Full as full:
            VIEWERS_REFUSED.labels("full").inc()
            return refusal(503, str(full))

    def _address(self, request: web.Request) -> str | None:
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        return counted_for(request.remote, forwarded, self._trusted)

    async def _attend(
        self, request: web.Request, viewer: Viewer, watch: Watch
    ) -> web.WebSocketResponse:
        # uncompressed, so that the bytes of an event are the same for all; pings are the hub's
        ws = web.WebSocketResponse(autoping=False, max_msg_size=LARGEST_MESSAGE, compress=False)
        writer = await ws.prepare(request)
        if (transport := request.transport) is None:
            return ws
        viewer.connected(ws, writer, transport)
        try:
            async with viewer.until_ended():
                try:
                    scope = await self._scope(request, ws)
                    with await watch(viewer, scope):
                        await _listen(ws, viewer)
                except Refused as refused:
                    if refused.code in TURNED_AWAY:
                        log.warning("a viewer is closed with %d: %s", refused.code, refused)
                    viewer.end(refused.code, str(refused))
        except TimeoutError:
            if viewer.code is None:
                raise
        finally:
            await viewer.close()
        return ws

    async def _scope(self, request: web.Request, ws: web.WebSocketResponse) -> Scope:
        if not self._gate.asks_for_tokens:
            return EVERYTHING
        if "Authorization" in request.headers:
            scope = self._gate.scope(request)
        else:
            scope = self._gate.known(await _token(ws))
        if scope is None:
            raise Refused(NO_TOKEN, "no token that is known here came")
        if READ not in scope.can:
            raise Refused(TOO_SMALL_A_SCOPE, "this token may not read")
        return scope


async def _token(ws: web.WebSocketResponse) -> str:
    """Of the first message, as browsers send it; empty where none came."""
    with suppress(TimeoutError, ValueError, RecursionError, ConnectionError):
        async with asyncio.timeout(TOKEN_WITHIN):
            while (message := await ws.receive()).type in (WSMsgType.PING, WSMsgType.PONG):
                if message.type is WSMsgType.PING:
                    await ws.pong(message.data)
        said = json.loads(message.data) if message.type is WSMsgType.TEXT else None
        if isinstance(said, dict) and said.get("type") == "auth":
            return str(said.get("token", ""))
    return ""


async def _listen(ws: web.WebSocketResponse, viewer: Viewer) -> None:
    """Until it leaves. Reading is what answers its pings and finds that it is gone."""
    with suppress(ConnectionError):
        async for message in ws:
            viewer.heard = True
            if message.type is WSMsgType.PING:
                await ws.pong(message.data)


def connection(**fields: Any) -> bytes:
    """A message about the connection itself: no client of the seed shows it."""
    return json.dumps({"type": "connection", **fields, "timestamp": iso(time.time())}).encode()
