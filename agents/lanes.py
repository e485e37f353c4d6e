"""Events in, in order; each posted once its device's one before is, or refused, out.

A device's events are a lane: one after the other, each tried with growing pauses until the receiver
has taken it. Lanes don't wait for each other, but for a post: `MOST_POSTS` are under way at once.
So an event that the receiver stumbles over delays its own device alone.

Nobody waits for ever. What the receiver refuses, and what it hasn't taken within `patience`, is
refused, and the lane goes on. Where a receiver says for how long nothing should come, no lane posts
meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple, cast

from pipeline import metrics
from pipeline.sinks.posting import Busy
from pipeline.sinks.sink import LONGEST_WHY, Entry, SinkRejected, SinkUnavailable
from pipeline.supervisor import Pauses

log = logging.getLogger(__name__)

PAUSES: Final = Pauses(first=1.0, longest=60.0)
MOST_POSTS: Final = 8  # under way at once


class Waiting(NamedTuple):
    """`done` is called once it is posted, or refused."""

    entry: Entry
    done: Callable[[], None]


class Lanes:
    """`post` raises as sinks do; `problem` is why what was tried last could not be posted."""

    def __init__(
        self,
        name: str,
        post: Callable[[Entry], Awaitable[None]],
        refuse: Callable[[Entry, str], Awaitable[None]],
        patience: float,
    ) -> None:
        self.problem: str | None = None
        self._name = name
        self._post, self._refuse, self._patience = post, refuse, patience
        self._lanes: dict[str, deque[Waiting]] = {}
        self._serving: dict[asyncio.Task[None], bool] = {}  # and whether it is at work
        self._tasks: asyncio.TaskGroup
        self._began = asyncio.Event()
        self._posts = asyncio.Semaphore(MOST_POSTS)
        self._since = time.time()  # what is older was nobody's to try before
        self._held_until = 0.0
        self._away_since = 0.0
        self._releasing = False

    async def serve(self, is_over: Callable[[], bool]) -> None:
        """What fails in a lane fails here."""
        async with asyncio.TaskGroup() as self._tasks:
            self._began.set()
            while not is_over() or self._serving:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def began(self) -> None:
        await self._began.wait()

    def add(self, entry: Entry, done: Callable[[], None]) -> None:
        device_id = entry.content.device_id
        lane = self._lanes.get(device_id)
        if lane is None:
            lane = self._lanes[device_id] = deque()
            task = self._tasks.create_task(self._serve(device_id, lane))
            self._serving[task] = False
            task.add_done_callback(lambda ended: self._serving.pop(ended, None))
        lane.append(Waiting(entry, done))

    async def clear(self, within: float) -> None:
        """Let those posts end that are under way, for so long; the others are forgotten."""
        self._releasing = True
        for task, is_at_work in self._serving.items():
            if not is_at_work:
                task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=within)
        for task in self._serving:
            task.cancel()
        self._lanes = {}
        self._releasing = False

    async def _serve(self, device_id: str, lane: deque[Waiting]) -> None:
        while lane and await self._deliver(lane[0].entry):
            lane.popleft().done()
        if self._lanes.get(device_id) is lane:
            del self._lanes[device_id]

    async def _deliver(self, entry: Entry) -> bool:
        """Whether it is posted, or refused; not where it was given away."""
        pause, why = 0.0, ""
        until = time.time() + self._patience
        while not self._releasing:
            await self._until_free(until)
            if time.time() >= until and (pause or self._is_held()):
                why = f"given up after {self._patience:.0f} s: {why or self.problem}"
                return await self._give_up(entry, why)
            try:
                if await self._posted(entry):
                    return True
                continue  # others have heard meanwhile that it is busy
            except SinkRejected as refused:
                return await self._give_up(entry, str(refused))
            except SinkUnavailable as failed:
                why = str(failed)
                self._note_away(failed)
            until = max(entry.timestamp / 1000, self._since) + self._patience
            pause = PAUSES.after(pause, 0)
            await asyncio.sleep(max(0.0, min(pause, until - time.time())))
        return False

    async def _until_free(self, until: float) -> None:
        """While the receiver wants nothing, but no longer."""
        while (wait := min(self._held_until, until) - time.time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(wait)

    def _is_held(self) -> bool:
        return time.time() < self._held_until

    async def _posted(self, entry: Entry) -> bool:
        """Whether it could be tried."""
        async with self._posts:
            if self._is_held() or self._releasing:
                return False
            with self._at_work(), metrics.ARCHIVE_SECONDS.labels(self._name).time():
                await self._post(entry)
        metrics.ARCHIVED.labels(self._name, entry.kind).inc()
        if self._away_since:
            away = time.monotonic() - self._away_since
            log.warning("%s takes events again, after %.1f s", self._name, away)
        self.problem, self._away_since = None, 0.0
        return True

    async def _give_up(self, entry: Entry, why: str) -> bool:
        with self._at_work():
            await self._refuse(entry, why[:LONGEST_WHY])
        return True

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Not to be cut off where it can be waited for."""
        task = cast(asyncio.Task[None], asyncio.current_task())
        self._serving[task] = True
        try:
            yield
        finally:
            self._serving[task] = False

    def _note_away(self, why: SinkUnavailable) -> None:
        metrics.ARCHIVE_FAILURES.labels(self._name).inc()
        if isinstance(why, Busy):
            self._held_until = time.time() + min(why.pause, self._patience)
        if not self._away_since:
            self._away_since = time.monotonic()
            log.warning("%s doesn't take an event, which is tried again: %s", self._name, why)
        self.problem = f"{self._name} doesn't take an event: {why}"
