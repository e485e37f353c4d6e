"""How late the event loop is."""

from __future__ import annotations

import asyncio
import time

from pipeline.web.pulse import feel
from tests.pipeline.web.conftest import metric

LATE = "smart_iot_loop_late_seconds"


async def test_what_holds_the_event_loop_is_seen_and_for_how_long() -> None:
    feeling = asyncio.create_task(feel())
    await asyncio.sleep(0.05)
    before, looks = metric(f"{LATE}_sum"), metric(f"{LATE}_count")
    time.sleep(0.3)  # noqa: ASYNC251  that is what it is about
    await asyncio.sleep(0.05)
    assert metric(f"{LATE}_sum") - before >= 0.25
    assert metric(f"{LATE}_count") > looks
    feeling.cancel()
    await asyncio.gather(feeling, return_exceptions=True)
