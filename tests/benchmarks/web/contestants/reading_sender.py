"""Readings that set off an alert to `readings`, each of a device of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from pipeline.names import Names
from pipeline.settings import from_environment
from tests.benchmarks.web.marks import name_of
from tests.benchmarks.web.pace import Send, run


@asynccontextmanager
async def sending() -> AsyncIterator[Send]:
    settings = from_environment()
    topic = Names(settings.topic_prefix).readings
    async with AIOKafkaProducer(**settings.kafka(), acks="all") as producer:

        async def send(number: int) -> None:
            name = name_of(number)
            text = json.dumps({"device_id": name, "temperature": 36.2})
            await producer.send_and_wait(topic, text.encode(), name.encode())

        yield send


if __name__ == "__main__":
    run(sending)
