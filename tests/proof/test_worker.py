"""One worker as its users meet it: viewers, bad input, ports, two of them on one machine."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest
import websockets
from aiokafka import AIOKafkaProducer

from tests.lab import heard
from tests.proof.kafka import Sent, alerts, publish, quiet, read_topic
from tests.proof.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

# Test 2 of the document that the product started from: only its address is another.
SEED_VIEWER = """
import asyncio
import websockets
import json

async def test_alerts():
    uri = "ws://localhost:8000/ws/alerts/"

    async with websockets.connect(uri) as websocket:
        print("✅ Connected to WebSocket")

        # Listen for messages
        while True:
            message = await websocket.recv()
            data = json.loads(message)
            print(f"📨 Received: {data}")

if __name__ == "__main__":
    asyncio.run(test_alerts())
"""


def now(device: str, **fields: float) -> list[Sent]:
    return [Sent(device, fields, time.time())]


async def test_a_viewer_gets_the_welcome_the_open_alerts_and_a_live_one_within_a_second(
    kafka, prefix, tmp_path
):
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        readings = prefix + "readings"
        await publish(kafka.bootstrap, readings, now("attic", temperature=41.5))
        await quiet(kafka.bootstrap, prefix, seconds=1)
        async with websockets.connect(f"ws://127.0.0.1:{worker.port}/ws/alerts/") as viewer:
            welcome = json.loads(await viewer.recv())
            assert welcome["type"] == "connection"
            assert welcome["message"] == "Connected to alerts stream"
            assert welcome["recovered"] is None
            backlog = await heard(viewer.recv)
            assert backlog["backlog"] is True
            assert (backlog["device_id"], backlog["value"]) == ("attic", 41.5)
            seconds = []
            for number in range(9):
                sent = time.monotonic()
                await publish(kafka.bootstrap, readings, now(f"cellar-{number}", humidity=91.0))
                alert = await heard(viewer.recv)
                seconds.append(time.monotonic() - sent)
                assert alert["device_id"] == f"cellar-{number}"
                assert alert["type"] == "warning"
                assert alert["title"] == "💧 High Humidity Alert!"
                assert "backlog" not in alert
            assert statistics.median(seconds) < 1.0, seconds
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{worker.port}") as session,
            session.get("/api/alerts/active/") as answer,
        ):
            active = await answer.json()
        assert {a["device_id"] for a in active} == {"attic", *(f"cellar-{n}" for n in range(9))}


async def test_the_seeds_python_viewer_runs_unchanged_but_for_its_address(kafka, prefix, tmp_path):
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        script = SEED_VIEWER.replace("localhost:8000", f"localhost:{worker.port}")
        viewer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-c", script),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
        assert viewer.stdout is not None
        try:
            assert (await viewer.stdout.readline()).decode() == "✅ Connected to WebSocket\n"
            assert "Connected to alerts stream" in (await viewer.stdout.readline()).decode()
            await publish(kafka.bootstrap, prefix + "readings", now("loft", temperature=36.2))
            line = "'ping'"
            while "'ping'" in line:
                line = (await asyncio.wait_for(viewer.stdout.readline(), 20)).decode()
            assert "Device loft: Temperature is 36.2°C (threshold: 35.0°C)" in line
        finally:
            viewer.kill()
            await viewer.wait()


BAD = {
    b"\xff\xfe": "not_utf8",
    b"hello": "not_json",
    b"[1, 2]": "not_an_object",
    b'{"temperature": 20}': "no_device_id",
    b'{"device_id": "*fleet", "temperature": 20}': "bad_device_id",
    b'{"device_id": "..", "temperature": 20}': "bad_device_id",
    b'{"device_id": "a", "name": "x"}': "no_metric",
    b'{"device_id": "a", "temperature": NaN}': "no_metric",
    b'{"device_id": "a", "temperature": "20"}': "no_metric",
    b'{"device_id": "a", "temperature": 1, "temperature": 2}': "duplicate_key",
    b'{"device_id": "a", "temperature": 1, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}": "too_deep",
    b'{"device_id": "a", "temperature": 1, "timestamp": "yesterday"}': "bad_timestamp",
    b'{"device_id": "a", "note": "' + b"x" * 10_000_000 + b'", "temperature": 1}': "too_large",
}


async def test_bad_input_is_counted_by_reason_and_kept_and_the_worker_goes_on(
    kafka, prefix, tmp_path
):
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=16 << 20)
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        await producer.start()
        try:
            for number, raw in enumerate(BAD):
                await producer.send_and_wait(prefix + "readings", raw, key=b"k%d" % number)
        finally:
            await producer.stop()
        mixed = {"temperature": 50.0, "humidity": True, "battery": "3"}
        await publish(kafka.bootstrap, prefix + "readings", now("shed", **mixed))
        await quiet(kafka.bootstrap, prefix, seconds=1)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{worker.port}/metrics") as answer,
        ):
            shown = await answer.text()
        assert worker.stop() == 0, worker.tail()
    assert [event["device_id"] for event in await alerts(kafka.bootstrap, prefix)] == ["shed"]
    rejected = await read_topic(kafka.bootstrap, prefix + "readings-rejected")
    by_key = {record.key: record for record in rejected}
    assert len(rejected) == len(BAD)
    for number, (raw, reason) in enumerate(BAD.items()):
        record = by_key[b"k%d" % number]
        headers = dict(record.headers)
        assert headers["reason"].decode() == reason, raw[:80]
        assert headers["topic"].decode() == prefix + "readings"
        assert headers["partition"].isdigit()
        assert headers["offset"].isdigit()
        assert record.value == raw[:900_000]
        assert ("truncated" in headers) == (len(raw) > 900_000)
    for reason in set(BAD.values()):
        count = float(list(BAD.values()).count(reason))
        assert f'smart_iot_readings_rejected_total{{reason="{reason}"}} {count}' in shown
    assert 'smart_iot_values_refused_total{reason="boolean"} 1.0' in shown
    assert 'smart_iot_values_refused_total{reason="string"} 2.0' in shown
    assert 'smart_iot_values_refused_total{reason="nan"} 1.0' in shown


def listening_ports(pid: int) -> set[int]:
    """TCP ports on which the process listens, as the kernel has it."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(descriptor) if descriptor.is_symlink() else ""
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


async def test_the_bare_worker_opens_our_port_and_no_other(kafka, prefix, tmp_path):
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        assert worker.process is not None
        assert listening_ports(worker.process.pid) == {worker.port}


async def test_two_workers_on_one_machine_with_the_same_settings_do_not_collide(
    kafka, prefix, tmp_path
):
    first = Worker(kafka.bootstrap, prefix, tmp_path)
    second = Worker(kafka.bootstrap, prefix, tmp_path)
    second.environment["SMART_IOT_WEB_PORT"] = str(first.port)
    with first:
        await first.ready()
        with second:
            assert second.process is not None
            deadline = time.monotonic() + 30
            while not (ports := listening_ports(second.process.pid)):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
            second.port = ports.pop()
            assert second.port != first.port
            await second.ready()
            await first.ready()
            assert second.stop() == 0
            assert first.stop() == 0


async def test_topics_that_cannot_work_are_refused_in_words(kafka, prefix, tmp_path):
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics(
        [NewTopic(prefix + "readings", 3, 1), NewTopic(prefix + "alerts", 2, 1)]
    )
    await admin.close()
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ended(within=30)
        assert worker.process is not None
        assert worker.process.returncode == 70
    assert f"topic {prefix}alerts has 2 partitions and {prefix}readings has 3" in worker.tail()


def test_a_wrong_setting_is_one_line_that_names_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "pipeline.app", "worker"],
        env={**os.environ, "SMART_IOT_PARTITIONS": "three"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "SMART_IOT_PARTITIONS=three is not a whole number" in done.stderr
    assert "Traceback" not in done.stderr
