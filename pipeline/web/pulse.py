"""The event loop in, how late it is out: what holds it holds every alert, viewer and heartbeat."""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

from pipeline.metrics import LOOP_LATE_SECONDS

BEAT: Final = 0.02  # seconds between two looks; what holds the loop for less may go unseen


async def feel() -> NoReturn:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + BEAT
        await asyncio.sleep(BEAT)
        LOOP_LATE_SECONDS.observe(max(0.0, loop.time() - due))
