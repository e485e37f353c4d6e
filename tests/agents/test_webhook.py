"""Events to a receiver that fails in every way: each posted, in order, or told why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from faust.types import TP

from agents import lanes
from agents import webhook as module
from agents.webhook import Webhook
from pipeline.settings import Settings
from pipeline.sinks.sink import EVENT, Source
from pipeline.supervisor import Pauses
from tests.agents.shell import App as Shell
from tests.agents.test_archive import Event
from tests.pipeline.sinks.shell import Record, event_of, record
from tests.receiver import CUT, Receiver, receiving

ALERTS = TP("alerts", 0)
SOURCE = ("alerts", 0)
END = 1_000


class Consumer:
    def __init__(self) -> None:
        self.gone_to: dict[TP, int] = {}
        self.settled_to: dict[TP, int] = {}

    def go_to(self, positions: dict[TP, int]) -> None:
        self.gone_to |= positions

    def settled(self, positions: dict[TP, int]) -> None:
        self.settled_to |= positions


class App(Shell):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = Settings(**settings)
        self.consumer = Consumer()  # type: ignore[assignment]
        self.consumer_generation_id = 1


def told(offset: int, device_id: str = "attic", seq: int = 1, at: float | None = None) -> Record:
    at = time.time() if at is None else at
    return record(EVENT, offset, event_of(device_id, seq), key=device_id, at=at)


def chunk(*records: Record, generation: int = 1) -> Any:
    return Event(records, generation)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "PAUSES", Pauses(first=0.01, longest=0.02))

    async def ends(app: Any, sources: Sequence[Source]) -> dict[Source, int]:
        return dict.fromkeys(sources, END)

    async def committed(app: Any) -> frozenset[Source]:
        return frozenset(app.committed)

    monkeypatch.setattr(module, "ends_of", ends)
    monkeypatch.setattr(module, "committed_of", committed)


async def assigned(webhook: Webhook, committed: Sequence[Source] = (SOURCE,)) -> None:
    webhook.app.committed = committed  # type: ignore[attr-defined]
    await webhook.restore(frozenset({ALERTS}))
    webhook.positioned({ALERTS: 0})


@asynccontextmanager
async def posting(receiver: Receiver, **settings: Any) -> AsyncIterator[Webhook]:
    app = App(**{"webhook_url": f"{receiver.address}/t0ken", "flush_timeout": 0.5, **settings})
    webhook = Webhook(app, "webhook", {"alerts": EVENT})  # type: ignore[arg-type]
    webhook.begin()
    serving = asyncio.create_task(webhook.serve_for_ever())
    await assigned(webhook)
    try:
        yield webhook
        assert not serving.done()
    finally:
        serving.cancel()
        await webhook.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def until(true: Any, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def rejected(webhook: Webhook) -> list[dict[str, str]]:
    sent = webhook.app.producer.to("readings-rejected")
    return [{name: value.decode() for name, value in one.headers} for one in sent]


async def test_events_are_acknowledged_once_all_of_their_chunk_are_taken(receiver):
    receiver.answers["cellar"] += [503, 503]
    async with posting(receiver) as webhook:
        one = chunk(told(0), told(1, "cellar"))
        await webhook.take(one)
        await until(lambda: receiver.taken_of("attic") == [1])
        assert not one.acked
        await until(lambda: one.acked)
        assert receiver.taken_of("cellar") == [1]


async def test_those_of_a_device_come_in_order_and_dont_wait_for_other_devices(receiver):
    receiver.answers["attic"] += [500, CUT, 429, 408, 502] * 4
    async with posting(receiver) as webhook:
        await webhook.take(chunk(*(told(n, "attic", n + 1) for n in range(5))))
        await webhook.take(chunk(*(told(n + 5, "cellar", n + 1) for n in range(5))))
        await until(lambda: len(receiver.taken) == 10)
    assert receiver.taken_of("attic") == receiver.taken_of("cellar") == [1, 2, 3, 4, 5]
    assert [one.event["device_id"] for one in receiver.taken[:5]] == ["cellar"] * 5
    assert rejected(webhook) == []


async def test_every_attempt_has_the_same_key_and_body(receiver):
    receiver.answers["attic"] += [500, CUT]
    async with posting(receiver) as webhook:
        await webhook.take(chunk(told(0)))
        await until(lambda: receiver.taken)
    assert len(receiver.posted) == 3
    assert len({(one.key, one.body) for one in receiver.posted}) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 413, 422])
async def test_what_is_refused_isnt_tried_again_but_told(receiver, status):
    receiver.answers["attic"] += [status]
    async with posting(receiver) as webhook:
        one = chunk(told(0), told(1, seq=2))
        await webhook.take(one)
        await until(lambda: one.acked)
        (told_why,) = rejected(webhook)
    assert receiver.taken_of("attic") == [2]
    assert len(receiver.posted) == 2
    assert told_why["detail"].startswith(f"{receiver.address[7:]} answers {status}")
    del told_why["detail"]
    assert told_why == {
        "reason": "sink_rejected",
        "topic": "alerts",
        "partition": "0",
        "offset": "0",
        "sink": "webhook",
    }


async def test_what_isnt_taken_for_too_long_is_told_and_the_next_goes_on(receiver):
    receiver.answers["attic"] += [503] * 10_000
    async with posting(receiver, webhook_patience=0.3) as webhook:
        one = chunk(told(0))
        await webhook.take(one)
        await until(lambda: one.acked)
        (told_why,) = rejected(webhook)
        assert "given up after 0 s: " in told_why["detail"]
        assert "answers 503" in told_why["detail"]
        assert len(receiver.posted) > 1
        receiver.answers["attic"].clear()
        await webhook.take(chunk(told(1, seq=2)))
        await until(lambda: receiver.taken_of("attic") == [2])


async def test_an_event_that_nobody_could_try_before_is_given_its_time(receiver):
    """It is as old as we were away."""
    receiver.answers["attic"] += [503, 503]
    async with posting(receiver) as webhook:
        await webhook.take(chunk(told(0, at=time.time() - 86_400)))
        await until(lambda: receiver.taken_of("attic") == [1])


async def test_a_receiver_that_says_until_when_is_left_alone_by_all_until_then(receiver):
    receiver.answers["attic"] += [429]
    receiver.headers = {"Retry-After": "1"}
    async with posting(receiver) as webhook:
        began = time.monotonic()
        await webhook.take(chunk(told(0)))
        await until(lambda: webhook.problem)
        await webhook.take(chunk(*(told(n, f"d{n}") for n in range(1, 30))))
        await until(lambda: len(receiver.taken) == 30)
        assert time.monotonic() - began > 1.0
    assert len(receiver.posted) == 31


async def test_a_receiver_that_always_says_later_is_no_reason_to_wait_for_ever(receiver):
    receiver.always, receiver.headers = 503, {"Retry-After": "86400"}
    async with posting(receiver, webhook_patience=0.3) as webhook:
        chunks = [chunk(told(n, f"d{n}")) for n in range(20)]
        for one in chunks:
            await webhook.take(one)
        await until(lambda: all(one.acked for one in chunks))
        assert len(rejected(webhook)) == 20
        assert all("given up" in one["detail"] for one in rejected(webhook))


async def test_no_more_are_posted_at_once_and_no_more_are_taken_than_may_be(monkeypatch, receiver):
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    receiver.delay = 0.05
    async with posting(receiver) as webhook:
        await webhook.take(chunk(*(told(n, f"d{n}") for n in range(60))))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(webhook.take(chunk(told(60))), 0.01)
        await asyncio.wait_for(webhook.take(chunk(told(60))), 20)
        await until(lambda: len(receiver.taken) == 61)
    assert receiver.most_at_once <= lanes.MOST_POSTS


async def test_what_is_given_away_ends_what_it_is_at_and_leaves_the_rest_to_the_next(receiver):
    receiver.delay = 0.3
    receiver.answers["cellar"] += [503] * 10_000
    async with posting(receiver) as webhook:
        records = [
            told(0),
            told(1, "cellar"),
            told(2, "cellar", 2),
            told(3, "shed"),
            told(4, seq=2),
        ]
        one = chunk(*records)
        await webhook.take(one)
        await until(lambda: receiver.at_once == 3)
        await webhook.release()
        assert not one.acked
        assert webhook.app.consumer.settled_to == {ALERTS: 1}  # type: ignore[attr-defined]
        taken = len(receiver.posted)
        await asyncio.sleep(0.1)
        assert len(receiver.posted) == taken
        receiver.answers.clear()
        await assigned(webhook)
        await webhook.take(chunk(*records[1:]))
        await until(lambda: receiver.taken_of("cellar") == [1, 2])
        await until(lambda: receiver.taken_of("attic")[-1] == 2)


async def test_a_receiver_that_hangs_doesnt_hold_a_release_for_longer_than_a_flush_may_take(
    receiver,
):
    receiver.delay = 30.0
    async with posting(receiver, flush_timeout=0.2) as webhook:
        await webhook.take(chunk(told(0)))
        await until(lambda: receiver.at_once == 1)
        began = time.monotonic()
        await webhook.release()
        assert time.monotonic() - began < 10
        assert webhook.app.consumer.settled_to == {ALERTS: 0}  # type: ignore[attr-defined]


async def test_a_chunk_of_an_assignment_that_is_over_is_left_out(receiver):
    async with posting(receiver) as webhook:
        await webhook.take(chunk(told(9, seq=9), generation=0))
        await webhook.take(chunk(told(0)))
        await until(lambda: receiver.taken)
    assert receiver.taken_of("attic") == [1]


@pytest.mark.parametrize(
    ("committed", "goes_to"),
    [((SOURCE,), {}), ((), {ALERTS: END}), ((("alerts", 5),), {})],
)
async def test_the_first_begins_with_what_comes_from_now_on(receiver, committed, goes_to):
    async with posting(receiver) as webhook:
        await assigned(webhook, committed)
        assert webhook.app.consumer.gone_to == goes_to  # type: ignore[attr-defined]


async def test_a_record_that_is_no_event_is_told_and_nothing_waits_for_it(receiver):
    async with posting(receiver) as webhook:
        one = chunk(record(EVENT, 0, b"?"), told(1))
        await webhook.take(one)
        await until(lambda: one.acked)
        assert [why["offset"] for why in rejected(webhook)] == ["0"]
        nothing = chunk(record(EVENT, 2, b"?"))
        await webhook.take(nothing)
        assert nothing.acked


async def test_why_it_isnt_ready_is_said_without_a_secret(receiver, caplog):
    receiver.answers["attic"] += [503] * 5
    async with posting(receiver) as webhook:
        await webhook.take(chunk(told(0)))
        await until(lambda: webhook.problem)
        assert "answers 503 (Service Unavailable)" in str(webhook.problem)
        await until(lambda: receiver.taken)
        await until(lambda: webhook.problem is None)
    assert "t0ken" not in caplog.text + str(webhook.problem)
    assert "takes events again" in caplog.text
