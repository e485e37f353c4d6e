"""A webhook's receiver for tests: a real server, that answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiohttp import web

CUT: Final = -1  # instead of a status: the connection, without an answer
HANG: Final = -2  # no answer at all


class Posted(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    @property
    def device_id(self) -> str:
        """Empty where it is no event."""
        event = self.event if self.body else {}
        return event.get("device_id", "") if isinstance(event, dict) else ""

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """`answers` are the statuses that a device's next posts get, "" those of any, and a method's
    where no event is posted; 200 once there are none. `taken` is what got 200, `posted` all."""

    def __init__(self) -> None:
        self.answers: defaultdict[str, deque[int]] = defaultdict(deque)
        self.always: int | None = None
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.posted: list[Posted] = []
        self.taken: list[Posted] = []
        self.at_once = self.most_at_once = 0
        self.address = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answered(request)
        finally:
            self.at_once -= 1

    async def _answered(self, request: web.Request) -> web.Response:
        one = Posted(request.path_qs, dict(request.headers), await request.read())
        self.posted.append(one)
        await asyncio.sleep(self.delay)
        status = self._status(one.device_id or request.method)
        if status == HANG:
            await asyncio.sleep(60)
        if status == CUT and request.transport:
            request.transport.close()
        if status == 200:
            self.taken.append(one)
        return web.Response(status=max(status, 200), headers=self.headers if status != 200 else {})

    def _status(self, device_id: str) -> int:
        for answers in (self.answers[device_id], self.answers[""]):
            if answers:
                return answers.popleft()
        return self.always or 200

    def taken_of(self, device_id: str) -> list[int]:
        """The seqs that it has taken, in their order."""
        return [one.event["seq"] for one in self.taken if one.event["device_id"] == device_id]


@asynccontextmanager
async def receiving(port: int = 0, receiver: Receiver | None = None) -> AsyncIterator[Receiver]:
    receiver = receiver or Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
