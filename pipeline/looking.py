"""Settings in, a consumer without a group out; a span of a partition in, its records out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from pipeline.settings import Settings


def consumer(settings: Settings, **arguments: Any) -> AIOKafkaConsumer:
    """A consumer without a group, for looking things up; start it, and stop it."""
    return AIOKafkaConsumer(
        **settings.kafka(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        **arguments,
    )


async def read(
    consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Batches of records from `start` on until `end` is passed, though the last be compacted away.

    RuntimeError when the broker gives nothing for 10 s though the end isn't reached.
    """
    if start >= end:
        return
    consumer.assign([tp])
    consumer.seek(tp, start)
    silent = 0
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=1_000)
        silent = 0 if batches else silent + 1
        if silent >= 10:
            raise RuntimeError(f"{tp} ends at {end}, but nothing comes after offset {start}")
        for records in batches.values():
            start = records[-1].offset
            yield records
