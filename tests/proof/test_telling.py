"""Alertmanagers and a webhook hear of every alert, and of its end, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.kafka.broker import free_port
from pipeline.names import Names
from tests.alertmanager import Alertmanager, Told, notified
from tests.deploy.exposed import documented, families
from tests.proof.archives import Archives, until
from tests.proof.kafka import Sent, alerts, publish
from tests.proof.worker import Worker
from tests.receiver import CUT, Receiver, receiving
from tests.stores import running

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 4
MANY = [f"d{number}" for number in range(20)]
HOLD = 40.0  # a bridge that is killed is missed by Kafka for ten


class House:
    """A worker that judges, who is told, and devices that are hot or not."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix

    async def send(self, temperature: float, *devices: str) -> None:
        readings = [Sent(one, {"temperature": temperature}, time.time()) for one in devices]
        await publish(self._bootstrap, self._prefix + "readings", readings)

    async def told(self) -> list[dict[str, Any]]:
        return await alerts(self._bootstrap, self._prefix)


async def fires(alertmanager: Alertmanager, *devices: str) -> None:
    async def does() -> bool:
        found = await asyncio.to_thread(alertmanager.alerts)
        return found.keys() == {(one, "danger") for one in devices}

    await until(does, f"{devices} fire")


async def taken(receiver: Receiver, house: House, but: set[str]) -> None:
    """Each event at least once, and those of a device in order; not the first of some alerts."""
    said = [one for one in await house.told() if one["seq"] > 1 or one["alert_id"] not in but]
    events = {(one["alert_id"], one["seq"]) for one in said}

    async def all_are() -> bool:
        return {(one.event["alert_id"], one.event["seq"]) for one in receiver.taken} == events

    await until(all_are, "every event is taken")
    for device in {one.event["device_id"] for one in receiver.taken}:
        some = [one.event for one in receiver.taken if one.event["device_id"] == device]
        first = list(dict.fromkeys((one["started_at"], one["seq"]) for one in some))
        assert first == sorted(first)


async def begun(bootstrap: str, prefix: str) -> None:
    """The webhook knows where it goes on."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = Names(prefix)

        async def is_committed() -> bool:
            found = await admin.list_consumer_group_offsets(names.archive("webhook"))
            return sum(at.offset >= 0 for at in found.values()) == PARTITIONS

        await until(is_committed, "the webhook has committed where it begins")
    finally:
        await admin.close()


@pytest.mark.timeout(300)
async def test_alertmanagers_and_a_webhook_hear_of_every_alert_whoever_is_killed_meanwhile(
    kafka, prefix, tmp_path
):
    house = House(kafka.bootstrap, prefix)
    async with AsyncExitStack() as stack:
        people = await stack.enter_async_context(receiving())
        pair = [Alertmanager(tmp_path / name, people) for name in ("one", "other")]
        for one in pair:
            stack.enter_context(running(one))
        hook, hook_port = Receiver(), free_port()
        worker = stack.enter_context(Worker(kafka.bootstrap, prefix, tmp_path))
        await worker.ready()
        await house.send(41, "before")  # who is told starts later
        settings = {
            "SMART_IOT_ALERTMANAGER_URLS": ",".join(one.url for one in pair),
            "SMART_IOT_ALERTMANAGER_HOLD": str(HOLD),
            "SMART_IOT_WEBHOOK_URL": f"http://127.0.0.1:{hook_port}/t0ken",
            "SMART_IOT_WEBHOOK_SECRET": "s3cret",
        }
        archives = stack.enter_context(Archives(kafka.bootstrap, prefix, tmp_path, **settings))
        for one in pair:
            await fires(one, "before")

        await begun(kafka.bootstrap, prefix)

        # it is away when the first events come
        await house.send(41, "attic", "cellar", "shed")
        for one in pair:
            await fires(one, "before", "attic", "cellar", "shed")
        await archives.kill("alertmanager")
        await archives.kill("webhook")
        pair[1].kill()
        await house.send(20, "attic", "before")
        pair[1].start()  # and knows nothing
        hook.answers[""] += [503, CUT, 500, 429]
        await stack.enter_async_context(receiving(hook_port, hook))
        for one in pair:
            await fires(one, "cellar", "shed")

        pair[0].stop()
        pair[0].start()  # and knows whom it has notified
        await house.send(20, "shed")
        for one in pair:
            await fires(one, "cellar")
        for device in ("attic", "before", "shed"):
            told = Told("resolved", device, "danger")
            await until(partial(_is_told, people, told), f"{device} has ended")

        # others come and take their share, and leave it again
        (tmp_path / "others").mkdir()
        with Archives(kafka.bootstrap, prefix, tmp_path / "others", **settings) as others:
            await until(partial(_is_ready, others), "the others are ready")
            await house.send(41, *MANY)
            for one in pair:
                await fires(one, "cellar", *MANY)
        await house.send(20, *MANY)
        for one in pair:
            await fires(one, "cellar")
        assert Told("resolved", "cellar", "danger") not in notified(people)

        before = {one["alert_id"] for one in await house.told() if one["device_id"] == "before"}
        await taken(hook, house, before)

        async def is_shown() -> bool:
            shown = await archives.ask("alertmanager", "/metrics")
            return "smart_iot_alertmanager_alerts 1.0" in shown

        await until(is_shown, "one alert is open")
        shown = await archives.ask("alertmanager", "/metrics")
        assert shown.count("} 1.0\n", shown.index("TYPE smart_iot_alertmanager_reached")) >= 2
        listed = documented()
        expected = (
            listed["Every process"] | listed["An archive"] | listed["The archive `alertmanager`"]
        )
        assert set(families(shown)) == expected
        assert "s3cret" not in archives.tail()
        assert "t0ken" not in archives.tail()


async def _is_ready(archives: Archives) -> bool:
    ready = [await archives.ask(name, "/-/ready") for name in ("alertmanager", "webhook")]
    return all("true" in one for one in ready)


async def _is_told(people: Receiver, told: Told) -> bool:
    return told in notified(people)
