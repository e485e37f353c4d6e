"""Names in; topics that exist, each fit for its use, out: created, or refused in words."""

from __future__ import annotations

import logging
from collections.abc import Iterable

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


class UnusableBroker(Exception):
    """The broker isn't the kind that the settings say; the text says what to change."""


class UnusableTopic(Exception):
    """A topic of the contract exists in a form that can't work; the text says what to change."""


async def declare_topics(settings: Settings, names: Names) -> tuple[str, int]:
    """Create what is missing and check the rest; the cluster's id and the partition count.

    UnusableBroker where it is of another kind than the settings say; UnusableTopic where a topic
    exists with other partitions or a policy that loses data; KafkaError where it can't be asked.
    """
    admin = AIOKafkaAdminClient(**settings.kafka())
    try:
        await admin.start()
        cluster = (await admin.describe_cluster())["cluster_id"]
        _refuse_other_broker(settings, cluster)
        found = {
            topic["topic"]: topic
            for topic in await admin.describe_topics(await admin.list_topics())
            if topic["topic"] in names.policies()
        }
        known = found.get(names.readings)
        partitions = len(known["partitions"]) if known else settings.partitions
        for name, policy in names.policies().items():
            if name not in found:
                await _create(admin, name, partitions, settings.replication, policy)
            elif len(found[name]["partitions"]) != partitions:
                raise UnusableTopic(
                    f"topic {name} has {len(found[name]['partitions'])} partitions and "
                    f"{names.readings} has {partitions}: a device's state, alerts and readings "
                    f"must share one number; recreate {name} with {partitions}"
                )
        await _refuse_lossy(admin, names, [name for name in names.policies() if name in found])
        return cluster, partitions
    finally:
        await admin.close()


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
) -> None:
    topic = NewTopic(name, partitions, replication, topic_configs=policy)
    for _topic, code, *text in (await admin.create_topics([topic])).topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("created topic %s with %d partitions", name, partitions)
        elif issubclass(error, (RequestTimedOutError, NotControllerError)):
            raise error
        elif error is not TopicAlreadyExistsError:  # that one: two workers start at once
            why = next(filter(None, text), error.__name__)
            raise UnusableTopic(f"topic {name} can't be created: {why}")


async def _refuse_lossy(admin: AIOKafkaAdminClient, names: Names, existing: Iterable[str]) -> None:
    wanted = dict.fromkeys((names.changelog, names.alerts_open), "compact")
    wanted |= dict.fromkeys((names.readings, names.alerts, names.rejected, names.windows), "delete")
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name) for name in existing if name in wanted
    ]
    if not resources:
        return
    for response in await admin.describe_configs(resources):
        for error, text, _kind, name, entries in response.resources:
            if error:
                log.warning("the policy of topic %s can't be seen: %s", name, text)
                continue
            policy = next((entry[1] for entry in entries if entry[0] == "cleanup.policy"), "")
            if wanted[name] != policy:
                raise UnusableTopic(
                    f"topic {name} has cleanup.policy={policy}; it must be {wanted[name]}, "
                    "otherwise records that we rely on are deleted"
                )
