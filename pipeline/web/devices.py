"""The device table's changelog in, without a group; the newest readings of the fleet out.

At most one row a device a flush stands there, so this is what a view can afford to read for ever,
while the readings themselves may be a thousand times as many. What it tells is refused with a
reason until it has caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.access import EVERYTHING, Scope
from pipeline.metrics import DEVICES
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web.fleet import Fleet, Latest
from pipeline.web.follower import Follower, Record

if TYPE_CHECKING:  # its driver needs not be there
    from pipeline.web.newest import Newest

SLICE = 500  # items encoded between two turns of the event loop
FRESH = 1.0  # seconds that one listing serves everybody who asks

Show = Callable[[Latest, float], Any]
Slices = Callable[[Scope, float], AsyncIterator[list[Any]]]
"""What is shown of the devices that a scope covers, by the wall clock, some at a time."""


class Devices(Follower):
    def __init__(self, settings: Settings, first: Callable[[], str | None]) -> None:
        topic = Names(settings.topic_prefix).changelog
        super().__init__(settings, topic, "devices", first, DEVICES)
        self.fleet = Fleet()
        self.latest = Listing(of_fleet(self.fleet, self.fleet.item))
        self.cards = Listing(of_fleet(self.fleet, self.fleet.card))

    def take(self, record: Record) -> None:
        self.fleet.apply(record.partition, record.key or b"*", record.value)

    def known(self) -> int:
        return len(self.fleet)

    def forget(self) -> None:
        self.fleet.clear()


class Listing:
    """Every device as one JSON list: made in slices, so that a large fleet delays no alert, and
    once a second at most, however many ask; for those who may not see all, each of their scopes."""

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
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
        wall, texts = time.time(), list[bytes]()
        async for shown in self._slices(scope, wall):
            texts += map(msgspec.json.encode, shown)
            await asyncio.sleep(0)
        return b"[" + b",".join(texts) + b"]"


def of_fleet(fleet: Fleet, show: Show) -> Slices:
    """By the rows of the device table."""

    async def slices(scope: Scope, wall: float) -> AsyncIterator[list[Any]]:
        known = fleet.all()
        for start in range(0, len(known), SLICE):
            some = known[start : start + SLICE]
            yield [show(latest, wall) for latest in some if scope.sees(latest.device_id)]

    return slices


def of_redis(newest: Newest, fleet: Fleet) -> Slices:
    async def slices(scope: Scope, wall: float) -> AsyncIterator[list[Any]]:
        async for known in newest.all():
            yield [fleet.item_of(one, wall) for one in known if scope.sees(one.device_id)]

    return slices
