"""A device table's changelog on a real broker in, the readings API out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.names import Names
from pipeline.rows import Row
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.settings import Settings
from pipeline.web.devices import Devices, Listing, of_fleet
from pipeline.web.fleet import Fleet
from tests.lab import create
from tests.pipeline.web.alert_log import AlertLog
from tests.pipeline.web.conftest import Site, metric, running, until

T0 = 1_700_000_000.0


class Changelog:
    def __init__(self, settings: Settings, producer: AIOKafkaProducer) -> None:
        self.bootstrap = settings.bootstrap
        self.topic = Names(settings.topic_prefix).changelog
        self._producer = producer

    async def create(self, partitions: int = 2) -> None:
        await create(self.bootstrap, self.topic, partitions)

    async def delete(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([self.topic])
        finally:
            await admin.close()

    async def row(self, device_id: str, temperature: float, applied: int = 1) -> None:
        device = Device(device_id)
        reading = Reading(device_id, None, T0, {"temperature": temperature})
        Engine().reading(device, reading, T0, 0.0)
        await self.raw(device_id.encode(), Row(device, [applied, -1, -1]).packed(1))

    async def raw(self, key: bytes, value: bytes | None) -> None:
        await self._producer.send_and_wait(self.topic, value, key)


@pytest.fixture
async def changelog(log: AlertLog, settings: Settings) -> AsyncIterator[Changelog]:
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    try:
        yield Changelog(settings, producer)
    finally:
        await producer.stop()


async def temperatures(site: Site) -> dict[str, float] | str:
    status, items = await site.get("/api/readings/latest_all/")
    if status != 200:
        return str(items["error"])
    return {item["device_id"]: item["temperature"] for item in items}


async def until_shown(site: Site, expected: Any) -> None:
    async def shown() -> bool:
        return await temperatures(site) == expected

    await until(shown)


async def test_the_newest_values_are_there_whatever_was_in_the_changelog_and_what_comes_since(
    changelog: Changelog, settings: Settings
) -> None:
    await changelog.create()
    await changelog.row("attic", 1.0)
    await changelog.row("cellar", 5.0)
    await changelog.row("attic", 2.0, applied=2)
    async with running(settings) as site:
        await until_shown(site, {"attic": 2.0, "cellar": 5.0})
        await changelog.row("attic", 3.0, applied=3)
        await changelog.raw(b"cellar", None)
        await until_shown(site, {"attic": 3.0})


async def test_until_it_has_caught_up_it_says_why_not_and_the_alerts_are_ready_all_the_same(
    changelog: Changelog, settings: Settings
) -> None:
    async with running(settings) as site:
        await site.until_ready()
        waiting = f"waiting for {changelog.topic} to be created"
        await until_shown(site, waiting)
        for path in ("/api/readings/latest_all/", "/api/devices/", "/api/readings/latest/attic/"):
            async with site.client.get(site.http + path) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert await answer.json() == {"error": waiting}
        await changelog.create()
        await until_shown(site, {})


async def test_the_devices_are_read_once_their_owner_is_ready_and_not_before(
    changelog: Changelog, settings: Settings
) -> None:
    await changelog.create()
    await changelog.row("attic", 1.0)
    problem = ["tables are being recovered"]
    async with running(settings, ready=lambda: problem[0] if problem else None) as site:
        await until_shown(site, "the alerts come first: tables are being recovered")
        problem.clear()
        await until_shown(site, {"attic": 1.0})


@pytest.mark.parametrize(
    ("device_id", "path"),
    [
        ("hall/1", "hall%2F1/"),
        ("hall/1", "hall%2f1"),
        ("hall/1", "hall/1/"),
        ("a:b@c", "a:b@c/"),
        ("a:b@c", "a%3Ab%40c"),
        ("end/", "end%2F"),
        ("end/", "end%2F/"),
        ("..a", "..a/"),
        ("up/../down", "up%2F..%2Fdown/"),
    ],
)
async def test_a_device_is_found_by_its_percent_encoded_id_with_a_last_slash_or_without(
    changelog: Changelog, settings: Settings, device_id: str, path: str
) -> None:
    await changelog.create()
    await changelog.row(device_id, 21.5)
    async with running(settings) as site:
        await until_shown(site, {device_id: 21.5})
        from yarl import URL

        url = URL(f"{site.http}/api/readings/latest/{path}", encoded=True)
        async with site.client.get(url) as answer:
            found = json.loads(await answer.read())
            assert (answer.status, found["device_id"]) == (200, device_id), found
        _, (item,) = await site.get("/api/readings/latest_all")
        assert found == item


async def test_an_unknown_device_is_404_in_json(changelog: Changelog, settings: Settings) -> None:
    await changelog.create()
    async with running(settings) as site:
        await until_shown(site, {})
        status, answer = await site.get("/api/readings/latest/nobody/")
        assert (status, answer) == (404, {"error": "no device nobody is known"})


async def test_the_devices_are_listed(changelog: Changelog, settings: Settings) -> None:
    await changelog.create()
    await changelog.row("attic", 1.0)
    async with running(settings) as site:
        await until_shown(site, {"attic": 1.0})
        _, (device,) = await site.get("/api/devices/")
        assert (device["device_id"], device["metrics"]) == ("attic", ["temperature"])


async def test_what_is_no_row_of_ours_is_counted_and_passed_over(
    changelog: Changelog, settings: Settings
) -> None:
    unreadable = metric("smart_iot_web_records_unreadable_total", what="devices")
    await changelog.create()
    for value in (b"", b"\xc1", b"\x01", b"\x95\x03\x01\x90\x90\x90"):
        await changelog.raw(b"attic", value)
    await changelog.raw(b"\xff", b"\x90")
    await changelog.row("cellar", 5.0)
    async with running(settings) as site:
        await until_shown(site, {"cellar": 5.0})
    assert metric("smart_iot_web_records_unreadable_total", what="devices") == unreadable + 5


async def test_what_a_newer_worker_writes_is_no_device_of_ours_and_that_is_said(
    changelog: Changelog, settings: Settings
) -> None:
    await changelog.create()
    await changelog.row("attic", 1.0)
    async with running(settings) as site:
        await until_shown(site, {"attic": 1.0})
        await changelog.raw(b"attic", b"\x95\x63\x01\x90\x90\x90")

        async def said() -> bool:
            return "written by a newer smart-iot" in await temperatures(site)

        await until(said)
        await site.until_ready()  # the alerts go on


async def test_a_changelog_that_was_recreated_is_read_anew(
    changelog: Changelog, settings: Settings
) -> None:
    await changelog.create()
    for number in range(5):
        await changelog.row("old", float(number), number)
    async with running(settings) as site:
        await until_shown(site, {"old": 4.0})
        await changelog.delete()
        await asyncio.sleep(0.5)
        await changelog.create()
        await changelog.row("new", 1.0)
        await until_shown(site, {"new": 1.0})


async def test_what_was_created_anew_while_nobody_looked_is_read_from_its_start(
    changelog: Changelog, settings: Settings
) -> None:
    devices = Devices(settings, lambda: None)

    async def read_until(device_id: str) -> set[str]:
        async def known() -> bool:
            return devices.fleet.get(device_id) is not None

        reading = asyncio.create_task(devices.run())
        await until(known)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return {latest.device_id for latest in devices.fleet.all()}

    await changelog.create(1)
    for applied in range(5):
        await changelog.row("old", 4.0, applied)
    assert await read_until("old") == {"old"}
    await changelog.delete()
    await changelog.create(1)
    await changelog.row("first", 1.0)
    for applied in range(6):  # so that it goes beyond where we were
        await changelog.row("filler", 2.0, applied)
    await changelog.row("last", 3.0)
    assert await read_until("last") == {"first", "filler", "last"}


async def test_those_who_ask_together_share_one_listing() -> None:
    made = 0

    def show(*_: object) -> dict[str, Any]:
        nonlocal made
        made += 1
        return {}

    fleet = Fleet()
    device = Device("attic")
    Engine().reading(device, Reading("attic", None, T0, {"co2": 1.0}), T0, 0.0)
    fleet.apply(0, b"attic", Row(device, [1, -1, -1]).packed(1))
    listing = Listing(of_fleet(fleet, show))
    assert set(await asyncio.gather(*(listing.body() for _ in range(20)))) == {b"[{}]"}
    assert made == 1
