"""Chunks of both alert topics in; what Alertmanagers are told of them, and when nobody is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from faust.types import TP

from agents import bridge as module
from agents.bridge import Bridge, page_of
from pipeline import metrics
from pipeline.kafka.broker import free_port
from pipeline.records import parse_time
from pipeline.settings import Settings
from pipeline.shapes import AlertEvent
from pipeline.sinks.sink import EVENT, OPEN, Source
from pipeline.supervisor import Pauses
from tests.agents.shell import App as Shell
from tests.agents.test_archive import Event
from tests.pipeline.sinks.shell import alert_of
from tests.receiver import Receiver, receiving

ALERTS, OPENED = TP("alerts", 0), TP("alerts-open", 0)
KINDS = {"alerts": EVENT, "alerts-open": OPEN}


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Consumer:
    """`read` is how far its partitions are read."""

    def __init__(self) -> None:
        self.gone_to: dict[TP, int] = {}
        self.read: dict[TP, int] = {}

    def go_to(self, positions: dict[TP, int]) -> None:
        self.gone_to = positions

    def read_to(self, tp: TP, taken: int) -> int:
        return max(taken, self.read.get(tp, 0))


class App(Shell):
    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = Settings(**settings)
        self.consumer = Consumer()  # type: ignore[assignment]
        self.consumer_generation_id = 1


def told(offset: int, event: AlertEvent | bytes, topic: str = "alerts") -> Record:
    value = event if isinstance(event, bytes) else msgspec.json.encode(event)
    return Record(topic, 0, offset, round(time.time() * 1000), b"attic|temperature-high", value)


def tombstone(offset: int, of: AlertEvent, seq: int) -> Record:
    which = [("alert_id", of.alert_id.encode()), ("seq", b"%d" % seq)]
    return told(offset, b"", "alerts-open")._replace(value=None, headers=which)


def chunk(*records: Record, generation: int = 1) -> Any:
    return Event(records, generation)  # type: ignore[arg-type]


def posts(receiver: Receiver) -> list[bytes]:
    """Without what it was asked."""
    return [one.body for one in receiver.taken if one.body]


def firing(receiver: Receiver) -> list[str] | None:
    """Devices of the alerts that the last post told of, but for what is over; None before one."""
    if not posts(receiver):
        return None
    now, alerts = time.time(), json.loads(posts(receiver)[-1])
    return [one["labels"]["device_id"] for one in alerts if parse_time(one["endsAt"]) > now]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", Pauses(first=0.01, longest=0.02))
    monkeypatch.setattr(module, "TOGETHER", 0.01)

    async def ends(app: Any, sources: Sequence[Source]) -> dict[Source, int]:
        return {source: app.ends.get(TP(*source), 0) for source in sources}

    async def recent(self: Any, sources: Sequence[Source]) -> dict[Source, int]:
        return dict(self.app.recent)

    monkeypatch.setattr(module, "ends_of", ends)
    monkeypatch.setattr(Bridge, "_recent", recent)


async def assigned(bridge: Bridge, ends: dict[TP, int], recent: dict[Source, int]) -> None:
    bridge.app.ends, bridge.app.recent = ends, recent  # type: ignore[attr-defined]
    await bridge.restore(frozenset({ALERTS, OPENED}))
    bridge.positioned({ALERTS: 0, OPENED: 0})


@asynccontextmanager
async def telling(*addresses: str, **settings: Any) -> AsyncIterator[Bridge]:
    app = App(alertmanager_urls=addresses, **settings)
    bridge = Bridge(app, "alertmanager", KINDS)  # type: ignore[arg-type]
    bridge.begin()
    task = asyncio.create_task(bridge.tell_for_ever())
    try:
        yield bridge
        assert not task.done()
    finally:
        task.cancel()
        await bridge.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_nobody_is_told_anything_until_all_is_read_that_there_was(receiver):
    attic, cellar = alert_of("attic"), alert_of("cellar")
    async with telling(receiver.address) as bridge:
        await assigned(bridge, {ALERTS: 900, OPENED: 4}, {})
        assert bridge.app.consumer.gone_to == {ALERTS: 900, OPENED: 0}
        await bridge.take(chunk(told(0, attic, "alerts-open"), told(1, cellar, "alerts-open")))
        await asyncio.sleep(0.05)
        assert receiver.posted == []
        assert bridge.problem == module.BEGINNING
        await bridge.take(chunk(tombstone(2, attic, 2)))
        bridge.app.consumer.read[OPENED] = 4  # the last holds no record
        await until(lambda: posts(receiver))
        assert firing(receiver) == ["cellar"]
        await until(lambda: bridge.problem is None)


async def test_the_log_is_read_from_what_may_have_to_be_told_still(receiver):
    async with telling(receiver.address) as bridge:
        await assigned(bridge, {ALERTS: 900}, {("alerts", 0): 850})
        assert bridge.app.consumer.gone_to == {ALERTS: 850, OPENED: 0}


async def test_an_assignment_begins_anew_and_what_is_given_away_ends_for_nobody(receiver):
    async with telling(receiver.address) as bridge:
        await assigned(bridge, {}, {})
        await bridge.take(chunk(told(0, alert_of("attic"))))
        await until(lambda: firing(receiver) == ["attic"])
        await bridge.release()
        posted = len(posts(receiver))
        await bridge.take(chunk(told(1, alert_of("too-late"))))
        await asyncio.sleep(0.05)
        assert len(posts(receiver)) == posted
        await assigned(bridge, {}, {})
        await bridge.take(chunk(told(1, alert_of("too-old"), "alerts-open"), generation=0))
        await bridge.take(chunk(told(0, alert_of("cellar"), "alerts-open")))
        await until(lambda: len(posts(receiver)) > posted and firing(receiver) == ["cellar"])
        assert not any(b"too-" in one for one in posts(receiver))


async def test_one_that_is_away_keeps_no_other_waiting_and_is_told_all_when_it_is_back(receiver):
    port = free_port()
    async with telling(f"http://127.0.0.1:{port}", receiver.address) as bridge:
        await assigned(bridge, {}, {})
        await bridge.take(chunk(told(0, alert_of("attic"))))
        await until(lambda: firing(receiver) == ["attic"])
        await until(lambda: bridge.problem is None)
        reached = metrics.ALERTMANAGER_REACHED
        await until(lambda: reached.labels(f"127.0.0.1:{port}")._value.get() == 0)
        await until(lambda: reached.labels(receiver.address[7:])._value.get() == 1)
        async with receiving(port) as other:
            await until(lambda: firing(other) == ["attic"])
            await until(lambda: reached.labels(f"127.0.0.1:{port}")._value.get() == 1)


async def test_it_isnt_ready_while_no_alertmanager_can_be_told(receiver, caplog):
    async with telling(f"http://me:s3cret@127.0.0.1:{free_port()}") as bridge:
        await assigned(bridge, {}, {})
        await until(lambda: bridge.problem and "no Alertmanager can be told" in bridge.problem)
        assert "s3cret" not in caplog.text + str(bridge.problem)
        assert caplog.text.count("can't be told") == 1


async def test_a_record_that_is_no_event_is_counted_and_passed_over(receiver):
    refused = metrics.ARCHIVE_REFUSED.labels("alertmanager")
    before = refused._value.get()
    async with telling(receiver.address) as bridge:
        await assigned(bridge, {}, {})
        bad = [told(0, b"?"), told(1, b"{}"), tombstone(2, alert_of("attic"), 1)]
        bad[2] = bad[2]._replace(topic="alerts-open", headers=[("seq", b"?")])
        await bridge.take(chunk(*bad, told(3, alert_of("attic"))))
        await until(lambda: firing(receiver) == ["attic"])
    assert refused._value.get() == before + 3


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ({}, "http://localhost:8000"),
        ({"web_port": 0}, "http://localhost:8000"),
        ({"web_port": 80, "web_certfile": "c"}, "https://localhost:80"),
        ({"web_url": "https://iot.example.org/x"}, "https://iot.example.org/x"),
    ],
)
def test_links_go_to_where_people_reach_the_page(settings, page):
    assert page_of(Settings(**settings)) == page
