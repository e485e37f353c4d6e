"""The fallback broker as it is: what our programs may rely on there, and who is kept off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.kafka import Fallback, Missing
from pipeline.kafka.broker import RunningKafka
from pipeline.names import Names
from pipeline.settings import Settings
from pipeline.topics import UnusableBroker, UnusableTopic, declare_topics
from tests.lab import create, started, until

WRITTEN = 100


@pytest.fixture
def fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a worker beside a fallback broker that runs."""
    broker = Fallback(tmp_path / "temporary")
    monkeypatch.chdir(tmp_path)
    with broker.prepared(Missing("none"), lambda _: None), started(*broker.command()):
        until(broker.answers, "the fallback broker answers")
        yield replace(Settings(), bootstrap=broker.bootstrap, broker="FALLBACK", partitions=2)


async def end_after(settings: Settings, topic: str) -> int:
    """The end that the broker reports after WRITTEN records, sent as our programs send them."""
    producer = AIOKafkaProducer(**settings.kafka(), **settings.delivery())
    consumer = AIOKafkaConsumer(**settings.kafka())
    try:
        await producer.start()
        sent = [await producer.send(topic, b"value", partition=0) for _ in range(WRITTEN)]
        await asyncio.gather(*sent)
        await consumer.start()
        place = TopicPartition(topic, 0)
        end: int = (await consumer.end_offsets([place]))[place]
        return end
    finally:
        await producer.stop()
        await consumer.stop()


async def test_the_end_of_what_our_programs_write_is_reported_right(fallback: Settings) -> None:
    await create(fallback.bootstrap, "topic")
    assert await end_after(fallback, "topic") == WRITTEN


async def test_topics_are_declared_and_then_found_fit(fallback: Settings) -> None:
    first = await declare_topics(fallback, Names(""))
    assert first == ("smart-iot-fallback", 2)
    assert await declare_topics(fallback, Names("")) == first


async def test_a_topic_that_can_not_work_is_refused_there_too(fallback: Settings) -> None:
    await create(fallback.bootstrap, "readings", partitions=3)
    await create(fallback.bootstrap, "alerts", partitions=2)
    with pytest.raises(UnusableTopic, match=r"^topic alerts has 2 partitions and readings has 3"):
        await declare_topics(fallback, Names(""))


async def test_a_worker_that_does_not_know_it_is_the_fallback_is_refused(
    fallback: Settings,
) -> None:
    with pytest.raises(UnusableBroker, match=r"is the fallback broker of `smart-iot up`, which"):
        await declare_topics(replace(fallback, broker="KAFKA"), Names(""))


async def test_a_worker_that_takes_a_real_kafka_for_the_fallback_is_refused(
    kafka: RunningKafka, prefix: str
) -> None:
    settings = replace(Settings(), bootstrap=kafka.bootstrap, broker="FALLBACK")
    with pytest.raises(UnusableBroker, match=r"^SMART_IOT_BROKER=FALLBACK, but .* another broker"):
        await declare_topics(settings, Names(prefix))


def test_a_producer_to_a_real_kafka_is_idempotent() -> None:
    assert Settings().delivery() == {"acks": "all", "enable_idempotence": True}
