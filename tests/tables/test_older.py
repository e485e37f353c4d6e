"""The bytes of older rows in, the same devices and alerts out; and a refusal of newer ones.

What `older/` holds was packed by the code of the commit that each file names, after the same
readings: the attic is too hot, the cellar is well, and the shed's low battery is not announced yet.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline import rows
from pipeline.looking import consumer
from pipeline.rows import IMPORT_KEY, NOTHING, PARTITION_KEY, Row, decode, encode, wins
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.rules.version import NewerState
from pipeline.settings import Settings
from pipeline.streams import app
from pipeline.web.fleet import Fleet
from tables.devices import Table, UnfinishedImport
from tables.partition import Partition
from tests.proof.kafka import ends
from tests.proof.worker import Worker

T0 = 1_700_000_000.0
OLDER = sorted((Path(__file__).parent / "older").glob("*.json"))
HOT = "9d81bd4f-4cb2-5bf7-8911-f609b4e5d01b"  # the alert's id, which follows from its start


def state(path: Path) -> dict[bytes, bytes]:
    packed: dict[str, str] = json.loads(path.read_text())["state"]
    return {key.encode(): base64.b64decode(value) for key, value in packed.items()}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(app, "folder", tmp_path)
    return Table(app, name="devices", key_type=bytes, value_type=bytes, partitions=1)


def loaded(table: Table, found: dict[bytes, bytes]) -> Partition:
    table.write(0, found.items(), upto=9)
    partition = Partition(0)
    for _ in table.load(partition):
        pass
    return partition


def next_reading(row: Row, **values: float) -> list[Any]:
    at = T0 + 60
    return Engine().reading(row.device, Reading(row.device.id, None, at, values), at, 0.0)[1]


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_a_row_of_an_older_version_goes_on_where_it_was(table, path):
    found = state(path)
    assert {value[1] for value in found.values()} == {int(path.stem.split("-")[1])}
    partition = loaded(table, found)
    attic, cellar, shed = (partition.rows[name] for name in ("attic", "cellar", "shed"))
    assert (attic.device.values, cellar.device.readings) == ({"temperature": 34.0}, 2)
    (episode,) = attic.device.open_alerts()
    assert (episode.alert_id, episode.seq, episode.count) == (HOT, 1, 2)
    assert [event.seq for event in shed.outbox] == [1]
    (resolved,) = next_reading(attic, temperature=20.0)
    assert (resolved.event, resolved.alert_id, resolved.seq) == ("resolved", HOT, 2)
    assert next_reading(shed, battery=12.0) == []  # it is open already


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_what_is_applied_to_an_older_row_stays_applied(table, path):
    partition = loaded(table, state(path))
    assert partition.applied[:2] == [80, 4]
    assert (partition.generation, partition.clock.clock) == (7, T0 + 20)
    assert partition.rows["attic"].applied[:2] == [73, 4]
    assert len(partition.applied) == len(partition.rows["attic"].applied) == len(NOTHING)
    assert partition.has_applied(0, (0, 80))
    if "1" not in path.stem:
        assert partition.has_applied(5, (1, 900))
        assert partition.rows["cellar"].foreign == {5: (1, 900)}


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_an_older_row_that_is_written_again_is_of_today(table, path):
    partition = loaded(table, state(path))
    again = {name.encode(): row.packed(8) for name, row in partition.rows.items()}
    again[PARTITION_KEY] = partition.packed()
    assert {value[1] for value in again.values()} == {rows.VERSION}
    once_more = loaded(table, again)
    assert once_more.packed() == partition.packed()
    assert {name: row.packed(8) for name, row in once_more.rows.items()} == {
        name: row.packed(8) for name, row in partition.rows.items()
    }


# -- newer ones


def newer(value: bytes) -> bytes:
    return encode([99, *msgspec.msgpack.decode(value)[1:]])


def row(device_id: str, generation: int = 1) -> bytes:
    return Row(Device(device_id), list(NOTHING)).packed(generation)


@pytest.mark.parametrize(
    "read",
    [
        lambda: decode(newer(row("attic"))),
        lambda: wins(newer(row("attic")), None),
        lambda: Device.unpack("attic", [99, *Device("attic").pack()[1:]]),
        lambda: PartitionClock.unpack([99, *PartitionClock().pack()[1:]]),
        lambda: Fleet().apply(0, b"attic", newer(row("attic"))),
    ],
    ids=["row", "changelog", "device", "clock", "web view"],
)
def test_what_a_newer_version_has_written_is_refused_in_words(read):
    with pytest.raises(NewerState, match=r"written by a newer smart-iot.* version 99"):
        read()


async def changelog(kafka, name: str, records: list[tuple[bytes, bytes]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    for key, value in records:
        await producer.send_and_wait(name, value, key, partition=0)
    await producer.stop()


async def recovered(kafka, table: Table) -> None:
    looking = consumer(Settings(bootstrap=kafka.bootstrap))
    await looking.start()
    try:
        await table.recover(0, looking)
    finally:
        await looking.stop()


async def test_a_local_store_is_not_touched_by_a_newer_changelog(kafka, prefix, table, monkeypatch):
    name = f"{prefix}changelog"
    monkeypatch.setattr(Table, "changelog_topic_name", name)
    await changelog(kafka, name, [(b"attic", row("attic", 1)), (b"attic", newer(row("attic", 2)))])
    with pytest.raises(NewerState):
        await recovered(kafka, table)
    assert table.stored_offset(0) is None


async def test_half_an_import_is_no_state(kafka, prefix, table, monkeypatch):
    name = f"{prefix}changelog"
    monkeypatch.setattr(Table, "changelog_topic_name", name)
    await changelog(kafka, name, [(IMPORT_KEY, encode([rows.VERSION, 1, NOTHING]))])
    with pytest.raises(UnfinishedImport, match="--replace"):
        await recovered(kafka, table)


@pytest.mark.slow
async def test_a_worker_that_finds_a_newer_state_says_so_ends_and_changes_nothing(
    kafka, prefix, tmp_path
):
    worker = Worker(kafka.bootstrap, prefix, tmp_path, SMART_IOT_PARTITIONS="2")
    with worker:
        await worker.ready()
        await worker.leave()
    topic = f"{prefix}smart-iot-devices-changelog"
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    # the second partition alone: the first one could be claimed before that is seen
    await producer.send_and_wait(topic, newer(row("attic", 1_000)), PARTITION_KEY, partition=1)
    await producer.stop()
    before = await ends(kafka.bootstrap, topic)
    with worker:
        await worker.ended(within=30)
        assert worker.code() == 70
    assert "written by a newer smart-iot: a row is of version 99" in worker.tail()
    assert "start the newer one again" in worker.tail()
    assert await ends(kafka.bootstrap, topic) == before
