"""Records in and out of a real broker: publish, read a topic whole, the state in a changelog."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from jsonschema import Draft202012Validator

from pipeline.schemas import schema

AT_ONCE = 5_000


class Sent(NamedTuple):
    """A reading to publish: its device, its fields and its time (s)."""

    device_id: str
    fields: dict[str, Any]
    at: float


async def publish(
    bootstrap: str,
    topic: str,
    readings: Iterable[Sent],
    rate: float = 0,
    hurry: asyncio.Event | None = None,
) -> int:
    """Keyed by device, each record with the reading's own time; at `rate` a second, 0: at once.
    After `hurry` the rest is sent at once too."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=2)
    await producer.start()
    started, number = time.monotonic(), 0
    try:
        waiting = []
        for reading in readings:
            waiting.append(await send(producer, topic, reading))
            number += 1
            if len(waiting) >= AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
            if rate and number % 50 == 0 and not (hurry and hurry.is_set()):
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    return number


async def send(producer: AIOKafkaProducer, topic: str, reading: Sent) -> asyncio.Future[Any]:
    """Under way; it is there once the future is done."""
    value = json.dumps({"device_id": reading.device_id, **reading.fields}).encode()
    key, at = reading.device_id.encode(), round(reading.at * 1000)
    sent: asyncio.Future[Any] = await producer.send(topic, value, key, timestamp_ms=at)
    return sent


async def read_topic(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Every record of the topic, partition by partition, up to its end now."""
    return [record async for record in records(bootstrap, topic)]


async def records(bootstrap: str, topic: str) -> AsyncIterator[ConsumerRecord]:
    """The same, one after the other: for what doesn't fit into memory."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = consumer.partitions_for_topic(topic)
        if partitions is None:
            await consumer._client.force_metadata_update()
            partitions = consumer.partitions_for_topic(topic) or ()
        tps = [TopicPartition(topic, number) for number in sorted(partitions)]
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while await consumer.position(tp) < ends[tp]:
                for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
                    for record in batch:
                        yield record
    finally:
        await consumer.stop()


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        tps = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()


async def alerts(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    """Every event of `alerts` as it came, repeats included."""
    return as_said("alert-event", await read_topic(bootstrap, prefix + "alerts"))


def as_said(kind: str, records: Iterable[ConsumerRecord]) -> list[dict[str, Any]]:
    """What they hold, each as its JSON Schema says; of very many, the first thousand are looked
    at."""
    found = [json.loads(record.value) for record in records]
    validator = Draft202012Validator(schema(kind))
    for one in found[:1_000]:
        validator.validate(one)
    return found


async def open_alerts(bootstrap: str, prefix: str) -> dict[str, dict[str, Any]]:
    """What `alerts-open` says is wrong now: key to last event."""
    found: dict[str, dict[str, Any]] = {}
    async for record in records(bootstrap, prefix + "alerts-open"):
        if record.value is None:
            found.pop(record.key.decode(), None)
        else:
            found[record.key.decode()] = json.loads(record.value)
    return found


async def states(bootstrap: str, prefix: str) -> dict[str, Any]:
    """Device to its packed state, as the changelog's last row says; generations left out."""
    found: dict[str, Any] = {}
    async for record in records(bootstrap, prefix + "smart-iot-devices-changelog"):
        key = record.key.decode()
        if record.value is None:
            found.pop(key, None)
        elif not key.startswith("*"):
            content = msgspec.msgpack.decode(record.value)
            _version, _generation, applied, device, outbox, _foreign = content
            found[key] = {"applied": applied[0], "device": device, "outbox": outbox}
    return found


async def quiet(bootstrap: str, prefix: str, *, seconds: float = 3.0, within: float = 90.0) -> None:
    """Wait until everything published is committed by the worker and no topic of ours grows."""
    deadline = time.monotonic() + within
    last: object = None
    since = time.monotonic()
    while time.monotonic() - since < seconds:
        assert time.monotonic() < deadline, f"still busy after {within} s: {last}"
        now = [
            await committed_lag(bootstrap, prefix),
            await ends(bootstrap, prefix + "alerts"),
        ]
        if now != last or now[0] != 0:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.25)


async def committed_lag(bootstrap: str, prefix: str) -> int:
    """Readings of the topic that the worker's group has not committed."""
    done = await committed(bootstrap, prefix)  # first: it never seems ahead of the end
    found = await ends(bootstrap, prefix + "readings")
    return sum(end - done.get(number, 0) for number, end in found.items())


async def committed(bootstrap: str, prefix: str) -> dict[int, int]:
    """How far the worker's group has committed each partition of the readings."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(prefix + "smart-iot")
    finally:
        await admin.close()
    return {
        tp.partition: max(0, at.offset)
        for tp, at in offsets.items()
        if tp.topic == prefix + "readings"
    }
