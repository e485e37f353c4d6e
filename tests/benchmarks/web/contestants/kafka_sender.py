"""Events of alerts to `alerts`, as a worker sends them: idempotent, acknowledged by all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from pipeline.names import Names
from pipeline.settings import from_environment
from tests.benchmarks.web.marks import name_of
from tests.benchmarks.web.pace import Send, run
from tests.pipeline.web.alert_log import event


def text(number: int) -> bytes:
    """An event of the contract; every one of an alert of its own."""
    name = name_of(number)
    return json.dumps(event(name, device_id=name), separators=(",", ":")).encode()


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    settings = from_environment()
    topic = Names(settings.topic_prefix).alerts
    async with AIOKafkaProducer(**settings.kafka(), **settings.delivery()) as producer:

        async def send(number: int) -> None:
            await producer.send_and_wait(topic, text(number), name_of(number).encode())

        yield send


if __name__ == "__main__":
    run(sending)
