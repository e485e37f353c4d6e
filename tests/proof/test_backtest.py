"""A backtest of what a real worker has read gives the worker's own events, byte for byte."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.records import iso
from tests.lab import create
from tests.proof.history import wandering
from tests.proof.kafka import Sent, publish, quiet, read_topic
from tests.proof.worker import Worker

pytestmark = pytest.mark.kafka

START = 1_760_000_000.0  # October 2025: long ago, so the worker's partitions are replays
PARTITIONS = 4  # a worker's of `tests/proof/worker.py`


class Told(NamedTuple):
    events: list[bytes]
    summary: str

    def by_device(self) -> dict[str, list[bytes]]:
        return by_device(self.events)


def by_device(events: Iterable[bytes]) -> dict[str, list[bytes]]:
    """The events of each device in their order; a repeat (the same alert and `seq`) is none."""
    found: dict[str, dict[tuple[str, int], bytes]] = defaultdict(dict)
    for raw in events:
        event = json.loads(raw)
        found[event["device_id"]].setdefault((event["alert_id"], event["seq"]), raw)
    return {device: list(told.values()) for device, told in found.items()}


async def backtest(*arguments: object) -> Told:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("smart-iot")),
        *("backtest", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return Told(out.splitlines(), err.decode())


def recorded(path: Path, readings: Iterable[Sent]) -> Path:
    """A line each, with the time of its record."""
    lines = [
        json.dumps({"device_id": one.device_id, **one.fields, "arrived_at": iso(one.at)})
        for one in readings
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
async def test_a_backtest_tells_what_a_worker_told_of_the_same_readings(kafka, prefix, tmp_path):
    readings = list(wandering(11, 20_000, START))
    with Worker(kafka.bootstrap, prefix, tmp_path) as worker:
        await worker.ready()
        await publish(kafka.bootstrap, prefix + "readings", readings)
        await quiet(kafka.bootstrap, prefix)
        assert worker.stop() == 0, worker.tail()
    announced = [record.value for record in await read_topic(kafka.bootstrap, prefix + "alerts")]
    expected = by_device(announced)
    rules = {(json.loads(raw)["rule"], json.loads(raw)["event"]) for raw in announced}
    assert {("offline", "fired"), ("offline", "resolved"), ("temperature-high", "updated")} <= rules

    file = recorded(tmp_path / "readings.jsonl", readings)
    of_file = await backtest("--partitions", PARTITIONS, file)
    of_topic = await backtest("--topic", f"{prefix}readings", "--bootstrap", kafka.bootstrap)
    assert of_file.by_device() == expected
    assert of_topic.by_device() == expected
    assert of_file.summary == of_topic.summary


async def produce(
    bootstrap: str, topic: str, records: Sequence[tuple[float, bytes]], partitions: int
) -> None:
    """Without keys, to one partition after the other, each at its time."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        for number, (at, value) in enumerate(records):
            time = round(at * 1000)
            await producer.send(topic, value, partition=number % partitions, timestamp_ms=time)
    finally:
        await producer.stop()


def reading(device: str, temperature: float) -> bytes:
    return json.dumps({"device_id": device, "temperature": temperature}).encode()


async def test_a_topic_without_keys_is_read_in_the_order_of_its_times_and_within_a_range(
    kafka, prefix
):
    topic = f"{prefix}kept"
    await create(kafka.bootstrap, topic, partitions=3)
    values = [20, 36, 20, 36, 37, 20, 20, 36, 20, 20] * 500  # of one device, in three partitions
    records = [(START + n * 10, reading("oven", value)) for n, value in enumerate(values)]
    records[4_000:4_000] = [(START + 40_000, b"{"), (START + 40_000, b"")]
    await produce(kafka.bootstrap, topic, records, partitions=3)
    where = ("--topic", topic, "--bootstrap", kafka.bootstrap)

    whole = await backtest(*where)
    kinds = [json.loads(raw)["event"] for raw in whole.events]
    assert kinds == ["fired", "resolved"] * 1_500
    assert "5000 readings of 1 device " in whole.summary
    assert "not_json  2  first: partition 1, offset 1333" in whole.summary

    part = await backtest(*where, "--from", iso(START + 10_000), "--to", START + 20_000)
    assert "1000 readings of 1 device " in part.summary
    times = [json.loads(raw)["timestamp"] for raw in part.events]
    assert (times[0], times[-1]) == (iso(START + 10_010), iso(START + 19_980))
    assert set(part.events) < set(whole.events)

    nothing = await backtest(*where, "--from", START + 60_000)
    assert nothing.events == []
    assert "0 readings of 0 devices" in nothing.summary


async def test_a_topic_that_isnt_there_is_a_line_and_isnt_made(kafka, prefix):
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("smart-iot")),
            *("backtest", "--topic", f"{prefix}nowhere", "--bootstrap", kafka.bootstrap),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode == 2
        assert said.decode() == (
            f"smart-iot: {prefix}nowhere at {kafka.bootstrap} can't be read: "
            "there is no such topic\n"
        )
