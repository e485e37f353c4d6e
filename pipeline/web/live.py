"""A request for `/ws/alerts/` in; a viewer's welcome, what it missed or what is open, and the live
events out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, NoReturn

from aiohttp import web

from pipeline.access import Scope
from pipeline.web.alerts import Alert, Wanted
from pipeline.web.cursor import Cursor
from pipeline.web.door import Door, connection
from pipeline.web.feed import Feed
from pipeline.web.gate import refusal
from pipeline.web.hub import Hub, Member
from pipeline.web.viewer import TRY_AGAIN_LATER, Refused, Viewer, framed

WISHES: Final = 16  # of which the backlog is kept for the next who comes with it


class Live:
    def __init__(self, door: Door, hub: Hub, feed: Feed, ping_every: float) -> None:
        self._door = door
        self._hub = hub
        self._feed = feed
        self._ping_every = ping_every
        self._backlogs = Backlogs()

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        try:
            wanted = Wanted.of(request.query)
        except ValueError as error:
            return refusal(400, str(error))
        watch = partial(self._watching, wanted, request.query.get("cursor"))
        return await self._door.admit(request, self._feed.unknown(), watch)

    async def ping(self) -> NoReturn:
        """Tell every viewer at times that the line is alive: a page can't see WebSocket pings. And
        where Kafka isn't: then nothing could come."""
        while True:
            await asyncio.sleep(self._ping_every)
            async with self._hub.turn:
                if self._feed.caught_up:
                    said: dict[str, Any] = {"event": "ping", "cursor": self._feed.cursor()}
                    if self._feed.problem is not None:
                        said["stale"] = True
                    await self._hub.tell(framed(connection(**said)))

    async def _watching(
        self, asked_for: Wanted, asked: str | None, viewer: Viewer, scope: Scope
    ) -> Member[Wanted]:
        wanted = asked_for.within(scope)
        cursor = Cursor.read(asked) if asked is not None else None
        if cursor is not None:
            await self._feed.reach(cursor)
        if problem := self._feed.unknown():
            raise Refused(TRY_AGAIN_LATER, problem)
        # what it is told is taken, and the viewer joined, without an await: the rest comes live
        if cursor is None or not self._recover(viewer, wanted, cursor):
            self._begin(viewer, wanted, None if asked is None else False)
        return self._hub.joined(viewer, wanted)

    def _recover(self, viewer: Viewer, wanted: Wanted, cursor: Cursor) -> bool:
        """Tell it exactly what it missed; False where that can't be proven."""
        missed = self._feed.missed(cursor)
        if missed is None:
            return False
        viewer.begin(
            # with its own cursor: should this line break too, it has seen no more
            _welcome(cursor.text(), recovered=True, backlog=0),
            (framed(alert.live(at)) if wanted.has(alert) else None for at, alert in missed),
        )
        return True

    def _begin(self, viewer: Viewer, wanted: Wanted, recovered: bool | None) -> None:
        backlog = self._backlogs.of(wanted, self._feed.open_alerts())
        viewer.covered = self._feed.ahead() or None
        viewer.begin(_welcome(self._feed.cursor(), recovered, len(backlog)), backlog)


class Backlogs:
    """The frames of what is open, for each wish: made once for all who come with it."""

    def __init__(self) -> None:
        self._of: tuple[Alert, ...] = ()
        self._frames: dict[Wanted, tuple[bytes, ...]] = {}

    def of(self, wanted: Wanted, alerts: tuple[Alert, ...]) -> tuple[bytes, ...]:
        if self._of is not alerts or len(self._frames) >= WISHES:
            self._of, self._frames = alerts, {}
        frames = self._frames.get(wanted)
        if frames is None:
            frames = tuple(framed(alert.backlog()) for alert in alerts if wanted.has(alert))
            self._frames[wanted] = frames
        return frames


def _welcome(cursor: str, recovered: bool | None, backlog: int) -> bytes:
    words = "Connected to alerts stream"
    return framed(connection(message=words, cursor=cursor, recovered=recovered, backlog=backlog))
