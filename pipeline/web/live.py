"""A request for `/ws/alerts/` in; a viewer's welcome, what it missed or what is open, and the live
events out.

What it is told of is settled in one moment, in which it also joins those who are told the rest. If
that is much, it is looked through and written after that, in parts, however many viewers come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NoReturn

from aiohttp import web

from pipeline.access import Scope
from pipeline.web.alerts import Alert, Wanted
from pipeline.web.audience import Audience, Said, Watching
from pipeline.web.cursor import Cursor
from pipeline.web.door import Door, connection
from pipeline.web.feed import Feed
from pipeline.web.gate import refusal
from pipeline.web.viewer import TRY_AGAIN_LATER, Refused, Viewer, framed

WISHES: Final = 16  # for which what is open is kept, for the next who comes with the same
SLICE: Final = 500  # open alerts looked at between two turns of the event loop: 1 ms
PART: Final = 50  # alerts written at once: 40 kB, 0.1 ms
AT_ONCE: Final = 100  # viewers that are told a part between two turns of the event loop: 10 ms


class Live:
    def __init__(self, door: Door, audience: Audience, feed: Feed, ping_every: float) -> None:
        self._door = door
        self._audience = audience
        self._feed = feed
        self._ping_every = ping_every
        self._backlogs = Backlogs()
        self._room = asyncio.Semaphore(AT_ONCE)

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
            if self._feed.caught_up:
                said: dict[str, Any] = {"event": "ping", "cursor": self._feed.cursor()}
                if self._feed.problem is not None:
                    said["stale"] = True
                self._audience.say(Said(framed(connection(**said))))

    async def _watching(
        self, asked_for: Wanted, asked: str | None, viewer: Viewer, scope: Scope
    ) -> Watching:
        wanted = asked_for.within(scope)
        cursor = Cursor.read(asked) if asked is not None else None
        if cursor is not None:
            await self._feed.reach(cursor)
        if problem := self._feed.unknown():
            raise Refused(TRY_AGAIN_LATER, problem)
        # what it is told is taken, and the viewer joined, without an await: the rest comes live
        if cursor is None or not self._recover(viewer, wanted, cursor):
            self._begin(viewer, wanted, None if asked is None else False)
        return Watching(self._audience, viewer, wanted)

    def _recover(self, viewer: Viewer, wanted: Wanted, cursor: Cursor) -> bool:
        """Tell it exactly what it missed; False where that can't be proven."""
        missed = self._feed.missed(cursor)
        if missed is None:
            return False
        # with its own cursor: should this line break too, it has seen no more
        welcome = _welcome(cursor.text(), recovered=True, backlog=0)
        frames = (framed(alert.live(at)) if wanted.has(alert) else b"" for at, alert in missed)
        viewer.begin(partial(self._tell, viewer, welcome, frames))
        return True

    def _begin(self, viewer: Viewer, wanted: Wanted, recovered: bool | None) -> None:
        alerts, cursor = self._feed.open_alerts(), self._feed.cursor()
        viewer.covered = self._feed.ahead() or None
        if len(alerts) > PART:
            viewer.begin(partial(self._tell_open, viewer, wanted, alerts, cursor, recovered))
            return
        frames = [framed(alert.backlog()) for alert in alerts if wanted.has(alert)]
        viewer.greet(b"".join((_welcome(cursor, recovered, len(frames)), *frames)))

    async def _tell_open(
        self,
        viewer: Viewer,
        wanted: Wanted,
        alerts: tuple[Alert, ...],
        cursor: str,
        recovered: bool | None,
    ) -> None:
        backlog = await self._backlogs.of(wanted, alerts)
        welcome = _welcome(cursor, recovered, len(backlog))
        await self._tell(viewer, welcome, (framed(alert.backlog()) for alert in backlog))

    async def _tell(self, viewer: Viewer, welcome: bytes, frames: Iterator[bytes]) -> None:
        await viewer.write(welcome)
        part = [b""]
        while part:
            async with self._room:
                part = [*islice(frames, PART)]
                await asyncio.sleep(0)
            await viewer.write(b"".join(part))


class Backlogs:
    """What is open of what is wanted: looked through once for all who come with the same wish."""

    def __init__(self) -> None:
        self._of: tuple[Alert, ...] = ()
        self._found: dict[Wanted, Sequence[Alert]] = {}
        self._looking = asyncio.Lock()

    async def of(self, wanted: Wanted, alerts: tuple[Alert, ...]) -> Sequence[Alert]:
        async with self._looking:
            if self._of is not alerts or len(self._found) >= WISHES:
                self._of, self._found = alerts, {}
            found = self._found.get(wanted)
            if found is None:
                found = self._found[wanted] = await _wanted(wanted, alerts)
            return found


async def _wanted(wanted: Wanted, alerts: tuple[Alert, ...]) -> Sequence[Alert]:
    found: list[Alert] = []
    for start in range(0, len(alerts), SLICE):
        found += [alert for alert in alerts[start : start + SLICE] if wanted.has(alert)]
        await asyncio.sleep(0)
    return found


def _welcome(cursor: str, recovered: bool | None, backlog: int) -> bytes:
    words = "Connected to alerts stream"
    return framed(connection(message=words, cursor=cursor, recovered=recovered, backlog=backlog))
