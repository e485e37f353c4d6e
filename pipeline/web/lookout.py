"""A consumer in; whether its topics are still what they were, and whether the broker speaks, out.

aiokafka tells none of it: it waits for a topic that was deleted, reads on in one of the same name,
and knows nothing of partitions that were added.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NoReturn, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from pipeline.web.identity import identities
from pipeline.web.source import Changed, Gone, Offsets, Topics, heed_cancellation

LOOK: Final = 5.0  # seconds between two looks
ANSWERED: Final = 5.0  # seconds that the broker may take

Ids = Mapping[str, str]


class Reading(Protocol):
    """What reads, and why what it has read isn't known."""

    caught_up: bool
    problem: str | None


async def ids_of(consumer: AIOKafkaConsumer, topics: Topics) -> Ids:
    """Over a connection that it has: there is no other that need not be opened each time."""
    return await identities(consumer._client, topics)


async def look_out(
    reading: Reading, consumer: AIOKafkaConsumer, topics: Topics, ids: Ids
) -> NoReturn:
    """Gone or Changed where the topics aren't what they were; a silent broker is its problem."""
    while True:
        heed_cancellation()
        await asyncio.sleep(LOOK)
        check_unchanged(consumer, topics)
        try:
            async with asyncio.timeout(ANSWERED):
                now = await ids_of(consumer, topics)
                ends = await consumer.end_offsets(list(consumer.assignment()))
        except (TimeoutError, KafkaError):
            reading.problem = "Kafka doesn't answer"
            continue
        if reading.caught_up:
            reading.problem = None
        check_same(ids, now)
        await check_reached(consumer, ends)


def check_unchanged(consumer: AIOKafkaConsumer, topics: Topics) -> None:
    """Gone or Changed where topics aren't there, or have other partitions."""
    for topic, partitions in topics.items():
        now = consumer.partitions_for_topic(topic)
        if not now:
            raise Gone(f"{topic} is gone")
        if now != partitions:
            raise Changed(f"{topic} has other partitions than before")


def check_same(ids: Ids, now: Ids) -> None:
    """Gone where one is another of the same name."""
    for topic in ids:
        if now[topic] != ids[topic]:
            raise Gone(f"{topic} was deleted and created again")


async def check_reached(consumer: AIOKafkaConsumer, ends: Offsets) -> None:
    """Gone where a partition ends before where we are: it was recreated."""
    for tp, end in ends.items():
        if end < await consumer.position(tp):
            raise Gone(f"{tp.topic} partition {tp.partition} ends before where we were")
