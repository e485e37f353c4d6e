"""Viewers in, so many in all and from one address; who is there, and who is sent away, out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, NoReturn, TypeVar

from pipeline.eventloop import give_way
from pipeline.garbage import look_at_all, sift
from pipeline.metrics import VIEWERS
from pipeline.web.audience import SLICE, TURNS, Audience
from pipeline.web.viewer import GOING_AWAY, Viewer

PING_EVERY: Final = 20.0  # seconds between two WebSocket pings; who answers none is gone
ENDED: Final = 100  # viewers that are closed at once: some 10 ms
BREATH: Final = 0.01  # seconds until the next slice of those who ended or were pinged
CROWD: Final = 250  # viewers, after each of which garbage isn't looked for among them: 5 ms
LINGERING: Final = 5_000  # viewers that left long ago and weren't freed: some 80 MB

Key = TypeVar("Key")

log = logging.getLogger(__name__)


class Full(Exception):
    """There are as many viewers as there may be; the text says of which kind."""


class TooMany(Full):
    """From this address."""


class Place:
    """One viewer's, while it is there. A class, and not a generator: it costs a tenth, for each."""

    __slots__ = ("_address", "_hub", "_viewer")

    def __init__(self, hub: Hub, viewer: Viewer, address: str | None) -> None:
        self._hub = hub
        self._viewer = viewer
        self._address = address

    def __enter__(self) -> Viewer:
        self._hub.enter(self._viewer, self._address)
        return self._viewer

    def __exit__(self, *_: object) -> None:
        self._hub.leave(self._viewer, self._address)


class Member(Generic[Key]):
    """A viewer's membership of those who are told the same; `left` is called when it is over."""

    __slots__ = ("_groups", "_key", "_left", "_viewer")

    def __init__(
        self,
        groups: dict[Key, set[Viewer]],
        key: Key,
        viewer: Viewer,
        left: Callable[[], None] | None = None,
    ) -> None:
        self._groups = groups
        self._key = key
        self._viewer = viewer
        self._left = left

    def __enter__(self) -> None:
        self._groups.setdefault(self._key, set()).add(self._viewer)

    def __exit__(self, *_: object) -> None:
        group = self._groups[self._key]
        group.discard(self._viewer)
        if not group:
            del self._groups[self._key]
        if self._left is not None:
            self._left()


class Hub:
    def __init__(self, viewers: int, per_address: int, queue: int) -> None:
        self._limit = viewers
        self._per_address = per_address
        self._queue = queue
        self._viewers: set[Viewer] = set()
        self._came = 0
        self._lingering = 0
        self._lost = Viewer.alive  # of another hub
        self._from: Counter[str] = Counter()
        self._closing = False
        self.audience = Audience()

    def place(self, address: str | None) -> Place:
        """For a viewer from an address (None: it isn't counted); Full where there is none."""
        if len(self._viewers) >= self._limit:
            raise Full("as many viewers are connected as may be (SMART_IOT_VIEWERS)")
        if address is not None and self._from[address] >= self._per_address:
            raise TooMany(
                "as many viewers are connected from this address as may be "
                "(SMART_IOT_VIEWERS_PER_ADDRESS; is it a proxy's? SMART_IOT_TRUSTED_PROXIES)"
            )
        return Place(self, Viewer(self._queue), address)

    def enter(self, viewer: Viewer, address: str | None) -> None:
        self._viewers.add(viewer)
        VIEWERS.inc()
        if address is not None:
            self._from[address] += 1
        self._came += 1
        if self._came >= CROWD and len(self._viewers) >= CROWD:
            self._came = 0
            sift()
        if self._closing:
            viewer.end(GOING_AWAY)

    def leave(self, viewer: Viewer, address: str | None) -> None:
        self._viewers.discard(viewer)
        VIEWERS.dec()
        if address is not None:
            self._from[address] -= 1
            if not self._from[address]:
                del self._from[address]

    async def ping(self) -> NoReturn:
        """See who is gone without a word."""
        while True:
            await asyncio.sleep(PING_EVERY)
            self.look_for_lingering()
            for some in slices(list(self._viewers), SLICE):
                for viewer in some:
                    viewer.ping()
                await asyncio.sleep(BREATH)  # the answers come in slices, too

    def look_for_lingering(self) -> None:
        """Who has left before the last time, and is still there, has to be looked for."""
        before, self._lingering = self._lingering, Viewer.alive - len(self._viewers) - self._lost
        if min(before, self._lingering) >= LINGERING:
            log.error("%d viewers that left weren't freed: looking for them", self._lingering)
            look_at_all()
            self._lost, self._lingering = Viewer.alive - len(self._viewers), 0

    def end_all(self, code: int) -> None:
        end_all(self._viewers, code)

    def close(self) -> None:
        """Everyone leaves, and who still comes is sent away."""
        self._closing = True
        self.end_all(GOING_AWAY)


def end_all(viewers: Iterable[Viewer], code: int) -> None:
    """In slices: 10,000 that close at once would hold the event loop for a second."""
    loop = asyncio.get_running_loop()
    leaving = [viewer for viewer in viewers if viewer.tell_no_more(code)]
    for number, some in enumerate(slices(leaving, ENDED)):
        loop.call_later(number * BREATH, leave_all, some)


def leave_all(viewers: list[Viewer]) -> None:
    for viewer in viewers:
        viewer.leave()


async def put_all(viewers: list[Viewer], frames: Sequence[bytes]) -> None:
    """The same to all of them, in slices; nobody is left on the list."""
    if not frames:
        return
    joined = b"".join(frames)
    for some in slices(viewers, SLICE):
        for viewer in some:
            viewer.put(frames, joined)
        if viewers:
            await give_way(TURNS)


def slices(viewers: list[Viewer], size: int) -> Iterator[list[Viewer]]:
    """Off the list: those who leave meanwhile would be freed in the same moment, with the list."""
    while viewers:
        some = viewers[-size:]
        del viewers[-size:]
        yield some
