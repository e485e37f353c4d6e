"""Messages for one viewer in; their bytes on its socket out, as fast as it takes them.

The frame of an uncompressed message is the same for all viewers, so it is made once and written to
each one's transport itself. While a socket takes them, a viewer costs no queue and no task. Once it
doesn't, what follows waits here, so many messages at the most, and a task brings them after; a
viewer that falls behind by more is closed with 1013: it comes back and asks for what it missed,
while the others never wait for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from pipeline.metrics import CLOSE_CODES, QUEUE_OVERFLOWS, VIEWERS_CLOSED, label

GOING_AWAY = 1001  # this process ends
ABNORMAL = 1006  # never sent: what a line that broke is counted as
SERVICE_RESTART = 1012  # what the viewer was told doesn't go on; it must begin anew
TRY_AGAIN_LATER = 1013  # the viewer fell behind, or we can't serve it now
NO_TOKEN = 4401
TOO_SMALL_A_SCOPE = 4403

PENDING: Final = 64 << 10  # bytes that may wait in a transport before messages wait here
CLOSE_GRACE, STOP_GRACE = 5.0, 1.5  # seconds a viewer has to answer our close; a stop has 2 in all
LONGEST_REASON: Final = 123  # bytes that a close frame has room for (RFC 6455, 5.5)
PING: Final = b"\x89\x00"

Telling = Callable[[], Coroutine[Any, Any, None]]
"""Writes what a viewer is told, a part at a time."""


def framed(message: bytes) -> bytes:
    """A server's whole text frame (RFC 6455, 5.2): final, unmasked, uncompressed."""
    size = len(message)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + message
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


class Refused(Exception):
    """Why a viewer that is connected can't be served, and the close code that says so."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Viewer:
    """One viewer's line, and the end that was decided for it."""

    __slots__ = (
        "_attended", "_later", "_limit", "_transport", "_waiting", "_why", "_writer", "_ws",
        "code", "covered", "heard",
    )  # fmt: skip

    alive: ClassVar = 0
    """How many there are, whether they are connected or not."""

    def __init__(self, limit: int) -> None:
        Viewer.alive += 1
        self._limit = limit
        self._ws: web.WebSocketResponse
        self._transport: asyncio.Transport
        self._writer: AbstractStreamWriter
        self._waiting: deque[bytes] | None = None
        self._later: asyncio.Task[None] | None = None
        self._attended: asyncio.Timeout | None = None
        self._why = b""
        self.code: int | None = None
        """Why we end it, once we do."""
        self.heard = True
        """Whether anything came from it since it was pinged."""
        self.covered: dict[str, int] | None = None
        """Alerts whose backlog ran ahead of `alerts`: their events up to this seq it has seen."""

    def __del__(self) -> None:
        Viewer.alive -= 1

    def connected(
        self, ws: web.WebSocketResponse, writer: AbstractStreamWriter, transport: asyncio.Transport
    ) -> None:
        self._ws, self._writer, self._transport = ws, writer, transport

    # What it is told.

    def greet(self, frames: bytes) -> None:
        """The first that it is told, and at once."""
        self._transport.write(frames)

    def begin(self, telling: Telling) -> None:
        """Whatever that writes comes before anything else that it is told."""
        self._later = asyncio.create_task(self._bring(telling))

    async def write(self, frames: bytes) -> None:
        """As it takes them; ConnectionError where it is gone."""
        if not self._takes():
            await self._writer.drain()
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(frames)

    def put(self, frames: Sequence[bytes], joined: bytes) -> None:
        """Frames, and the same as one."""
        if self.code is not None or not frames:
            return
        if self._later is None and self._takes():
            if not self._transport.is_closing():
                self._transport.write(joined)
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) + len(frames) > self._limit:
            QUEUE_OVERFLOWS.inc()
            self.end(TRY_AGAIN_LATER, "too far behind: come back with your cursor")
            return
        self._waiting.extend(frames)
        if self._later is None:
            self._later = asyncio.create_task(self._bring())

    def ping(self) -> None:
        """See whether it is there: it isn't where nothing came since the last time."""
        if self._attended is None or self._transport.is_closing():
            return
        if not self.heard:
            self._transport.abort()
            return
        self.heard = False
        self._transport.write(PING)

    def _takes(self) -> bool:
        return self._transport.get_write_buffer_size() <= PENDING

    async def _bring(self, telling: Telling | None = None) -> None:
        with suppress(ConnectionError):
            if telling is not None:
                await telling()
            while self._waiting:
                await self.write(self._waiting.popleft())
            self._waiting = self._later = None

    # How it ends.

    def end(self, code: int, why: str = "") -> None:
        """The first reason counts."""
        if self.tell_no_more(code, why):
            self.leave()

    def tell_no_more(self, code: int, why: str = "") -> bool:
        """Whether that is new: then it has to `leave`."""
        if self.code is not None:
            return False
        self.code = code
        self._why = why.encode()[:LONGEST_REASON].decode(errors="ignore").encode()
        return True

    def leave(self) -> None:
        """Have whoever attends it close it."""
        if self._attended is not None and self._attended.when() is None:
            self._attended.reschedule(asyncio.get_running_loop().time())

    def until_ended(self) -> asyncio.Timeout:
        """Interrupts whoever attends it, with TimeoutError, once it is to end."""
        self._attended = asyncio.timeout(None if self.code is None else 0)
        return self._attended

    async def close(self) -> None:
        """When its life is over, whoever ended it: nothing of it is left then."""
        self._attended = None
        await self._stop_bringing()
        try:
            await self._close()
        finally:
            forget_way(self._ws.exception())

    async def _close(self) -> None:
        code = self.code or self._ws.close_code or ABNORMAL
        VIEWERS_CLOSED.labels(label(code, CLOSE_CODES)).inc()
        try:
            async with asyncio.timeout(STOP_GRACE if code == GOING_AWAY else CLOSE_GRACE):
                # drain=False: aiohttp's drain waits on the very future that cancelling the task
                # has cancelled, and would end us with it
                await self._ws.close(code=code, message=self._why, drain=False)
        except TimeoutError:
            # at a stop the rest may still go out; else it would hold the memory that we want back
            if code != GOING_AWAY:
                self._transport.abort()

    async def _stop_bringing(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
            (ended,) = await asyncio.gather(later, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended
        self._waiting = None


def forget_way(error: BaseException | None) -> None:
    """Of an error that was dealt with. What it went through holds it, and it holds all of that: a
    viewer that left would stay until garbage is looked for."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
