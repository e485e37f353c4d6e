"""A topic's name in, the id that it got when it was created out: who is created anew gets another.

Kafka tells it since 3.1, in a form of its metadata that aiokafka doesn't ask for.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from pipeline.web.source import REQUEST_TIMEOUT_MS

NO_ID = UUID(int=0)
TEXT, TAGS = CompactString("utf-8"), ("tags", TaggedFields)


class Uuid(AbstractType):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class Answer(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT), TAGS),
        ),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", TEXT),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                TAGS,
            ),
        ),
        TAGS,
    )


class Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = Answer
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", TEXT), TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        TAGS,
    )


class Asking(Request[Question]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[Question]) -> Question:
        return request_struct_class([(NO_ID, self._topic, {})], False, False, {})


async def identity(kafka: dict[str, Any], topic: str) -> str:
    """Its name, where the broker knows no ids."""
    client = AIOKafkaClient(**kafka, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        answer = await client.send(client.get_random_node(), Asking(topic))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return topic
    finally:
        await client.close()
    error, _, topic_id, *_ = answer.topics[0]
    if error:
        raise for_code(error)
    return topic if topic_id == NO_ID else str(topic_id)
