"""A fleet that falls silent together is one alert; its devices' own wait, and are held back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.rules.fleet import FLEET
from tests.proof.kafka import alerts
from tests.proof.outcome import assert_seq_without_holes, outcome
from tests.proof.test_silence import report_for_ever, until
from tests.proof.worker import IMPATIENT, LIMIT, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DEVICES = [f"porch-{number}" for number in range(12)]
QUICK = {"SMART_IOT_SESSION_TIMEOUT": "6", "SMART_IOT_FLUSH_TIMEOUT": "4"}


class House:
    """Two workers, and devices that report or don't."""

    def __init__(self, bootstrap: str, prefix: str, folder: Any) -> None:
        self.bootstrap, self.prefix = bootstrap, prefix
        self.workers = [
            Worker(bootstrap, prefix, folder, name=name, module=IMPATIENT, **QUICK)
            for name in ("one", "two")
        ]
        self._reporting: asyncio.Task[None] | None = None

    async def report(self, devices: list[str], seconds: float = 0.0) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        self._reporting = asyncio.create_task(report_for_ever(self.bootstrap, self.prefix, devices))
        await asyncio.sleep(seconds)

    async def told(self, rule: str) -> list[tuple[str, str]]:
        """(event, reason) of a rule, repeats under the same id folded."""
        found = (await outcome(self.bootstrap, self.prefix)).events.values()
        return [(event["event"], event["reason"]) for event in found if event["rule"] == rule]

    async def waits_for(self, count: int, rule: str) -> None:
        async def told() -> bool:
            return len(await self.told(rule)) >= count

        await until(told, within=60)


async def test_a_fleet_that_falls_silent_and_returns_is_one_alert_through_a_kill(
    kafka, prefix, tmp_path
):
    house = House(kafka.bootstrap, prefix, tmp_path)
    with house.workers[0] as first, house.workers[1] as second:
        await first.ready()
        await second.ready()
        await house.report(DEVICES, LIMIT)
        await house.report([])
        await house.waits_for(1, "fleet")
        await house.waits_for(len(DEVICES), "offline")
        first.kill()  # one of the two owns the fleet's partition
        first.start()
        await first.ready()
        second.kill()
        second.start()
        await second.ready()
        await house.report(DEVICES[:4])
        await house.waits_for(2, "fleet")
        await house.report(DEVICES)
        await house.waits_for(3, "fleet")
        await house.waits_for(2 * len(DEVICES), "offline")
        await house.report([])
        assert first.stop() == second.stop() == 0, first.tail() + second.tail()
    found = await outcome(kafka.bootstrap, prefix)
    assert_seq_without_holes(found)
    assert found.open == {}
    assert await house.told("fleet") == [
        ("fired", "ingest_silent"),
        ("updated", "fleet_offline"),
        ("resolved", "device_returned"),
    ]
    fired = next(event for event in found.events.values() if event["rule"] == "fleet")
    assert (fired["device_id"], fired["count"]) == (FLEET, len(DEVICES))
    assert fired["devices"] == sorted(DEVICES)
    offline = [event for event in found.events.values() if event["rule"] == "offline"]
    held = {event["event"]: event["suppressed_by"] for event in offline}
    assert held == {"fired": fired["alert_id"], "resolved": None}
    assert len(offline) == 2 * len(DEVICES)


async def test_below_five_devices_each_speaks_for_itself(kafka, prefix, tmp_path):
    house = House(kafka.bootstrap, prefix, tmp_path)
    with house.workers[0] as worker:
        await worker.ready()
        await house.report(DEVICES[:4], LIMIT)
        await house.report([])
        await house.waits_for(4, "offline")
        assert worker.stop() == 0
    found = await alerts(kafka.bootstrap, prefix)
    assert {(event["rule"], event["suppressed_by"]) for event in found} == {("offline", None)}
