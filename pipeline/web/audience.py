"""What viewers are to be told in; to each in its turn all that it hasn't been told yet, out.

Nobody waits for a round of all viewers to end. What comes while one is under way goes along with it
to those whose turn is still to come, in one write, and to the others when it is theirs again. So an
event is with everybody a round after it came; and where viewers and events are more than one
processor can serve, each write has more in it, and nothing comes later and later.

Everyone is told, in order, all that is said from the moment on in which it joined. That is also the
moment of the cursor it is welcomed with, and whatever moves the cursor is said as it moves: so no
message overtakes another, and no cursor promises an event that is still to come. What was said is
kept until the last one has been told; who would say more than `MOST` has to wait for that.

Viewers are told in slices, between which the event loop breathes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, NamedTuple, NoReturn

from pipeline.eventloop import give_way
from pipeline.web.alerts import Alert, Wanted
from pipeline.web.viewer import TRY_AGAIN_LATER, Viewer

log = logging.getLogger(__name__)

SLICE: Final = 100  # viewers, after whom others have their turns: some 1 ms, a system call each
TURNS: Final = 0.002  # seconds at the most that those take, so that a third of the time is left
MOST: Final = 100  # messages that the last one hasn't been told, until nobody says more


def nothing() -> None:
    pass


class Said(NamedTuple):
    """A frame, and the event it tells; without one it is for everybody. `told` is called once
    everyone has been told."""

    frame: bytes
    alert: Alert | None = None
    told: Callable[[], None] = nothing


class Watching:
    """A viewer's membership, while it is told what it wants."""

    __slots__ = ("_audience", "row", "viewer", "wanted")

    def __init__(self, audience: Audience, viewer: Viewer, wanted: Wanted) -> None:
        self._audience = audience
        self.viewer = viewer
        self.wanted = wanted
        self.row: Row

    def __enter__(self) -> None:
        self._audience.enter(self)

    def __exit__(self, *_: object) -> None:
        self.row.watching.discard(self)


class Row:
    """Some who want the same and were told the same: at most a slice."""

    __slots__ = ("next", "wanted", "watching")

    def __init__(self, wanted: Wanted, number: int) -> None:
        self.wanted = wanted
        self.next = number
        """Of the message that they are told next."""
        self.watching: set[Watching] = set()

    def add(self, *some: Watching) -> None:
        self.watching.update(some)
        for one in some:
            one.row = self

    def has_room(self, for_more: int, number: int) -> bool:
        return self.next == number and len(self.watching) + for_more <= SLICE

    def tell(self, said: Iterable[Said]) -> None:
        """What they want of it."""
        wanted = [one for one in said if one.alert is None or self.wanted.has(one.alert)]
        frames = [one.frame for one in wanted]
        joined = b"".join(frames)
        for one in self.watching:
            if one.viewer.covered:
                put_missed(one.viewer, wanted)
            else:
                one.viewer.put(frames, joined)

    def send_away(self) -> None:
        """Nobody knows who of them was told: each comes back and gets what it missed."""
        for one in self.watching:
            one.viewer.end(TRY_AGAIN_LATER, "come back with your cursor")


class Audience:
    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        """Who has waited for longest is first."""
        self._last: dict[Wanted, Row] = {}
        """Of those who want the same, where there may be room for one more."""
        self._said: deque[Said] = deque()
        self._begin = 0  # the number of the first of them
        self._to_tell, self._has_room = asyncio.Event(), asyncio.Event()

    def enter(self, watching: Watching) -> None:
        row = self._last.get(watching.wanted)
        if row is None or not row.has_room(1, self._end):
            row = self._last[watching.wanted] = Row(watching.wanted, self._end)
            self._rows.append(row)
        row.add(watching)

    async def room(self) -> None:
        """Wait until more may be said."""
        while len(self._said) >= MOST:
            self._has_room.clear()
            await self._has_room.wait()

    def say(self, *said: Said) -> None:
        self._said += said
        self._to_tell.set()

    async def tell(self) -> NoReturn:
        while True:
            await self._to_tell.wait()
            self._tell_some()
            await give_way(TURNS)

    @property
    def _end(self) -> int:
        return self._begin + len(self._said)

    def _tell_some(self) -> None:
        """A slice of those who have waited for longest; a wish takes as long as a viewer."""
        told, end = 0, self._end
        while told < SLICE and self._rows and self._rows[0].next < end:
            row = self._rows.popleft()
            told += len(row.watching) or 1
            since = islice(self._said, row.next - self._begin, None)
            row.next = end
            self._keep(row)
            try:
                row.tell(since)
            except Exception:
                log.exception("some viewers can't be told")
                row.send_away()
        self._forget()

    def _keep(self, row: Row) -> None:
        """As the last one; with the one before it, where both have room since some have left."""
        last = self._last[row.wanted]
        if last is not row and last.has_room(len(row.watching), row.next):
            last.add(*row.watching)
        elif row.watching:
            self._last[row.wanted] = row
            self._rows.append(row)
        elif last is row:
            del self._last[row.wanted]

    def _forget(self) -> None:
        """What everyone has been told."""
        until = self._rows[0].next if self._rows else self._end
        while self._begin < until:
            self._begin += 1
            self._said.popleft().told()
        self._has_room.set()
        if not self._said:
            self._to_tell.clear()


def put_missed(viewer: Viewer, said: Iterable[Said]) -> None:
    """What it hasn't got with its backlog."""
    frames = [one.frame for one in said if one.alert is None or misses(viewer, one.alert)]
    viewer.put(frames, b"".join(frames))


def misses(viewer: Viewer, alert: Alert) -> bool:
    covered = viewer.covered or {}
    seen = covered.get(alert.alert_id)
    if seen is None:
        return True
    if alert.seq <= seen:
        return False
    del covered[alert.alert_id]
    return True
