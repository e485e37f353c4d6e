"""A request for `/ws/alerts/` in; a viewer's welcome, its backlog and the live events out.

This first form can't prove that a viewer who comes back has missed nothing else, so it answers a
cursor with `recovered: false` and the open alerts, which is what the contract asks for then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NoReturn

from aiohttp import web

from pipeline.web.alerts import Alert, Wanted
from pipeline.web.door import Door, attend, connection
from pipeline.web.feed import Feed
from pipeline.web.hub import Hub, Viewer


class Live:
    def __init__(self, door: Door, hub: Hub, feed: Feed, ping_every: float) -> None:
        self._door = door
        self._hub = hub
        self._feed = feed
        self._ping_every = ping_every

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        return await self._door.admit(
            request, lambda: wanted_of(request), self._watch, self._feed.unknown()
        )

    async def ping(self) -> NoReturn:
        """Tell every viewer at times that the line is alive: a page can't see WebSocket pings."""
        while True:
            await asyncio.sleep(self._ping_every)
            async with self._hub.turn:
                if self._feed.caught_up:
                    cursor = self._feed.cursor()
                    await self._hub.publish(connection(event="ping", cursor=cursor))

    async def _watch(self, request: web.Request, viewer: Viewer) -> web.StreamResponse:
        # taken together, before the first await: what comes later is in the viewer's queue
        cursor, backlog, viewer.covered = (
            self._feed.cursor(),
            self._feed.open_alerts(),
            self._feed.ahead(),
        )
        welcome = connection(
            message="Connected to alerts stream",
            cursor=cursor,
            recovered=False if "cursor" in request.query else None,
        )
        return await attend(request, viewer, _beginning(welcome, backlog, viewer))


def _beginning(
    welcome: bytes, backlog: tuple[Alert, ...], viewer: Viewer
) -> Iterator[bytes | None]:
    yield welcome
    for alert in backlog:
        yield alert.backlog() if viewer.asked_for(alert) else None


def wanted_of(request: web.Request) -> Wanted:
    query = request.query
    severities = [text for text in query.get("severity", "").split(",") if text]
    return Wanted.of(query.get("device", ""), severities, query.get("suppressed", ""))
