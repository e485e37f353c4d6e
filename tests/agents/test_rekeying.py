"""Where a device is at home, and how a reading gets there: whole, in order, with its origin."""

from __future__ import annotations

import random

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from agents.item import Origin
from agents.rekeying import Forward, Forwarder
from pipeline.batches import Batches
from pipeline.kafka.broker import free_port
from pipeline.records import Rejected
from pipeline.rejection import LONGEST_KEY
from pipeline.settings import Settings
from tests.agents.shell import Record
from tests.proof.kafka import read_topic


def test_an_origin_comes_back_from_the_headers_of_a_record():
    origin = Origin("readings", 4, (2, 700), 1_700_000_000_123)
    assert Origin.of(Record(9, b"", headers=origin.headers())) == origin  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [[], [("topic", b"readings")], [*Origin("r", 1, (0, 1), 1).headers(), ("epoch", b"x")]],
)
def test_a_record_without_an_origin_is_not_ours(headers):
    with pytest.raises(Rejected, match="no_origin"):
        Origin.of(Record(9, b"", headers=headers))  # type: ignore[arg-type]


def forward(number: int, size: int = 20, key: bytes | None = b"key") -> Forward:
    value = b"%d" % number + b" " * size
    return Forward(number % 2, key, value, Origin("readings", 4, (0, number), number))


@pytest.fixture
async def inboxes(kafka, prefix):
    """A topic of two partitions."""
    topic = f"{prefix}inboxes"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    return topic


@pytest.fixture
async def forwarder(kafka, inboxes):
    batches = Batches(Settings(bootstrap=kafka.bootstrap))
    yield Forwarder(batches, inboxes)
    await batches.stop()


async def test_forwards_arrive_in_order_each_in_the_inbox_of_its_home(kafka, inboxes, forwarder):
    sent = [forward(number) for number in range(2_000)]
    await forwarder.send(sent[:500])
    await forwarder.send(sent[500:])
    found = await read_topic(kafka.bootstrap, inboxes)
    assert [record.value for record in found if record.partition == 0] == [
        each.value for each in sent if each.home == 0
    ]
    assert [Origin.of(record) for record in found if record.partition == 1] == [
        each.origin for each in sent if each.home == 1
    ]


async def test_more_than_a_batch_holds_arrives_in_order_too(kafka, inboxes, forwarder):
    draw = random.Random(3)
    sent = [forward(2 * number, size=draw.randrange(200_000)) for number in range(40)]
    await forwarder.send(sent)
    found = await read_topic(kafka.bootstrap, inboxes)
    assert [record.value for record in found] == [each.value for each in sent]


@pytest.mark.parametrize("key", [None, b"k" * (LONGEST_KEY + 1)])
async def test_the_largest_reading_there_can_be_is_forwarded(kafka, inboxes, forwarder, key):
    await forwarder.send([forward(0), forward(2, size=(1 << 20) - 10, key=key), forward(4)])
    found = await read_topic(kafka.bootstrap, inboxes)
    assert [len(record.value) for record in found] == [21, (1 << 20) - 9, 21]


async def test_what_can_not_be_sent_is_an_error(inboxes):
    nobody = Batches(Settings(bootstrap=f"127.0.0.1:{free_port()}"))
    with pytest.raises(KafkaError):
        await Forwarder(nobody, inboxes).send([forward(0)])
    await nobody.stop()
