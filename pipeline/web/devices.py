"""The device table's changelog in, without a group; the newest readings of the fleet out.

At most one row a device a flush stands there, so this is what a view can afford to read for ever,
while the readings themselves may be a thousand times as many. What it tells is refused with a
reason until it has caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.access import EVERYTHING, Scope
from pipeline.metrics import DEVICES
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web.fleet import Fleet, Latest
from pipeline.web.follower import Follower, Record

SLICE = 500  # items encoded between two turns of the event loop
FRESH = 1.0  # seconds that one listing serves everybody who asks

Show = Callable[[Latest, float], Any]


class Devices(Follower):
    def __init__(self, settings: Settings, first: Callable[[], str | None]) -> None:
        topic = Names(settings.topic_prefix).changelog
        super().__init__(settings, topic, "devices", first, DEVICES)
        self.fleet = Fleet()
        self.latest = Listing(self.fleet, self.fleet.item)
        self.cards = Listing(self.fleet, self.fleet.card)

    def take(self, record: Record) -> None:
        self.fleet.apply(record.partition, record.key or b"*", record.value)

    def known(self) -> int:
        return len(self.fleet)

    def forget(self) -> None:
        self.fleet.clear()


class Listing:
    """Every device as one JSON list: made in slices, so that a large fleet delays no alert, and
    once a second at most, however many ask; for those who may not see all, each of their scopes."""

    def __init__(self, fleet: Fleet, show: Show) -> None:
        self._fleet = fleet
        self._show = show
        self._made: dict[tuple[str, ...], tuple[float, bytes]] = {}
        """Globs of a scope to when its list was made, and the list; there are few scopes."""
        self._making = asyncio.Lock()

    async def body(self, scope: Scope = EVERYTHING) -> bytes:
        async with self._making:
            made, body = self._made.get(scope.devices, (-FRESH, b""))
            if time.monotonic() - made >= FRESH:
                body = await self._make(scope)
                self._made[scope.devices] = (time.monotonic(), body)
            return body

    async def _make(self, scope: Scope) -> bytes:
        wall, texts = time.time(), []
        for number, latest in enumerate(self._fleet.all(), 1):
            if scope.sees(latest.device_id):
                texts.append(msgspec.json.encode(self._show(latest, wall)))
            if number % SLICE == 0:
                await asyncio.sleep(0)
        return b"[" + b",".join(texts) + b"]"
