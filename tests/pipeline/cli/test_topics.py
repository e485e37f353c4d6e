"""`smart-iot topics` against a real broker: what it creates, what it says, what it leaves alone."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.kafka.broker import RunningKafka, free_port
from pipeline.names import DAY_MS, Names
from pipeline.settings import Settings
from pipeline.topics import Review, declare_topics, review_topics
from tests.lab import until

PARTITIONS = 3


@pytest.fixture
def settings(kafka: RunningKafka, prefix: str) -> Settings:
    return Settings(bootstrap=kafka.bootstrap, topic_prefix=prefix, partitions=PARTITIONS)


@pytest.fixture
def names(prefix: str) -> Names:
    return Names(prefix)


def run(settings: Settings, *arguments: str) -> Result:
    environment = {
        "SMART_IOT_BOOTSTRAP": settings.bootstrap,
        "SMART_IOT_TOPIC_PREFIX": settings.topic_prefix,
        "SMART_IOT_PARTITIONS": str(settings.partitions),
        "SMART_IOT_REPLICATION": str(settings.replication),
    }
    return CliRunner().invoke(main, ["topics", *arguments], env=environment)


async def create(bootstrap: str, *topics: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics(list(topics))
        assert not any(code for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()


def reviewed(settings: Settings, names: Names) -> list[Review]:
    return asyncio.run(review_topics(settings, names, create=False))


def test_what_is_missing_is_created_and_the_second_time_all_is_as_it_should_be(settings, names):
    for state in ("created", "as it should be", "as it should be"):
        done = run(settings)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines() == [
            f"{name}: {state}, {PARTITIONS} partitions" for name in names.policies()
        ]


def test_looking_alone_creates_nothing_and_tells_what_is_missing(settings, names):
    for _ in range(2):
        done = run(settings, "--look")
        assert done.exit_code == 1
        assert done.output.splitlines() == [f"{name} is missing" for name in names.policies()]


def test_what_it_created_is_what_a_worker_wants(settings, names):
    assert run(settings).exit_code == 0
    _cluster, partitions = asyncio.run(declare_topics(settings, names))
    assert partitions == PARTITIONS
    until(
        lambda: not any(review.faults for review in reviewed(settings, names)),
        "all is as it should be",
    )


def test_what_a_worker_created_is_as_it_should_be(settings, names):
    asyncio.run(declare_topics(settings, names))
    until(lambda: run(settings, "--look").exit_code == 0, "all is as it should be")


def test_every_difference_is_told_each_time_and_none_is_changed(settings, names):
    short, long = str(DAY_MS // 24), str(365 * DAY_MS)
    wanted = names.policies()
    topics = [
        NewTopic(names.readings, 4, 1, topic_configs=wanted[names.readings]),
        NewTopic(names.alerts, 4, 1, topic_configs={"retention.ms": short}),
        NewTopic(names.alerts_open, 4, 1, topic_configs={"retention.ms": long}),
        NewTopic(names.windows, 1, 1, topic_configs=wanted[names.windows]),
    ]
    asyncio.run(create(settings.bootstrap, *topics))
    missing = len(wanted) - len(topics)  # a broker tells some moments late of what it has
    until(lambda: run(settings, "--look").output.count("is missing") == missing, "they are there")
    told = [
        f"{names.readings}: as it should be, 4 partitions",
        f"{names.alerts} has retention.ms={short} and should have {7 * DAY_MS}",
        f"{names.alerts_open} has cleanup.policy=delete and should have compact",
        f"{names.alerts_open} has delete.retention.ms={DAY_MS} and should have {30 * DAY_MS}",
        f"{names.windows} has 1 partitions and {names.readings} has 4: a device's state, alerts "
        "and readings must share one number",
    ]
    created = [n for n in wanted if not any(topic.name == n for topic in topics)]
    for state in ("created", "as it should be"):  # those beside the wrong ones, by the number of
        done = run(settings)  # partitions that the readings have
        assert done.exit_code == 1
        lines = done.output.splitlines()
        assert [line for line in lines if line in told] == told
        assert set(lines) - set(told) == {f"{name}: {state}, 4 partitions" for name in created}


def test_more_replicas_than_asked_for_are_fine_and_fewer_are_told(settings, names):
    assert run(settings).exit_code == 0
    settings = Settings(**{name: getattr(settings, name) for name in ("bootstrap", "topic_prefix")})
    assert run(settings).exit_code == 0  # what exists has its own number of partitions
    more = Settings(bootstrap=settings.bootstrap, topic_prefix=settings.topic_prefix, replication=2)
    done = run(more)
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"{name} has 1 replicas and should have 2" for name in names.policies()
    ]


def test_what_the_broker_refuses_to_create_is_told_for_each_topic(kafka, prefix, names):
    done = run(Settings(bootstrap=kafka.bootstrap, topic_prefix=prefix, replication=2))
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert len(lines) == len(names.policies())
    for name, line in zip(names.policies(), lines, strict=True):
        assert line.startswith(f"{name} can't be created: ")


def test_without_a_broker_one_line_says_so(settings):
    nowhere = f"127.0.0.1:{free_port()}"
    done = run(settings, "--bootstrap", nowhere)
    assert done.exit_code == 2
    assert done.output.startswith(f"smart-iot: Kafka can't be reached at {nowhere}: ")
    assert len(done.output.splitlines()) == 1
