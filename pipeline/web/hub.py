"""One message in, the same bytes out to every viewer's queue.

A queue has a bound. A viewer that falls behind by more is closed with 1013 ("try again later"): it
comes back and asks for what it missed, while the others never wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.metrics import QUEUE_OVERFLOWS, VIEWERS
from pipeline.web.alerts import Alert, Wanted

GOING_AWAY = 1001  # this process ends
SERVICE_RESTART = 1012  # the log that the viewer's events came from is gone; it must begin anew
TRY_AGAIN_LATER = 1013  # the viewer fell behind
SLICE = 200  # viewers between two turns of the event loop: about 0.2 ms


class Full(Exception):
    """There are as many viewers as there may be."""


class Viewer:
    """One viewer's queue, and the end that was decided for it. Not all want alerts."""

    def __init__(self, wanted: Wanted | None, queue: int) -> None:
        self.wanted = wanted
        self.covered: dict[str, int] = {}
        """Alerts whose backlog ran ahead of `alerts`: their events up to this seq it has seen."""
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(queue)

    async def next(self) -> bytes:
        return await self._queue.get()

    def put(self, message: bytes) -> None:
        if self.ended.done():
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            QUEUE_OVERFLOWS.inc()
            self.end(TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    def asked_for(self, alert: Alert) -> bool:
        return self.wanted is not None and self.wanted.has(alert)

    def misses(self, alert: Alert) -> bool:
        """Whether it asked for such an alert and hasn't got this event with its backlog."""
        covered = self.covered.get(alert.alert_id)
        if covered is not None:
            if alert.seq <= covered:
                return False
            del self.covered[alert.alert_id]
        return self.asked_for(alert)


class Hub:
    def __init__(self, viewers: int, queue: int) -> None:
        self._limit = viewers
        self._queue = queue
        self._viewers: set[Viewer] = set()
        self._closing = False
        self.turn = asyncio.Lock()
        """Held from the moment a cursor moves until every viewer has the message that moved it:
        so no message overtakes another, and no cursor promises an event that is still to come."""

    @contextmanager
    def subscribe(self, wanted: Wanted | None) -> Iterator[Viewer]:
        if len(self._viewers) >= self._limit:
            raise Full
        viewer = Viewer(wanted, self._queue)
        self._viewers.add(viewer)
        VIEWERS.inc()
        if self._closing:
            viewer.end(GOING_AWAY)
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            VIEWERS.dec()
            viewer.ended.cancel()

    async def publish(self, message: bytes, alert: Alert | None = None) -> None:
        """To everyone who is here now for alerts; the caller has the turn."""
        for number, viewer in enumerate(tuple(self._viewers), 1):
            if viewer.misses(alert) if alert else viewer.wanted:
                viewer.put(message)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def end_all(self, code: int) -> None:
        for viewer in tuple(self._viewers):
            viewer.end(code)

    def close(self) -> None:
        """Everyone leaves, and who still comes is sent away."""
        self._closing = True
        self.end_all(GOING_AWAY)
