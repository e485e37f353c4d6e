"""Command lines and files in, records on a real broker out: `smart-iot publish`."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import murmur2

from pipeline.kafka.broker import RunningKafka

PARTITIONS = 4
COMMAND = [sys.executable, "-c", "from pipeline.cli import main; main()"]
NOON = 1_763_812_800.0  # 2025-11-22T12:00:00Z


class Done(NamedTuple):
    code: int | None
    out: str
    err: str


class Readings:
    """The topic `readings` of a test, and the command that fills it."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.bootstrap = bootstrap
        self.topic = f"{prefix}readings"
        self._environment = os.environ | {
            "SMART_IOT_BOOTSTRAP": bootstrap,
            "SMART_IOT_TOPIC_PREFIX": prefix,
        }

    async def create(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])
        finally:
            await admin.close()

    async def start(
        self, *arguments: str, command: str = "publish", stderr: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            command,
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )

    async def publish(self, *arguments: str, stdin: bytes = b"") -> Done:
        process = await self.start(*arguments)
        out, err = await process.communicate(stdin)
        return Done(process.returncode, out.decode(), err.decode())

    async def records(self) -> list[ConsumerRecord[bytes | None, bytes]]:
        """All that the topic holds now."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            found: list[ConsumerRecord[bytes | None, bytes]] = []
            partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while len(found) < sum(ends.values()):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
            return found
        finally:
            await consumer.stop()

    async def values(self) -> list[bytes]:
        return sorted(record.value or b"" for record in await self.records())


@pytest.fixture
async def readings(kafka: RunningKafka, prefix: str) -> Readings:
    made = Readings(kafka.bootstrap, prefix)
    await made.create()
    return made


def line(device: str = "greenhouse-7", **fields: object) -> bytes:
    return json.dumps({"device_id": device, "temperature": 36.2, **fields}).encode()


async def test_one_reading_is_sent_as_it_was_given(readings: Readings) -> None:
    done = await readings.publish("greenhouse-7", "temperature=36.2", "humidity=55")
    assert done == (0, f"sent 1 reading to {readings.topic}\n", "")
    [record] = await readings.records()
    assert json.loads(record.value) == {
        "device_id": "greenhouse-7",
        "temperature": 36.2,
        "humidity": 55,
    }
    assert record.key == b"greenhouse-7"


@pytest.mark.parametrize(
    ("given", "sent"),
    [("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"), ("1763812800", 1763812800)],
)
async def test_one_reading_takes_its_time(readings: Readings, given: str, sent: object) -> None:
    await readings.publish("a", "temperature=1", "--timestamp", given)
    [record] = await readings.records()
    assert json.loads(record.value)["timestamp"] == sent


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["greenhouse-7"], "no_metric"),
        (["no spaces please", "temperature=1"], "bad_device_id"),
        (["a", "temperature"], "'temperature' is not METRIC=NUMBER"),
        (["a", "temperature=warm"], "'warm' is not a number"),
        (["a", "temperature=nan"], "'nan' is not a number"),
        (["a", "temperature=1", "--timestamp", "yesterday"], "bad_timestamp"),
        ([], "either a device and its values, or --file"),
        (["a", "--file", "x"], "either a device and its values, or --file"),
        (["--file", "not-there.jsonl"], "not-there.jsonl can't be read"),
    ],
)
async def test_what_cannot_be_meant_is_refused_in_one_line(
    readings: Readings, arguments: list[str], named: str
) -> None:
    done = await readings.publish(*arguments)
    assert (done.code, done.out) == (2, "")
    assert named in done.err
    assert done.err.count("\n") == 1
    assert await readings.records() == []


async def test_the_lines_of_a_file_are_sent_untouched_each_to_its_devices_partition(
    readings: Readings, tmp_path: Path
) -> None:
    sent = [line(f"device-{n}", note="ü", n=n) for n in range(500)]
    path = tmp_path / "readings.jsonl"
    path.write_bytes(b"\n".join(sent) + b"\n\n")
    done = await readings.publish("--file", str(path))
    assert done == (0, f"sent 500 readings to {readings.topic}\n", "")
    records = await readings.records()
    assert sorted(record.value for record in records) == sorted(sent)
    for record in records:
        key = json.loads(record.value)["device_id"].encode()
        assert record.key == key
        assert record.partition == (murmur2(key) & 0x7FFFFFFF) % PARTITIONS


async def test_a_packed_file_is_unpacked(readings: Readings, tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(line(n=n) for n in range(100))))
    assert (await readings.publish("--file", str(path))).code == 0
    assert len(await readings.records()) == 100


async def test_a_file_that_is_cut_off_in_its_packing_is_refused_in_one_line(
    readings: Readings, tmp_path: Path
) -> None:
    path = tmp_path / "readings.jsonl.gz"
    path.write_bytes(gzip.compress(os.urandom(1000))[:-9])
    done = await readings.publish("--file", str(path), "--raw")
    assert done.code == 2
    assert done.err.count("\n") == 1


async def test_a_terminal_is_shown_how_far_it_is(readings: Readings, tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    path.write_bytes(b"\n".join(line(n=n) for n in range(5000)))
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = await readings.start("--file", str(path), stderr=theirs)
        os.close(theirs)
        out, _ = await process.communicate()
        shown = screen.read(1 << 16).decode()
    assert out.decode() == f"sent 5000 readings to {readings.topic}\n"
    assert "readings" in shown
    assert "100%" in shown


@pytest.mark.parametrize("arguments", [["-"], ["--file", "-"]])
async def test_standard_input_is_sent(readings: Readings, arguments: list[str]) -> None:
    done = await readings.publish(*arguments, stdin=line(n=1) + b"\r\n" + line(n=2))
    assert done.code == 0
    assert await readings.values() == [line(n=1), line(n=2)]


async def test_a_line_of_a_pipe_that_stays_open_is_sent_at_once(readings: Readings) -> None:
    process = await readings.start("-")
    assert process.stdin is not None
    try:
        process.stdin.write(line() + b"\n")
        async with asyncio.timeout(60):
            while await readings.values() != [line()]:
                pass
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert b"Traceback" not in err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_lines_that_are_no_readings_are_refused_by_number_and_counted(
    readings: Readings,
) -> None:
    lines = [line(n=1), b"nonsense", b"", b'{"temperature": 1}', line(n=2), b"\xff"]
    done = await readings.publish("-", stdin=b"\n".join(lines))
    assert done.code == 1
    assert done.out == f"sent 2 readings to {readings.topic}\n"
    told = done.err.splitlines()
    assert [text.split(" at ")[0].split(":")[:2] for text in told[:3]] == [
        ["line 2", " not_json"],
        ["line 4", " no_device_id"],
        ["line 6", " not_utf8"],
    ]
    assert told[3:] == ["refused 3 lines that are no readings"]
    assert await readings.values() == [line(n=1), line(n=2)]


async def test_many_refused_lines_do_not_flood_the_screen(readings: Readings) -> None:
    done = await readings.publish("-", stdin=b"nonsense\n" * 1000)
    assert "refused 1000 lines" in done.err
    assert len(done.err.splitlines()) == 22


async def test_raw_sends_also_what_is_no_reading(readings: Readings) -> None:
    lines = [b"nonsense", b"\xff\xfe", line()]
    done = await readings.publish("-", "--raw", stdin=b"\n".join(lines))
    assert (done.code, done.err) == (0, "")
    assert {(record.value, record.key) for record in await readings.records()} == {
        (b"nonsense", None),
        (b"\xff\xfe", None),
        (line(), b"greenhouse-7"),
    }


async def test_preserve_time_gives_each_record_the_readings_own_time(readings: Readings) -> None:
    lines = [
        line(timestamp="2025-11-22T12:00:00Z"),
        line(timestamp=NOON + 1),
        line(timestamp=round(NOON * 1000) + 2000),
    ]
    await readings.publish("-", "--preserve-time", stdin=b"\n".join(lines))
    times = [record.timestamp / 1000 for record in await readings.records()]
    assert times == [NOON, NOON + 1, NOON + 2]


async def test_without_preserve_time_a_record_has_the_time_of_its_sending(
    readings: Readings,
) -> None:
    await readings.publish("-", stdin=line(timestamp=NOON))
    [record] = await readings.records()
    assert record.timestamp / 1000 > NOON + 1000


async def test_a_broker_that_cannot_be_reached_is_said_in_one_line(readings: Readings) -> None:
    done = await readings.publish("a", "temperature=1", "--bootstrap", "127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("smart-iot: Kafka can't be reached at 127.0.0.1:1")
    assert done.err.count("\n") == 1


async def test_a_topic_that_does_not_exist_is_said_in_one_line(
    kafka: RunningKafka, prefix: str
) -> None:
    done = await Readings(kafka.bootstrap, prefix).publish("a", "temperature=1")
    assert (done.code, done.out) == (2, "")
    assert f"topic {prefix}readings does not exist" in done.err
    assert done.err.count("\n") == 1
