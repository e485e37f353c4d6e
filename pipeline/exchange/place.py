"""Settings in, what they name out: a cluster, our topics there, the workers' group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)

from pipeline.looking import consumer
from pipeline.names import FALLBACK_CLUSTER, Names
from pipeline.settings import Settings
from pipeline.web.identity import identities

TIMEOUT_MS = 10_000
PATIENCE = 10.0  # seconds


class Unusable(Exception):
    """It can't be done there; the text says why, and what to do."""


class Place:
    """`of` opens it; KafkaError or OSError where Kafka can't be reached."""

    def __init__(
        self, settings: Settings, looking: AIOKafkaConsumer, admin: AIOKafkaAdminClient
    ) -> None:
        self.settings = settings
        self.names = Names(settings.topic_prefix)
        self.looking = looking
        self.cluster = ""
        self.partitions = 0
        self._admin = admin

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator[Place]:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is said once, by us
        looking = consumer(settings, request_timeout_ms=TIMEOUT_MS)
        admin = AIOKafkaAdminClient(**settings.kafka(), request_timeout_ms=TIMEOUT_MS)
        try:
            await looking.start()
            await admin.start()
            place = cls(settings, looking, admin)
            place.cluster = (await admin.describe_cluster())["cluster_id"]
            if place.cluster == FALLBACK_CLUSTER:
                raise Unusable("the fallback broker of `smart-iot up` keeps nothing to be moved")
            yield place
        finally:
            await admin.close()
            await looking.stop()

    @property
    def consumed(self) -> tuple[str, str, str]:
        """The topics of which a row says what is applied, in its order."""
        return self.names.readings, self.names.checks, self.names.commands

    async def see(self, within: float = 0.0) -> None:
        """How many partitions there are, and that the group can be asked. Unusable where a topic is
        missing; one that was just created may take a moment."""
        deadline = asyncio.get_running_loop().time() + within
        wanted = self.names.policies().keys()
        while missing := wanted - set(await self._admin.list_topics()):
            if asyncio.get_running_loop().time() >= deadline:
                raise Unusable(
                    f"{self.settings.bootstrap} has no topic {min(missing)}: is "
                    "SMART_IOT_TOPIC_PREFIX that of the workers?"
                )
            await asyncio.sleep(0.2)
        topics = await self._admin.describe_topics([self.names.changelog])
        self.partitions = len(topics[0]["partitions"])
        await self._find_coordinator()

    async def _find_coordinator(self) -> None:
        """Where there never was a group, the first question about one comes too early."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.workers()
                    return
                except (
                    GroupLoadInProgressError,
                    GroupCoordinatorNotAvailableError,
                    NotCoordinatorForGroupError,
                ):
                    await asyncio.sleep(0.2)

    async def identities(self) -> dict[str, str]:
        """Of the consumed topics, under their names without a prefix; empty where unknown."""
        found = await identities(self.looking._client, self.consumed)
        prefix = self.settings.topic_prefix
        return {
            topic.removeprefix(prefix): "" if known == topic else known
            for topic, known in found.items()
        }

    async def workers(self) -> int:
        """How many are in the group now."""
        answers: list[Any] = await self._admin.describe_consumer_groups([self.names.app])
        count = 0
        for error, _id, _state, _kind, _protocol, members, *_ in answers[0].groups:
            if error:
                raise for_code(error)
            count += len(members)
        return count

    async def committed(self, topic: str) -> dict[int, int]:
        """Partition to how far the group is."""
        found = await self._admin.list_consumer_group_offsets(self.names.app)
        return {tp.partition: max(0, at.offset) for tp, at in found.items() if tp.topic == topic}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """For the group, of which nobody may be there."""
        if not offsets:
            return
        member = AIOKafkaConsumer(
            **self.settings.kafka(), group_id=self.names.app, enable_auto_commit=False
        )
        await member.start()
        try:
            member.assign(list(offsets))
            await member.commit(dict(offsets))
        finally:
            await member.stop()

    async def beyond(self, topic: str, offsets: Mapping[int, int]) -> int:
        """How many records come there after these."""
        tps = [TopicPartition(topic, number) for number in offsets]
        begins = await self.looking.beginning_offsets(tps)
        ends = await self.looking.end_offsets(tps)
        return sum(max(0, ends[tp] - max(begins[tp], offsets[tp.partition])) for tp in tps)
