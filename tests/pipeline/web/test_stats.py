"""What is on `windows` of a real broker in, the buckets of charts out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from pipeline.access import parse
from pipeline.names import Names
from pipeline.records import iso
from pipeline.settings import Settings
from pipeline.shapes import ClosedWindow
from pipeline.web.past import Past
from pipeline.web.stats import Span, ranges_of
from tests.lab import create
from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site, metric, running, until

WALL = 1_795_341_725.0  # 2026-11-22T10:02:05Z


class Windows:
    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self.bootstrap = settings.bootstrap
        self.topic = Names(settings.topic_prefix).windows
        self._producer = producer

    async def tell(
        self, start: float, count: int, mean: float, device: str = "attic", name: str = "humidity",
        seconds: int = 300, at: float | None = None,
    ) -> None:  # fmt: skip
        told = ClosedWindow(
            schema=1, device_id=device, metric=name, start=iso(start), end=iso(start + seconds),
            seconds=seconds, revision=count, count=count, mean=mean, min=mean - 1, max=mean + 1,
            last=mean, unit="%",
        )  # fmt: skip
        await self.raw(msgspec.json.encode(told), device.encode(), at)

    async def raw(self, value: bytes | None, key: bytes, at: float | None = None) -> None:
        stamp = None if at is None else round(at * 1000)
        await self._producer.send_and_wait(self.topic, value, key, timestamp_ms=stamp)


@pytest.fixture
async def windows(log: AlertLog, settings: Settings) -> AsyncIterator[Windows]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    try:
        made = Windows(settings, producer)
        await create(made.bootstrap, made.topic, 1)
        yield made
    finally:
        await producer.stop()


async def until_told(site: Site, query: str, *expected: tuple[int, float]) -> dict[str, Any]:
    """Once these are the counts and means of the only metric's buckets."""
    answer: dict[str, Any] = {}

    async def told() -> bool:
        nonlocal answer
        status, answer = await site.get("/api/stats/" + query)
        buckets = [one["buckets"] for one in answer["metrics"].values()] if status == 200 else []
        return [[(one["count"], one["mean"]) for one in of] for of in buckets] == [list(expected)]

    await until(told)
    return answer


def five_minutes_ago(times: int) -> float:
    return (time.time() // 300 - times) * 300


async def test_a_devices_metrics_are_told_in_buckets_and_those_of_all_devices_together(
    windows: Windows, settings: Settings
) -> None:
    first, second = five_minutes_ago(3), five_minutes_ago(2)
    await windows.tell(first, 10, 50.0)
    await windows.tell(second, 10, 60.0)
    await windows.tell(second, 30, 70.0, device="cellar")
    async with running(settings) as site:
        answer = await until_told(site, "?device=attic&range=1h", (10, 50.0), (10, 60.0))
        assert (answer["source"], answer["device"], answer["seconds"]) == ("topic", "attic", 300)
        assert answer["metrics"]["humidity"] == {
            "unit": "%",
            "buckets": [
                {"start": iso(first), "count": 10, "mean": 50.0, "min": 49.0, "max": 51.0},
                {"start": iso(second), "count": 10, "mean": 60.0, "min": 59.0, "max": 61.0},
            ],
        }
        answer = await until_told(site, "", (10, 50.0), (40, 67.5))
        assert answer["device"] is None
        await windows.tell(second, 20, 60.0)  # ten readings came late
        await until_told(site, "?device=attic", (10, 50.0), (20, 60.0))
        await until_told(site, "", (10, 50.0), (50, 66.0))


async def test_a_token_for_some_devices_is_told_of_those_alone(
    windows: Windows, settings: Settings
) -> None:
    for number, name in enumerate(("barn/1", "barn/2", "hall/1"), 1):
        await windows.tell(five_minutes_ago(2), number, 50.0, device=name)
    tokens = parse('[{"token": "of-the-barn", "name": "barn", "devices": ["barn/*"]}]')
    barn = {"headers": {"Authorization": "Bearer of-the-barn"}}
    async with running(replace(settings, tokens=tokens)) as site:

        async def known() -> bool:
            return (await site.get("/api/stats/", **barn))[0] == 200

        await until(known)
        for query, count in (("", 3), ("?device=barn/2", 2)):
            _, answer = await site.get("/api/stats/" + query, **barn)
            assert [one["count"] for one in answer["metrics"]["humidity"]["buckets"]] == [count]
        assert (await site.get("/api/stats/?device=hall/1", **barn))[0] == 403
        assert (await site.get("/api/stats/"))[0] == 401


async def test_metrics_can_be_chosen_and_of_an_unknown_device_there_are_none(
    windows: Windows, settings: Settings
) -> None:
    for name in ("humidity", "co2", "battery"):
        await windows.tell(five_minutes_ago(2), 1, 50.0, name=name)
    async with running(settings) as site:
        await until_told(site, "?metric=co2", (1, 50.0))
        for query, expected in (
            ("", ["battery", "co2", "humidity"]),
            ("?metric=co2,battery", ["battery", "co2"]),
            ("?device=attic&metric=co2,radon", ["co2"]),
            ("?device=nobody", []),
        ):
            assert list((await site.get("/api/stats" + query))[1]["metrics"]) == expected


async def test_a_recorded_day_is_told_by_its_own_times(
    windows: Windows, settings: Settings
) -> None:
    for hour in range(3):
        await windows.tell(1_594_684_800.0 + hour * 3_600, 10, float(hour))
    async with running(settings) as site:
        day = "from=2020-07-14T00:00:00Z&to=2020-07-15T00:00:00Z"
        for query in ("?device=attic&" + day, "?" + day):
            answer = await until_told(site, query, (10, 0.0), (10, 1.0), (10, 2.0))
            told = (answer["from"], answer["to"])
            assert told == ("2020-07-14T00:00:00.000Z", "2020-07-15T00:00:00.000Z")
        await until_told(site, "?to=2020-07-14T01:30:00Z", (10, 1.0))  # the hour before


async def test_an_answer_says_from_when_on_it_is_whole(
    windows: Windows, settings: Settings
) -> None:
    starts = [five_minutes_ago(times) for times in (5, 4, 3, 2)]
    for start in starts:
        await windows.tell(start, 1, 50.0, at=start + 300)
    async with running(replace(settings, windows_kept=2)) as site:
        answer = await until_told(site, "?device=attic", (1, 50.0))
        # the window before it is the first that was read, and was told when this one began
        assert answer["from"] == iso(starts[3])
        await windows.tell(five_minutes_ago(1), 1, 50.0)
        await until_told(site, "", (1, 50.0), (1, 50.0))
        assert metric("smart_iot_web_windows_kept") == 2


async def test_until_it_is_read_it_says_why_not_and_what_cannot_be_meant_is_refused(
    site: Site, settings: Settings
) -> None:
    topic = Names(settings.topic_prefix).windows

    async def waits() -> bool:
        why = {"error": f"waiting for {topic} to be created"}
        return await site.get("/api/stats/") == (503, why)

    await until(waits)
    status, answer = await site.get("/api/stats/?range=1y")
    assert (status, answer["error"]) == (400, "range '1y' is none of 1h, 24h, 7d, 30d, 365d")


async def test_what_is_no_window_is_counted_and_passed_over(
    windows: Windows, settings: Settings
) -> None:
    before = metric("smart_iot_web_records_unreadable_total", what="windows")
    await windows.tell(five_minutes_ago(1), 10**19, 50.0)  # more than anybody can count
    for raw in (b"", None, b"{}", b"\xff", b"[]"):
        await windows.raw(raw, b"attic")
    await windows.tell(five_minutes_ago(2), 3, 50.0)
    async with running(settings) as site:
        await until_told(site, "", (3, 50.0))
    assert metric("smart_iot_web_records_unreadable_total", what="windows") == before + 6


@pytest.mark.parametrize(
    ("query", "widest", "length", "seconds"),
    [
        ({}, 300, 3_600, 300),
        ({"range": "1h"}, 10, 3_600, 10),
        ({"range": "24h"}, 10, 86_400, 300),
        ({"range": "24h"}, 300, 86_400, 300),
        ({"range": "7d"}, 300, 604_800, 1_800),
        ({"range": "1h"}, 900, 3_600, 1_800),  # a bucket holds a window
        ({"from": "2025-11-22", "to": "2026-11-22"}, 300, 365 * 86_400, 86_400),
        ({"from": "2016-11-22", "to": "2026-11-22"}, 300, 3652 * 86_400, 10 * 86_400),
        ({"from": str(WALL - 60)}, 300, 60, 300),
    ],
)
def test_a_bucket_is_as_wide_as_its_windows_and_no_chart_has_too_many(
    query: dict[str, str], widest: int, length: float, seconds: int
) -> None:
    span = Span.of(query, WALL)
    assert (span.until - span.since, span.seconds(widest)) == (length, seconds)


@pytest.mark.parametrize(
    ("days", "stored", "longest"),
    [
        (365, False, "7d"),
        (365, True, "365d"),
        (0, True, "365d"),  # for ever
        (364, True, "30d"),
        (30, True, "30d"),
        (3, True, "7d"),  # the view keeps more itself
    ],
)
def test_ranges_are_kept_that_are_no_longer_than_what_is(
    days: int, stored: bool, longest: str
) -> None:
    past = cast(Past, object()) if stored else None
    assert ranges_of(Settings(mysql_days=days), past)[-1] == longest


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"range": "2h"}, "range '2h' is none of 1h, 24h, 7d, 30d, 365d"),
        ({"range": "1h", "from": "2026-11-22"}, "say range, or from and to, and not both"),
        ({"from": "2026-11-22", "to": "2026-11-22"}, "from is not before to"),
        ({"from": "2027-01-01"}, "from is not before to"),
        ({"to": "x"}, "to: 'x' is not ISO 8601"),
        ({"device": "a" * 129}, "device is longer than 128 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(query: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        Span.of(query, WALL)
    assert str(raised.value) == said
