"""Records of one partition in, where they begin in it out, once the broker has them.

Faust's producer takes a record at a time, at the price of an asyncio Future and some thirty
microseconds each. What goes out by the thousand (rows, alerts, windows, forwarded readings, checks)
is put into Kafka's batches here, and only a batch is waited for.

The order is kept: a batch is sent once the one before it is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from pipeline.names import LARGEST_RECORD
from pipeline.settings import Settings

BATCH_BYTES: Final = 1 << 19

Headers = Sequence[tuple[str, bytes]]


class Outbound(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Written(NamedTuple):
    """So many records that follow each other from `offset` on."""

    offset: int
    records: int


class Batches:
    """Connects when there is something to send; `stop` in the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def send(
        self, topic: str, partition: int, records: Iterable[Outbound]
    ) -> Sequence[Written]:
        """Returns when the broker has them all; KafkaError if it hasn't, or only some."""
        producer = await self._connected()
        written = []
        batch, count = producer.create_batch(), 0
        for key, value, headers in records:
            if not _fits(batch, key, value, headers):
                written.append(await self._send(producer, batch, topic, partition, count))
                batch, count = producer.create_batch(), 0
                if not _fits(batch, key, value, headers):  # never yet: the first one always did
                    raise MessageSizeTooLargeError(f"a record of {len(value or b'')} bytes")
            count += 1
        if count:
            written.append(await self._send(producer, batch, topic, partition, count))
        return written

    async def _send(
        self,
        producer: AIOKafkaProducer,
        batch: BatchBuilder,
        topic: str,
        partition: int,
        count: int,
    ) -> Written:
        done = await (await producer.send_batch(batch, topic, partition=partition))
        return Written(done.offset, count)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._settings.kafka(),
                    **{"max_batch_size": BATCH_BYTES, **self._settings.delivery()},
                    max_request_size=LARGEST_RECORD,
                )
                await producer.start()
                self._producer = producer
            return self._producer

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()


def _fits(batch: BatchBuilder, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
    put = batch.append(key=key, value=value, timestamp=None, headers=list(headers))
    return put is not None
