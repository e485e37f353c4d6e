"""What has to run as long as a view does: it begins again, and it ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import NoReturn

import pytest

from pipeline.web import tasks
from pipeline.web.source import heed_cancellation
from pipeline.web.tasks import Deaf, Tasks, end


async def deaf(times: int) -> None:
    """Goes on for ever; so many cancellations are lost."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


class Work:
    """Ends in one way after the other, and then goes on for ever."""

    def __init__(self, *ends: BaseException) -> None:
        self.ends = list(ends)
        self.goes_on = asyncio.Event()

    async def run(self) -> NoReturn:
        await asyncio.sleep(0)
        heed_cancellation()
        if self.ends:
            raise self.ends.pop(0)
        self.goes_on.set()
        await asyncio.sleep(60)
        raise AssertionError


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.01)
    monkeypatch.setattr(tasks, "CANCEL_AGAIN", 0.01)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (ValueError("a fault of ours"), "the feed ended; it begins again in 0 s"),
        (asyncio.CancelledError(), "the feed ended as cancelled, though nobody stopped it; it beg"),
    ],
)
async def test_what_ends_by_itself_is_heard_and_begins_again(
    ending: BaseException, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Work(ending, ending)
    running = Tasks({"feed": feed.run})
    running.start()
    async with asyncio.timeout(5):
        await feed.goes_on.wait()
    said = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert [told in record.getMessage() for record in said] == [True, True]
    assert {bool(record.exc_info) for record in said} == {isinstance(ending, ValueError)}
    await running.stop()


async def test_a_task_that_was_left_cancelled_begins_again_as_another() -> None:
    """As a task group leaves it that a child ended in the last moment: its count of cancellations
    stays raised, and whoever asks for it ends for ever after."""
    work = Work()

    async def run() -> NoReturn:
        task = asyncio.current_task()
        assert task is not None
        if not left:
            left.append(task)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        await work.run()
        raise AssertionError

    left: list[asyncio.Task[None]] = []
    running = Tasks({"feed": run})
    running.start()
    async with asyncio.timeout(5):
        await work.goes_on.wait()
    await running.stop()


async def test_what_was_stopped_doesnt_begin_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "AGAIN", 0.1)
    feed, ping = Work(ValueError("just before the stop")), Work()
    running = Tasks({"feed": feed.run, "ping": ping.run})
    running.start()
    async with asyncio.timeout(5):
        await ping.goes_on.wait()
    await running.stop()
    await asyncio.sleep(0.15)
    assert not feed.goes_on.is_set()
    assert [record.getMessage()[:18] for record in caplog.records] == ["web view: the feed"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_tasks_are_cancelled_until_they_are_over() -> None:
    running = [asyncio.create_task(deaf(times)) for times in (0, 2)]
    await asyncio.sleep(0)
    await end(running)
    assert all(task.cancelled() for task in running)
    await end([])


async def test_a_task_that_never_ends_is_named_and_not_waited_for_without_an_end() -> None:
    task = asyncio.create_task(deaf(4), name="alert feed")
    await asyncio.sleep(0)
    with pytest.raises(Deaf, match="cancelled 4 times, and still at work: alert feed"):
        await end([task])
    task.cancel()
    await asyncio.wait([task])


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
