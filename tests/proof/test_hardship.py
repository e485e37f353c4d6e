"""What happens to brokers, disks and machines, and must not happen to alerts."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from pipeline.kafka import running
from tests.proof.kafka import Sent, alerts, ends, publish, quiet
from tests.proof.test_silence import IMPATIENT, QUICK, report_for_ever, until
from tests.proof.worker import LIMIT, Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

FLEET = [f"barn-{number}" for number in range(16)]


async def offline(bootstrap: str, prefix: str) -> set[str]:
    return {e["device_id"] for e in await alerts(bootstrap, prefix) if e["rule"] == "offline"}


async def test_who_falls_silent_after_a_worker_joined_is_missed_whoever_owns_it(
    kafka, prefix, tmp_path
):
    first = Worker(kafka.bootstrap, prefix, tmp_path, name="first", module=IMPATIENT, **QUICK)
    second = Worker(kafka.bootstrap, prefix, tmp_path, name="second", module=IMPATIENT, **QUICK)
    with first:
        await first.ready()
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, FLEET))
        await asyncio.sleep(5)
        with second:
            await second.ready()
            await first.ready()
            await asyncio.sleep(2)
            fleet.cancel()

            async def all_missed() -> bool:
                return await offline(kafka.bootstrap, prefix) == set(FLEET)

            await until(all_missed, within=4 * LIMIT)


async def test_transactional_producers_whose_markers_are_no_records_hold_nothing_up(
    kafka, prefix, tmp_path
):
    worker = Worker(kafka.bootstrap, prefix, tmp_path, module=IMPATIENT, **QUICK)
    with worker:
        await worker.ready()
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, transactional_id=prefix + "producer"
        )
        await producer.start()
        try:
            for _ in range(5):
                async with producer.transaction():
                    for device in FLEET:
                        reading = json.dumps({"device_id": device, "temperature": 20}).encode()
                        await producer.send(prefix + "readings", reading, key=device.encode())
                await asyncio.sleep(0.5)
        finally:
            await producer.stop()

        async def all_missed() -> bool:
            return await offline(kafka.bootstrap, prefix) == set(FLEET)

        await until(all_missed, within=4 * LIMIT)
        assert worker.stop() == 0
        worker.start()
        await worker.ready()


async def test_a_backlog_that_retention_deleted_is_no_reason_to_wait(kafka, prefix, tmp_path):
    old = [Sent(device, {"temperature": 20.0}, time.time() - 9_000) for device in FLEET]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    with Worker(kafka.bootstrap, prefix, tmp_path, **QUICK) as worker:
        await worker.ready()
        await publish(kafka.bootstrap, prefix + "readings", old)
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
        await publish(kafka.bootstrap, prefix + "readings", old)
        await admin.start()
        try:
            end = await ends(kafka.bootstrap, prefix + "readings")
            await admin.delete_records(
                {
                    TopicPartition(prefix + "readings", number): RecordsToDelete(before_offset=at)
                    for number, at in end.items()
                }
            )
        finally:
            await admin.close()
        worker.start()
        await worker.ready()


async def test_a_broken_local_store_is_read_anew_from_the_changelog(kafka, prefix, tmp_path):
    hot = [Sent(device, {"temperature": 41.0}, time.time() - 9_000) for device in FLEET]
    with Worker(kafka.bootstrap, prefix, tmp_path, **QUICK) as worker:
        await worker.ready()
        await publish(kafka.bootstrap, prefix + "readings", hot)
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
        broken, *_ = sorted(tmp_path.rglob("*.db"))
        (broken / "CURRENT").write_bytes(b"")  # what a power loss can leave
        worker.start()
        await worker.ready()
        assert "is broken and is read anew" in worker.log.read_text()
        await publish(kafka.bootstrap, prefix + "readings", [r._replace(at=r.at + 5) for r in hot])
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0
    assert len(await alerts(kafka.bootstrap, prefix)) == len(FLEET)  # nobody fired twice


async def test_a_machine_that_slept_reports_nobody(kafka, prefix, tmp_path):
    patient = {"SMART_IOT_SESSION_TIMEOUT": "40", "SMART_IOT_FLUSH_TIMEOUT": "4"}
    worker = Worker(kafka.bootstrap, prefix, tmp_path, module=IMPATIENT, **patient)
    with worker:
        await worker.ready()
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, FLEET))
        await asyncio.sleep(6)
        fleet.cancel()
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)  # and the fleet sleeps with it
        await asyncio.sleep(1.5 * LIMIT)
        worker.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.5)
        fleet = asyncio.create_task(report_for_ever(kafka.bootstrap, prefix, FLEET))
        await asyncio.sleep(LIMIT)
        fleet.cancel()
        assert await alerts(kafka.bootstrap, prefix) == []


async def test_a_broker_that_was_away_for_longer_than_anybody_may_be_silent_reports_nobody(
    prefix, tmp_path
):
    """Nobody could be heard, and a device keeps nothing and sends again when its time has come."""
    with (
        running(tmp_path / "kafka") as kafka,
        Worker(kafka.bootstrap, prefix, tmp_path, module=IMPATIENT) as worker,
    ):
        await worker.ready()
        for _ in range(5):
            now = time.time()
            readings = [Sent(device, {"temperature": 20.0}, now) for device in FLEET[:3]]
            await publish(kafka.bootstrap, prefix + "readings", readings)
            await asyncio.sleep(0.5)
        kafka.kill()
        await asyncio.sleep(LIMIT)
        kafka.start()
        await asyncio.sleep(LIMIT - 1)
        readings = [reading._replace(at=time.time()) for reading in readings]
        await publish(kafka.bootstrap, prefix + "readings", readings)
        await quiet(kafka.bootstrap, prefix)
        assert await alerts(kafka.bootstrap, prefix) == []


async def test_a_topic_that_cannot_be_created_is_told_in_words(kafka, prefix, tmp_path):
    with Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_REPLICATION="3") as worker:
        await worker.ended(within=30)
    assert f"topic {prefix}readings can't be created:" in worker.tail()
    assert "Traceback" not in worker.tail()


async def test_a_log_of_alerts_that_forgets_what_happened_is_refused(kafka, prefix, tmp_path):
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    compacted = NewTopic(prefix + "alerts", 4, 1, topic_configs={"cleanup.policy": "compact"})
    await admin.create_topics([compacted])
    await admin.close()
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ended(within=30)
    assert f"topic {prefix}alerts has cleanup.policy=compact; it must be delete" in worker.tail()
