"""Readings on a real broker in, messages at real viewers of `/ws/sensors/…` out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.web import sensors
from pipeline.web.hub import SLICE, Member
from pipeline.web.sensors import Sensors
from pipeline.web.viewer import Viewer
from tests.lab import create, produce
from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import PATIENCE, Site, Socket, metric, narrow, running

AT = "2026-11-22T10:00:00Z"


class Readings:
    """The topic `readings` of a site, and viewers of what is on it."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self.bootstrap = settings.bootstrap
        self.topic = Names(settings.topic_prefix).readings

    async def say(self, *readings: dict[str, Any] | bytes) -> None:
        values = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in readings]
        await produce(self.bootstrap, self.topic, *values)

    @contextlib.asynccontextmanager
    async def viewer(self, path: str = "", **more: Any) -> AsyncIterator[Socket]:
        url = self.site.http + "/ws/sensors/" + path
        async with self.site.client.ws_connect(url, **more) as connection:
            socket = Socket(connection)
            socket.welcome = await socket.next()
            yield socket


@pytest.fixture
async def readings(log: AlertLog, settings: Settings) -> AsyncIterator[Readings]:
    await create(settings.bootstrap, Names(settings.topic_prefix).readings, 2)
    async with running(settings) as site:
        await site.until_ready()
        yield Readings(site, settings)


async def test_a_viewer_of_one_device_gets_every_reading_of_it_and_of_no_other(
    readings: Readings,
) -> None:
    async with readings.viewer("hall%2F1/") as viewer:
        assert viewer.welcome["type"] == "connection"
        assert viewer.welcome["recovered"] is None
        for number in range(20):
            await readings.say(
                {"device_id": "hall", "temperature": 1.0},
                {"device_id": "hall/1", "temperature": number, "place": "left"},
            )
        got = [await viewer.next() for _ in range(20)]
        assert sorted(one["temperature"] for one in got) == list(range(20))
        assert {one["device_id"] for one in got} == {"hall/1"}


async def test_a_sensor_message_is_an_item_of_latest_all_with_its_type(readings: Readings) -> None:
    async with readings.viewer("7") as viewer:
        await readings.say({"device_id": 7, "humidity": 50, "status": 3, "timestamp": "2001-01-01"})
        before = time.time()
        told = await viewer.next()
        stamp = told.pop("timestamp")
        assert told == {"device_id": "7", "humidity": 50.0, "type": "reading", "status": "online"}
        # a device's claim that the rules wouldn't believe is not told as a fact either
        assert stamp[:4] == time.strftime("%Y", time.gmtime(before))


async def test_what_is_no_reading_is_passed_over(readings: Readings) -> None:
    async with readings.viewer("hall") as viewer:
        await readings.say(b"\xff", b"[]", {"device_id": "hall"}, {"device_id": "hall", "co2": "x"})
        await readings.say({"device_id": "hall", "co2": 400})
        assert (await viewer.next())["co2"] == 400.0


async def test_a_viewer_of_all_devices_gets_the_newest_reading_of_each(readings: Readings) -> None:
    async with readings.viewer() as viewer:
        newest: dict[str, float] = {}
        for number in range(10):
            await readings.say(
                {"device_id": "a", "co2": number}, {"device_id": "hall/1", "co2": number}
            )
        while newest != {"a": 9.0, "hall/1": 9.0}:
            told = await viewer.next()
            assert told["co2"] >= newest.get(told["device_id"], 0.0)
            newest[told["device_id"]] = told["co2"]


async def test_of_a_device_that_waits_for_its_turn_only_the_newest_reading_is_told(
    readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "A_SECOND", 2)  # one message a tick
    async with readings.viewer() as viewer:
        for number in range(5):
            await readings.say(
                *[{"device_id": name, "co2": number} for name in ("a", "b", "c", "d")]
            )
        got: list[tuple[str, float]] = []
        while {name for name, value in got if value == 4} != {"a", "b", "c", "d"}:
            told = await viewer.next()
            got.append((told["device_id"], told["co2"]))
        assert len(got) < 20


async def test_the_readings_are_read_only_while_somebody_watches(
    readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    session = Sensors._session

    async def watched(self: Sensors) -> None:
        begun.set()
        await session(self)
        ended.set()

    monkeypatch.setattr(Sensors, "_session", watched)
    assert not begun.is_set()
    async with readings.viewer("hall"):
        assert begun.is_set()
        assert not ended.is_set()
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    async with readings.viewer("hall") as viewer:  # and again
        await readings.say({"device_id": "hall", "co2": 1})
        assert (await viewer.next())["co2"] == 1.0


async def test_a_page_of_another_origin_may_not_watch_and_the_seeds_may(readings: Readings) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        async with readings.viewer(headers={"Origin": "http://evil.example"}):
            pass
    assert raised.value.status == 403
    async with readings.viewer(headers={"Origin": "http://localhost:3000"}) as viewer:
        assert viewer.welcome["type"] == "connection"


async def test_viewers_of_all_streams_together_are_as_many_as_may_be(
    log: AlertLog, settings: Settings
) -> None:
    await create(settings.bootstrap, Names(settings.topic_prefix).readings)
    async with running(replace(settings, viewers=2)) as site:
        await site.until_ready()
        readings = Readings(site, settings)
        async with site.viewer(), readings.viewer(), site.client.get(site.http) as page:
            assert page.status == 200
            assert await site.refused() == 503
            with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
                async with readings.viewer("hall"):
                    pass
            assert raised.value.status == 503


async def test_a_viewer_that_falls_behind_is_closed_and_the_others_are_not(
    log: AlertLog, settings: Settings
) -> None:
    topic = Names(settings.topic_prefix).readings
    await create(settings.bootstrap, topic)
    overflows = metric("smart_iot_web_queue_overflows_total")
    many = {f"metric_{n}_{'x' * 50}": n for n in range(31)}  # 2.3 kB a message
    async with (
        running(replace(settings, viewer_queue=5)) as site,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=narrow)) as client,
    ):
        await site.until_ready()
        readings = Readings(site, settings)
        async with (
            client.ws_connect(site.http + "/ws/sensors/slow") as slow,
            readings.viewer("other") as other,
        ):
            while metric("smart_iot_web_queue_overflows_total") == overflows:
                await burst_of(settings, topic, json.dumps({"device_id": "slow", **many}), 2_000)
            await readings.say({"device_id": "other", "co2": 5})
            assert (await other.next())["co2"] == 5.0
            assert await Socket(slow).code() == 1013
    assert metric("smart_iot_web_queue_overflows_total") == overflows + 1


async def test_however_many_watch_one_device_the_event_loop_breathes(
    readings: Readings, settings: Settings
) -> None:
    puts, longest, told = 0, 0, 0

    class Counting(Viewer):
        def put(self, frames: Sequence[bytes], joined: bytes) -> None:
            nonlocal puts, longest, told
            puts, told = puts + 1, told + len(frames)
            longest = max(longest, puts)

    async def breathe() -> None:
        nonlocal puts
        while True:
            puts = 0
            await asyncio.sleep(0)

    groups = readings.site.view._sensors._of_one
    async with readings.viewer("attic") as viewer:
        for _ in range(1_000):
            Member(groups, "attic", Counting(1_000)).__enter__()
        breathing = asyncio.create_task(breathe())
        value = json.dumps({"device_id": "attic", "co2": 400})
        await burst_of(settings, readings.topic, value, 50)
        for _ in range(50):
            await viewer.next()
        while told < 50 * 1_000:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        breathing.cancel()
    assert longest <= SLICE + 1


async def burst_of(settings: Settings, topic: str, value: str, number: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, linger_ms=5)
    await producer.start()
    try:
        for _ in range(number):
            await producer.send(topic, value.encode())
    finally:
        await producer.stop()


async def test_at_a_stop_a_viewer_is_told_that_the_server_goes_away(
    log: AlertLog, settings: Settings
) -> None:
    await create(settings.bootstrap, Names(settings.topic_prefix).readings)
    async with running(settings) as site:
        await site.until_ready()
        async with Readings(site, settings).viewer() as viewer:
            code = asyncio.create_task(viewer.code())
            await site.view.stop()
            assert await code == 1001


async def test_a_viewer_is_pinged_in_words_that_a_page_can_see(
    log: AlertLog, settings: Settings
) -> None:
    await create(settings.bootstrap, Names(settings.topic_prefix).readings)
    async with running(settings, ping_every=0.05) as site:
        await site.until_ready()
        async with Readings(site, settings).viewer() as viewer:
            told = await viewer.said()
            assert (told["type"], told["event"]) == ("connection", "ping")
