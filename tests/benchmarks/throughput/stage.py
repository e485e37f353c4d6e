"""A running Kafka in; the topic that all contestants read, how far each has read it, and a clean
place for each turn, out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaProducer
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.names import Names
from tests.benchmarks.throughput.generator import Record

PREFIX = "bench-"  # of the topics that ours has, and so of what it reads
TOPIC = Names(PREFIX).readings
PARTITIONS = 4
QUIET = {"log_level": 2}  # that the broker is gone, in the end, is no news
BATCH_BYTES = 64 << 10
TELL_EVERY = 1_000_000
FORGET_WITHIN = 30.0  # seconds for the broker to know that topics are gone


class Stage:
    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
        self.ends = [0] * PARTITIONS

    def fill(self, records: Iterable[Record], say: Callable[[str], None]) -> None:
        self._create(TOPIC, Names(PREFIX).policies()[TOPIC] | {"retention.bytes": "-1"})
        asyncio.run(self._fill(records, say))

    async def _fill(self, records: Iterable[Record], say: Callable[[str], None]) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, enable_idempotence=True, max_batch_size=BATCH_BYTES
        )
        await producer.start()
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        try:
            for number, record in enumerate(records, 1):
                place, _, value, at = record
                full = batches[place].append(key=record.key, value=value, timestamp=at) is None
                if full:
                    await producer.send_batch(batches[place], TOPIC, partition=place)
                    batches[place] = producer.create_batch()
                    batches[place].append(key=record.key, value=value, timestamp=at)
                self.ends[place] += 1
                if number % TELL_EVERY == 0:
                    say(f"filling the topic… {number:,} readings")
            for place, batch in enumerate(batches):
                if batch.record_count():
                    await producer.send_batch(batch, TOPIC, partition=place)
            await producer.flush()
        finally:
            await producer.stop()

    def watch(self, group: str) -> Consumer:
        """For `committed`; it never joins the group."""
        return Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, **QUIET})

    def committed(self, watching: Consumer) -> list[int]:
        """Readings of each partition that the group has committed."""
        places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
        try:
            return [max(0, found.offset) for found in watching.committed(places, 10.0)]
        except KafkaException as error:
            if error.args[0].code() in (KafkaError.NOT_COORDINATOR, KafkaError._TIMED_OUT):
                return [0] * PARTITIONS  # the group is about to be known
            raise

    def clean(self, prefix: str) -> None:
        """No topic and no group of this prefix is left, but for the readings; and an empty one for
        the alerts of those who can't make it themselves."""
        topics = self._topics(prefix)
        if topics:
            for done in self._admin.delete_topics(topics).values():
                done.result()
        deadline = time.monotonic() + FORGET_WITHIN
        while self._topics(prefix) or self._groups_left(prefix):
            if time.monotonic() > deadline:
                raise TimeoutError(f"something of {prefix} is still there")
            time.sleep(0.2)
        if prefix != PREFIX:
            self._create(f"{prefix}alerts", {})

    def _topics(self, prefix: str) -> list[str]:
        known = self._admin.list_topics(timeout=10).topics
        return [name for name in known if prefix in name and name != TOPIC]

    def _groups_left(self, prefix: str) -> bool:
        """Asks for them to be deleted; one whose member has just been killed takes a while."""
        known = self._admin.list_consumer_groups().result().valid
        groups = [one.group_id for one in known if prefix in one.group_id]
        if groups:
            self._admin.delete_consumer_groups(groups)
        return bool(groups)

    def _create(self, topic: str, policy: dict[str, str]) -> None:
        (done,) = self._admin.create_topics(
            [NewTopic(topic, PARTITIONS, 1, config=policy)]
        ).values()
        done.result()
