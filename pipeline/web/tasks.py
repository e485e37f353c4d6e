"""What has to run as long as a view does in; that it runs, again after a pause where it ended, out.

Each minds what the broker may do to it. What else ends it is a fault of ours: it must be heard, and
must not leave the view half alive for ever. Each time it gets a new task, for an old one may
remember a cancellation that wasn't meant for it (`heed_cancellation`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final, NoReturn

log = logging.getLogger(__name__)

AGAIN: Final = 5.0  # seconds until what ended begins again
CANCELLED: Final = 4  # times at the most; a word that was lost is lost once
CANCEL_AGAIN: Final = 3.0  # seconds

Run = Callable[[], Coroutine[Any, Any, NoReturn]]


class Deaf(Exception):
    """Tasks go on, however often they are cancelled: nothing but the process's end ends them."""


class Tasks:
    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._runs = runs
        self._running: dict[str, asyncio.Task[NoReturn]] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._stopping = False

    def start(self) -> None:
        for name in self._runs:
            self._begin(name)

    async def stop(self) -> None:
        """Deaf where one doesn't end."""
        self._stopping = True
        for later in self._later.values():
            later.cancel()
        await end(self._running.values())

    def _begin(self, name: str) -> None:
        task = asyncio.create_task(self._runs[name](), name=name)
        task.add_done_callback(self._ended)
        self._running[name] = task

    def _ended(self, task: asyncio.Task[NoReturn]) -> None:
        if self._stopping:
            return
        name, error = task.get_name(), None if task.cancelled() else task.exception()
        how = " as cancelled, though nobody stopped it" if task.cancelled() else ""
        said = "web view: the %s ended%s; it begins again in %.0f s"
        log.critical(said, name, how, AGAIN, exc_info=error)
        self._later[name] = task.get_loop().call_later(AGAIN, self._begin, name)


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until they are over: the word of it may be lost (`heed_cancellation`)."""
    left = set(tasks)
    for _ in range(CANCELLED):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
    if left:
        names = ", ".join(sorted(task.get_name() for task in left))
        raise Deaf(f"cancelled {CANCELLED} times, and still at work: {names}")
