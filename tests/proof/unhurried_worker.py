"""The worker, whose last flush takes so long that a heartbeat, so a rebalance, falls into it."""

from __future__ import annotations

import asyncio

from agents.detection import detection
from pipeline.app import app

__all__ = ["app"]

HEARTBEATS = 1.2  # how many of them


async def release() -> None:
    if detection.ownership.owned and app.should_stop:
        await asyncio.sleep(HEARTBEATS * app.settings.session_timeout / 3)
    await detection.release()


app.on_release = release
