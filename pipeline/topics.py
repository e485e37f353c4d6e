"""Names in; topics that exist, each fit for its use, out: created, or refused in words.

`declare_topics` is for a worker, which needs them now; `review_topics` for whoever looks after
them, and wants to know all that differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    NotControllerError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)

from pipeline.names import FALLBACK_CLUSTER, Names
from pipeline.settings import Settings

log = logging.getLogger(__name__)

APPEARS_WITHIN = 10  # seconds


class UnusableBroker(Exception):
    """The broker isn't the kind that the settings say; the text says what to change."""


class UnusableTopic(Exception):
    """A topic of the contract exists in a form that can't work; the text says what to change."""


async def declare_topics(settings: Settings, names: Names) -> tuple[str, int]:
    """Create what is missing and check the rest; the cluster's id and the partition count.

    UnusableBroker where it is of another kind than the settings say; UnusableTopic where a topic
    exists with other partitions or a policy that loses data; KafkaError where it can't be asked.
    """
    async with _asked(settings) as (admin, cluster):
        found = await _found(admin, names)
        partitions = _partitions(found, settings, names)
        for name, policy in names.policies().items():
            if name not in found:
                await _create(admin, name, partitions, settings.replication, policy)
            elif (fault := _other_number(found[name], partitions, names)) is not None:
                raise UnusableTopic(f"topic {name} {fault}; recreate {name} with {partitions}")
        await _refuse_lossy(admin, names, found)
        return cluster, partitions


@dataclass(frozen=True, slots=True)
class Review:
    """What became of a topic: its number of partitions, whether we have just created it, and in
    words what is not as it should be."""

    topic: str
    partitions: int
    created: bool
    faults: tuple[str, ...]


async def review_topics(settings: Settings, names: Names, *, create: bool) -> list[Review]:
    """Every topic, those that are missing created if they shall be; none that exists is changed.

    UnusableBroker where it is of another kind than the settings say; KafkaError where it can't be
    asked.
    """
    async with _asked(settings) as (admin, _):
        found = await _found(admin, names)
        partitions = _partitions(found, settings, names)
        created: set[str] = set()
        refused: dict[str, str] = {}
        if create:
            created, refused = await _completed(admin, names, found, partitions, settings)
            found = await _appeared(
                admin, names, names.policies().keys() - created - refused.keys()
            )
            partitions = _partitions(found, settings, names)
        actual = await _configurations(admin, found)

        def review(name: str, policy: Mapping[str, str]) -> Review:
            if name in created or name not in found:
                faults = [] if name in created else [refused.get(name, "is missing")]
                return Review(name, partitions, name in created, tuple(faults))
            faults = _faults(found[name], partitions, settings.replication, names)
            faults += _differences(actual[name], policy)
            return Review(name, len(found[name]["partitions"]), False, tuple(faults))

        return [review(name, policy) for name, policy in names.policies().items()]


@asynccontextmanager
async def _asked(settings: Settings) -> AsyncIterator[tuple[AIOKafkaAdminClient, str]]:
    """A client of the broker, which is of the kind that the settings say, and the cluster's id."""
    admin = AIOKafkaAdminClient(**settings.kafka())
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
        _refuse_other_broker(settings, cluster)
        yield admin, cluster
    finally:
        await admin.close()


async def _found(admin: AIOKafkaAdminClient, names: Names) -> dict[str, Any]:
    """Those of our topics that exist."""
    topics = await admin.describe_topics(await admin.list_topics())
    return {topic["topic"]: topic for topic in topics if topic["topic"] in names.policies()}


def _partitions(found: Mapping[str, Any], settings: Settings, names: Names) -> int:
    """The number that all topics share: that of the readings, once they exist."""
    known = found.get(names.readings)
    return len(known["partitions"]) if known else settings.partitions


def _other_number(topic: Mapping[str, Any], partitions: int, names: Names) -> str | None:
    count = len(topic["partitions"])
    if count == partitions:
        return None
    return (
        f"has {count} partitions and {names.readings} has {partitions}: a device's state, alerts "
        "and readings must share one number"
    )


def _faults(topic: Mapping[str, Any], partitions: int, replication: int, names: Names) -> list[str]:
    other = _other_number(topic, partitions, names)
    replicas = min((len(one["replicas"]) for one in topic["partitions"]), default=0)
    fewer = f"has {replicas} replicas and should have {replication}"
    return [*filter(None, [other]), *([fewer] if replicas < replication else [])]


def _differences(actual: Mapping[str, str] | str, policy: Mapping[str, str]) -> list[str]:
    """Between what is configured, or why that can't be seen, and what should be."""
    if isinstance(actual, str):
        return [f"has a policy that can't be seen: {actual}"]
    return [
        f"has {name}={actual.get(name, '')} and should have {value}"
        for name, value in policy.items()
        if actual.get(name) != value
    ]


async def _completed(
    admin: AIOKafkaAdminClient,
    names: Names,
    found: Mapping[str, Any],
    partitions: int,
    settings: Settings,
) -> tuple[set[str], dict[str, str]]:
    """Those that were missing and are created; those that couldn't be, and why."""
    created, refused = set(), {}
    for name, policy in names.policies().items():
        if name not in found:
            try:
                if await _create(admin, name, partitions, settings.replication, policy):
                    created.add(name)
            except UnusableTopic as error:
                refused[name] = str(error).removeprefix(f"topic {name} ")
    return created, refused


async def _appeared(
    admin: AIOKafkaAdminClient, names: Names, expected: Collection[str]
) -> dict[str, Any]:
    """Those of our topics that exist. A broker tells some moments late of what was just created."""
    for _ in range(APPEARS_WITHIN):
        found = await _found(admin, names)
        if found.keys() >= set(expected):
            break
        await asyncio.sleep(1.0)
    return found


def _refuse_other_broker(settings: Settings, cluster: str) -> None:
    """What the fallback broker lacks is done without on that broker only, and never unasked."""
    if settings.fallback and cluster != FALLBACK_CLUSTER:
        raise UnusableBroker(
            f"SMART_IOT_BROKER=FALLBACK, but {settings.bootstrap} is another broker: "
            "leave that setting to `smart-iot up`"
        )
    if cluster == FALLBACK_CLUSTER and not settings.fallback:
        raise UnusableBroker(
            f"{settings.bootstrap} is the fallback broker of `smart-iot up`, which carries the "
            "worker of that command and no other"
        )


async def _create(
    admin: AIOKafkaAdminClient, name: str, partitions: int, replication: int, policy: dict[str, str]
) -> bool:
    """Whether we have: another one may have, two workers start at once."""
    topic = NewTopic(name, partitions, replication, topic_configs=policy)
    for _topic, code, *text in (await admin.create_topics([topic])).topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("created topic %s with %d partitions", name, partitions)
            return True
        if issubclass(error, (RequestTimedOutError, NotControllerError)):
            raise error
        if error is not TopicAlreadyExistsError:
            why = next(filter(None, text), error.__name__)
            raise UnusableTopic(f"topic {name} can't be created: {why}")
    return False


async def _refuse_lossy(admin: AIOKafkaAdminClient, names: Names, found: Iterable[str]) -> None:
    wanted = dict.fromkeys((names.changelog, names.alerts_open), "compact")
    wanted |= dict.fromkeys((names.readings, names.alerts, names.rejected, names.windows), "delete")
    looked_at = [name for name in found if name in wanted]
    for name, actual in (await _configurations(admin, looked_at)).items():
        if isinstance(actual, str):
            log.warning("the policy of topic %s can't be seen: %s", name, actual)
            continue
        policy = actual.get("cleanup.policy", "")
        if wanted[name] != policy:
            raise UnusableTopic(
                f"topic {name} has cleanup.policy={policy}; it must be {wanted[name]}, "
                "otherwise records that we rely on are deleted"
            )


async def _configurations(
    admin: AIOKafkaAdminClient, topics: Iterable[str]
) -> dict[str, dict[str, str] | str]:
    """Topic to what is configured for it, or why that can't be seen."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    if not resources:
        return {}
    return {
        name: text or for_code(error).__name__
        if error
        else {entry[0]: entry[1] for entry in entries}
        for response in await admin.describe_configs(resources)
        for error, text, _kind, name, entries in response.resources
    }
