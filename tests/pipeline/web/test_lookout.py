"""What happens to a topic that is being read in; what the lookout says of it out."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import AIOKafkaConsumer

from pipeline.settings import Settings
from pipeline.web import lookout
from pipeline.web.lookout import Ids, ids_of, look_out
from pipeline.web.source import Changed, Gone, Topics, consuming, existing, partitions_of
from tests.pipeline.web.alert_log import AlertLog, event
from tests.pipeline.web.conftest import PATIENCE


class Reading:
    def __init__(self) -> None:
        self.caught_up = True
        self.problem: str | None = None


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK", 0.1)


async def found(settings: Settings, log: AlertLog) -> Topics:
    _, topics = await existing(settings.kafka(), [log.alerts], lambda _: None)
    return topics


async def fill(log: AlertLog, number: int) -> None:
    for seq in range(1, number + 1):
        await log.raw(log.alerts, json.dumps(event(seq=seq)).encode(), b"one")


async def read_up_to(consumer: AIOKafkaConsumer, topics: Topics, offset: int) -> None:
    partitions = [tp for topic in topics for tp in partitions_of(topic, topics)]
    await consumer.end_offsets(partitions)  # so that it knows of them
    consumer.assign(partitions)
    for tp in partitions:
        consumer.seek(tp, offset)


async def looked(consumer: AIOKafkaConsumer, topics: Topics, ids: Ids) -> None:
    async with asyncio.timeout(PATIENCE):
        await look_out(Reading(), consumer, topics, ids)


async def test_a_topic_that_was_deleted_and_created_again_is_gone_though_it_is_longer_now(
    unborn_log: AlertLog, settings: Settings
) -> None:
    await unborn_log.create(1)
    topics = await found(settings, unborn_log)
    async with consuming(settings.kafka()) as consumer:
        ids = await ids_of(consumer, topics)
        assert ids != {unborn_log.alerts: unborn_log.alerts}
        await unborn_log.delete()
        await unborn_log.create(1)
        await fill(unborn_log, 5)
        await read_up_to(consumer, topics, 3)
        with pytest.raises(Gone, match="deleted and created again"):
            await looked(consumer, topics, ids)


async def test_a_topic_that_ends_before_where_we_were_is_gone(
    unborn_log: AlertLog, settings: Settings
) -> None:
    await unborn_log.create(1)
    await fill(unborn_log, 2)
    topics = await found(settings, unborn_log)
    async with consuming(settings.kafka()) as consumer:
        ids = await ids_of(consumer, topics)
        await read_up_to(consumer, topics, 3)
        with pytest.raises(Gone, match="ends before where we were"):
            await looked(consumer, topics, ids)


async def test_a_topic_that_got_partitions_has_changed(
    unborn_log: AlertLog, settings: Settings
) -> None:
    await unborn_log.create(1)
    topics = await found(settings, unborn_log)
    async with consuming(settings.kafka()) as consumer:
        ids = await ids_of(consumer, topics)
        await read_up_to(consumer, topics, 0)
        await unborn_log.grow(2)
        await consumer._client.force_metadata_update()
        with pytest.raises(Changed):
            await looked(consumer, topics, ids)
