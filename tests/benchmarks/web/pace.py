"""A way to send in; events sent at a pace, and when each was sent and acknowledged, out.

The protocol of every sender: it sends event 0 as a warm-up, says `ready`, waits for a line, sends
the others and says one line of JSON: the numbers with both times, by the clock that all processes
of a machine share. Standard library alone, since senders run in different virtual environments.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic

SETTLE = 0.5  # seconds after the warm-up
GRACE = 30.0  # seconds beyond the time that all events take

Send = Callable[[int], Awaitable[None]]
Times = dict[int, tuple[float, float]]


async def paced(send: Send, events: int, gap: float) -> Times:
    """Each at its own time, however long the one before takes."""
    begin = monotonic()
    times: Times = {}

    async def one(number: int) -> None:
        await asyncio.sleep(begin + (number - 1) * gap - monotonic())
        sent = monotonic()
        await send(number)
        times[number] = (sent, monotonic())

    async with asyncio.timeout(events * gap + GRACE), asyncio.TaskGroup() as tasks:
        for number in range(1, events + 1):
            tasks.create_task(one(number))
        await asyncio.sleep(events * gap)
    return times


def run(sending: Callable[[], AbstractAsyncContextManager[Send]]) -> None:
    """As a program: how many, and seconds between two of them."""
    asyncio.run(_run(sending, int(sys.argv[1]), float(sys.argv[2])))


async def _run(
    sending: Callable[[], AbstractAsyncContextManager[Send]], events: int, gap: float
) -> None:
    async with sending() as send:
        await send(0)
        await asyncio.sleep(SETTLE)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await paced(send, events, gap)), flush=True)
