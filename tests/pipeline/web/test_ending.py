"""A task that is cancelled ends, though the word of it was lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from pipeline.web.server import end
from pipeline.web.source import heed_cancellation


async def deaf(times: int) -> None:
    """Goes on for ever; so many cancellations are lost."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def test_tasks_are_cancelled_until_they_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.web.server.CANCEL_AGAIN", 0.01)
    tasks = [asyncio.create_task(deaf(times)) for times in (0, 2)]
    await asyncio.sleep(0)
    await end(tasks)
    assert all(task.cancelled() for task in tasks)
    await end([])


async def test_a_task_remembers_that_it_was_cancelled() -> None:
    async def reading() -> None:
        while True:
            heed_cancellation()
            with suppress(asyncio.CancelledError):  # as one that is lost
                await asyncio.sleep(60)

    task = asyncio.create_task(reading())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_that_ran_out_is_no_cancellation() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    heed_cancellation()
