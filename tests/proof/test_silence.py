"""Silent devices are reported, once, over restarts; devices that live are not."""

from __future__ import annotations

import asyncio
import shutil
import time

import pytest

from pipeline.kafka import running
from tests.proof.kafka import Sent, alerts, publish, quiet
from tests.proof.outcome import assert_seq_without_holes, of_rule, outcome
from tests.proof.worker import IMPATIENT, LIMIT, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

FLEET = [f"porch-{number}" for number in range(12)]
QUICK = {"SMART_IOT_SESSION_TIMEOUT": "6", "SMART_IOT_FLUSH_TIMEOUT": "4"}


async def report_for_ever(bootstrap: str, prefix: str, devices: list[str]) -> None:
    while True:
        now = time.time()
        readings = [Sent(device, {"temperature": 21.5}, now) for device in devices]
        await publish(bootstrap, prefix + "readings", readings)
        await asyncio.sleep(1.0)


async def until(condition, within: float) -> None:
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, "it doesn't come"
        await asyncio.sleep(0.5)


async def test_who_died_before_a_restart_is_reported_once_and_who_lives_is_not(
    kafka, prefix, tmp_path
):
    dead, alive = FLEET[:3], FLEET[3:]
    worker = Worker(kafka.bootstrap, prefix, tmp_path, module=IMPATIENT, **QUICK)
    with worker:
        await worker.ready()
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, FLEET))
        await asyncio.sleep(LIMIT / 2)
        fleet.cancel()
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, alive))
        died_at = time.time()
        worker.kill()
        await asyncio.sleep(LIMIT)  # longer than anybody may be silent
        worker.start()
        await worker.ready()

        async def reported() -> bool:
            return len(await alerts(kafka.bootstrap, prefix)) >= len(dead)

        await until(reported, within=4 * LIMIT)
        worker.kill()  # and once more: nobody is reported twice
        shutil.rmtree(tmp_path / "worker")
        worker.start()
        await worker.ready()
        await asyncio.sleep(2 * LIMIT)
        found = await outcome(kafka.bootstrap, prefix)
        assert sorted(of_rule(found, "offline")) == [(device, "fired") for device in dead]
        for event in found.events.values():
            assert event["reason"] == "offline"
            assert event["metric"] is None
            assert event["value"] is None
            assert event["timestamp"] == event["started_at"] == event["detected_at"]
        assert found.open.keys() == {f"{device}|offline" for device in dead}
        assert time.time() - died_at > 4 * LIMIT

        fleet.cancel()
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, FLEET))

        async def returned() -> bool:
            return len((await outcome(kafka.bootstrap, prefix)).events) == 2 * len(dead)

        await until(returned, within=LIMIT)
        fleet.cancel()
    found = await outcome(kafka.bootstrap, prefix)
    resolved = [event for event in found.events.values() if event["event"] == "resolved"]
    assert [event["reason"] for event in resolved] == ["device_returned"] * len(dead)
    assert found.open == {}
    assert_seq_without_holes(found)


async def test_a_broker_that_lost_its_data_while_the_local_state_is_kept_loses_no_new_reading(
    prefix, tmp_path
):
    hot = [Sent(device, {"temperature": 40 + n}, 0) for n, device in enumerate(FLEET)]

    def at(seconds_ago: float) -> list[Sent]:
        return [reading._replace(at=time.time() - seconds_ago) for reading in hot]

    with running(tmp_path / "kafka") as kafka:
        port = kafka.port
        with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
            await worker.ready()
            for seconds_ago in range(7_200, 3_600, -60):
                await publish(kafka.bootstrap, prefix + "readings", at(seconds_ago))
            await quiet(kafka.bootstrap, prefix)
            assert worker.stop() == 0
        assert len((await outcome(kafka.bootstrap, prefix)).events) == len(FLEET)
    shutil.rmtree(tmp_path / "kafka")
    with running(tmp_path / "kafka", port=port) as kafka:
        with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
            await worker.ready()
            await publish(kafka.bootstrap, prefix + "readings", at(3_000))
            await quiet(kafka.bootstrap, prefix)
            assert worker.stop() == 0
        found = await outcome(kafka.bootstrap, prefix)
    assert sorted(of_rule(found, "temperature-high")) == [(d, "fired") for d in sorted(FLEET)]


async def test_a_source_topic_that_was_recreated_loses_no_new_reading(kafka, prefix, tmp_path):
    from aiokafka.admin import AIOKafkaAdminClient

    worker = Worker(kafka.bootstrap, prefix, tmp_path)
    with worker:
        await worker.ready()
        old = [
            Sent(d, {"temperature": 20.0}, time.time() - 90_000 + n)
            for n in range(40)
            for d in FLEET
        ]
        await publish(kafka.bootstrap, prefix + "readings", old)
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_topics([prefix + "readings"])
    await asyncio.sleep(1)
    await admin.close()
    with worker:
        await worker.ready()
        new = [Sent(d, {"temperature": 41.0}, time.time() - 80_000) for d in FLEET]
        await publish(kafka.bootstrap, prefix + "readings", new)
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
        assert "was recreated" in worker.log.read_text()
    found = await outcome(kafka.bootstrap, prefix)
    # Whoever reports before the jump ahead is believed falls silent by it: that alert is stale too.
    steps = [step for step in of_rule(found, "temperature-high") if step[1] != "updated"]
    assert sorted(steps) == [(d, "fired") for d in sorted(FLEET)]
