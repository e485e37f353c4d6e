"""Names of topics in, a consumer of them without a group out; and why a reading of them ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from pipeline.rules.version import NewerState

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds
TOPIC_POLL = 0.5  # seconds between two looks for topics that don't exist yet
REQUEST_TIMEOUT_MS = 10_000

Offsets = dict[TopicPartition, int]
Topics = dict[str, set[int]]


class Changed(Exception):
    """The topics aren't what they were when this reading began: begin again, where we are."""


class Gone(Exception):
    """What we read up to is no more: begin anew."""


@asynccontextmanager
async def consuming(kafka: dict[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_min_bytes=1,
        fetch_max_wait_ms=500,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=10_000,  # so that new partitions are seen
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def existing(
    kafka: dict[str, Any], names: Iterable[str], waiting: Callable[[str], None]
) -> tuple[str, Topics]:
    """The cluster's id and the topics' partitions, once all of them exist."""
    names = list(names)
    client = AIOKafkaClient(**kafka, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        while True:
            # not describe_topics: where a broker creates what it is asked for, that would too
            request = MetadataRequest(names, allow_auto_topic_creation=False)
            answer = await client.send(client.get_random_node(), request)
            found = {
                name: {partition for _, partition, *_ in partitions}
                for error, name, _, partitions in answer.topics
                if not error
            }
            if len(found) == len(names):
                return answer.cluster_id or "", found
            waiting(f"waiting for {', '.join(sorted(set(names) - set(found)))} to be created")
            await asyncio.sleep(TOPIC_POLL)
    finally:
        await client.close()


def heed_cancellation() -> None:
    """CancelledError where this task was cancelled, and the word of it was lost on its way: Python
    3.11's `asyncio.wait_for`, which aiokafka waits with, forgets it where the answer comes in the
    same moment (python/cpython#86296). The task itself remembers; and also, for ever, that a task
    group was ended by a child while it waited at its end (python/cpython#116720): it must be at
    work in its own body."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def partitions_of(topic: str, topics: Topics) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for partition in sorted(topics[topic])]


def cause(error: Exception) -> Exception:
    """The first error inside a task group's."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def is_expected(error: Exception) -> bool:
    """What a broker does to who reads from it, or a newer worker; else it is a fault of ours."""
    return isinstance(error, (Gone, Changed, KafkaError, TimeoutError, OSError, NewerState))
