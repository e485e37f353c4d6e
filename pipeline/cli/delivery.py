"""Records in; the same on `readings` out, in order, each acknowledged; or a refusal in words."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.cli import Refusal
from pipeline.names import FALLBACK_CLUSTER, Names
from pipeline.settings import Settings

IN_FLIGHT = 10_000  # records sent and not acknowledged yet
LONGEST_RECORD = 16 << 20  # what the broker takes
TIMEOUT_MS = 10_000


class Record(NamedTuple):
    value: bytes
    key: bytes | None
    timestamp_ms: int | None
    """None: the time of its sending."""


class Delivery:
    """`sent` counts what Kafka has acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.topic = Names(settings.topic_prefix).readings
        self.sent = 0

    async def send(self, records: AsyncIterator[Record]) -> None:
        """All of them. A failure is told once it is known, at the latest with the next record."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said once, by us
        waiting: deque[asyncio.Future[Any]] = deque()
        try:
            async with self._producer() as producer:
                async for record in records:
                    future = await producer.send(
                        self.topic, record.value, record.key, None, record.timestamp_ms
                    )
                    future.add_done_callback(_seen)
                    waiting.append(future)
                    while waiting and (waiting[0].done() or len(waiting) > IN_FLIGHT):
                        await self._acknowledged(waiting)
                while waiting:
                    await self._acknowledged(waiting)
        except KafkaError as error:
            raise Refusal(
                f"Kafka at {self._settings.bootstrap} took {self.sent} readings, then no more: "
                f"{error}"
            ) from None

    async def _acknowledged(self, waiting: deque[asyncio.Future[Any]]) -> None:
        await waiting.popleft()
        self.sent += 1

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        await self._check_topic()
        producer = AIOKafkaProducer(
            **self._settings.kafka(),
            max_request_size=LONGEST_RECORD,
            request_timeout_ms=TIMEOUT_MS,
            **{"linger_ms": 5, **self._settings.delivery()},
        )
        try:
            await producer.start()
            yield producer
        finally:
            await producer.stop()

    async def _check_topic(self) -> None:
        """A producer would wait long for a topic that isn't there, and not say so."""
        client = AIOKafkaClient(**self._settings.kafka(), request_timeout_ms=TIMEOUT_MS)
        try:
            await client.bootstrap()
            request = MetadataRequest([self.topic], allow_auto_topic_creation=False)
            answer = await client.send(client.get_random_node(), request)
        except (KafkaError, OSError) as error:
            raise Refusal(
                f"Kafka can't be reached at {self._settings.bootstrap}: {error}"
            ) from None
        finally:
            await client.close()
        if any(error for error, *_ in answer.topics):
            raise Refusal(
                f"topic {self.topic} does not exist at {self._settings.bootstrap}: "
                "the worker creates it when it starts"
            )
        if answer.cluster_id == FALLBACK_CLUSTER:
            self._settings = replace(self._settings, broker="FALLBACK")


def _seen(future: asyncio.Future[Any]) -> None:
    """The first failure is the one that is told; asyncio need not complain of the others."""
    if not future.cancelled():
        future.exception()
