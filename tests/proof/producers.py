"""The producers that our users have, each at its default partitioner, with the key and without."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer as ConfluentProducer
from kafka import KafkaProducer

from tests.proof.kafka import Sent

SLICE = 40  # readings through one producer, before it is another one's turn

Send = Callable[[list[tuple[bytes | None, bytes, int]]], Awaitable[None]]


async def publish_by_all(bootstrap: str, topic: str, readings: Iterable[Sent], seed: int) -> None:
    """In order of time, a slice by each in turn as drawn: so one device's come by all of them."""
    draw, waiting = random.Random(seed), list(readings)
    async with AsyncExitStack() as stack:
        producers = [
            await _aiokafka(stack, bootstrap, topic),
            _kafka_python(stack, bootstrap, topic),
            _confluent(bootstrap, topic),
        ]
        while waiting:
            send, keyed = draw.choice(producers), draw.random() < 0.5
            head, waiting = waiting[:SLICE], waiting[SLICE:]
            await send([_record(reading, keyed=keyed) for reading in head])


def _record(reading: Sent, *, keyed: bool) -> tuple[bytes | None, bytes, int]:
    value = json.dumps({"device_id": reading.device_id, **reading.fields}).encode()
    return reading.device_id.encode() if keyed else None, value, round(reading.at * 1000)


async def _aiokafka(stack: AsyncExitStack, bootstrap: str, topic: str) -> Send:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await stack.enter_async_context(producer)

    async def send(records: list[tuple[bytes | None, bytes, int]]) -> None:
        for key, value, at in records:
            await producer.send(topic, value, key, timestamp_ms=at)
        await producer.flush()

    return send


def _kafka_python(stack: AsyncExitStack, bootstrap: str, topic: str) -> Send:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    stack.callback(producer.close, 5)

    async def send(records: list[tuple[bytes | None, bytes, int]]) -> None:
        for key, value, at in records:
            producer.send(topic, value, key, timestamp_ms=at)
        producer.flush(30)

    return send


def _confluent(bootstrap: str, topic: str) -> Send:
    producer = ConfluentProducer({"bootstrap.servers": bootstrap, "enable.idempotence": True})

    async def send(records: list[tuple[bytes | None, bytes, int]]) -> None:
        for key, value, at in records:
            producer.produce(topic, value, key, timestamp=at)
        assert producer.flush(30) == 0

    return send
