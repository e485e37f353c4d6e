"""Rows, the fence, and recovery from a changelog: on a real RocksDB, and a real broker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.metrics import WORKER
from pipeline.rows import PARTITION_KEY, Outgoing, Row, generation_of
from pipeline.rules.arrival import Lag
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.rules.silence import Silence
from pipeline.streams import app
from tables import devices
from tables.devices import Progress, Table
from tables.partition import READINGS, Partition

T0 = 1_700_000_000.0


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(app, "folder", tmp_path)
    return Table(app, name="devices", key_type=bytes, value_type=bytes, partitions=1)


def test_what_is_in_no_file_yet_is_bounded_for_all_partitions_together(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "WRITTEN_BYTES", 16 << 20)
    options = devices.Options(write_buffer_size=8 << 20)
    stores = [options.open(tmp_path / str(number)) for number in range(8)]
    for number in range(70):
        for store in stores:
            store.put(b"%d" % number, bytes(100_000))
    deadline = time.monotonic() + 10.0  # files are written behind our back
    while held(stores) > 32 << 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert held(stores) <= 32 << 20, "of 56 MB that were written"
    for store in stores:
        store.close()


def held(stores: list[Any]) -> int:
    return sum(store.property_int_value("rocksdb.cur-size-all-mem-tables") for store in stores)


def row_of(device_id: str, applied: int, temperature: float = 36.0) -> Row:
    device = Device(device_id)
    Engine().reading(device, Reading(device_id, None, T0, {"temperature": temperature}), T0, 0.0)
    return Row(device, [applied, -1, -1])


def test_a_row_comes_back_as_it_was_with_its_outbox():
    row = row_of("attic", 17)
    row.outbox = (Outgoing("temperature-high", "id", 1, True, b"{}"),)
    packed = row.packed(generation=4)
    again = Row.unpacked("attic", msgspec.msgpack.decode(packed))
    assert again.packed(4) == packed
    assert again.device == row.device
    assert [event.packed() for event in again.outbox] == [
        ["temperature-high", "id", 1, True, b"{}"]
    ]
    assert generation_of(packed) == 4


def test_a_partition_comes_back_with_its_clock_and_its_offsets(table):
    partition = Partition(0)
    partition.generation = 3
    partition.applied = [70, 5, 2]
    partition.applied_time = 1234
    partition.clock.see(T0, wall=T0)
    partition.epoch = 2
    partition.note_applied(5, (1, 900))
    partition.silences.add(Silence("s1", "attic", None, None, "ada", "paint", T0, T0, T0 + 60))
    row = row_of("attic", 70)
    table.write(0, [(b"attic", row.packed(3)), (PARTITION_KEY, partition.packed())], upto=9)
    loaded = Partition(0)
    for _ in table.load(loaded):
        pass
    assert loaded.packed() == partition.packed()
    assert loaded.rows.keys() == {"attic"}
    assert loaded.rows["attic"].packed(3) == row.packed(3)
    assert table.stored_offset(0) == 9


def test_a_device_whose_clock_is_wrong_is_known_when_its_partition_is_taken_over(table):
    rows = [(b"attic", row_of("attic", 70).packed(3))]
    wrong = row_of("cellar", 71)
    wrong.device.lag = Lag(T0 - 3_600, T0, 3_600.0)
    table.write(0, [*rows, (b"cellar", wrong.packed(3))], upto=9)
    loaded = Partition(0)
    for _ in table.load(loaded):
        pass
    assert loaded.wrong_clocks == {"cellar"}


def test_how_far_a_changelog_is_read_is_in_the_metrics_and_now_and_then_in_the_log(
    monkeypatch, caplog
):
    monkeypatch.setattr("tables.devices.TELL_EVERY", -1.0)
    caplog.set_level("INFO")
    progress = Progress(7, 1_000, 5_000)
    left = [WORKER.get_sample_value("smart_iot_recovery_records_left", {"partition": "7"})]
    for offset in (3_000, 5_000):
        progress.reach(offset)
        left.append(WORKER.get_sample_value("smart_iot_recovery_records_left", {"partition": "7"}))
    assert left == [4_000, 2_000, 0]
    assert "partition 7: 2000 of 4000 changes are read" in caplog.text


def test_a_partition_remembers_the_place_of_the_last_reading_from_every_other_one():
    partition = Partition(0)
    partition.clock.see(T0, wall=T0)
    partition.note_applied(5, (1, 900))
    again = Partition(0)
    again.read(msgspec.msgpack.decode(partition.packed()))
    for place, known in {(0, 901): True, (1, 900): True, (1, 901): False, (2, 0): False}.items():
        assert again.has_applied(5, place) is known
    assert not again.has_applied(6, (0, 0))
    assert again.is_mixed()


def test_a_row_that_is_ahead_of_its_partition_says_so_itself():
    row = row_of("attic", 17)
    partition = Partition(0)
    partition.note_applied_by_row(row, 5, (0, 3))
    again = Row.unpacked("attic", msgspec.msgpack.decode(row.packed(1)))
    assert partition.row_has_applied(again, 5, (0, 3))
    assert not partition.row_has_applied(again, 5, (0, 4))
    assert not partition.row_has_applied(again, 6, (0, 3))
    assert partition.row_has_applied(again, 0, (0, 17))
    assert not partition.row_has_applied(again, 0, (0, 18))


def test_rows_of_before_readings_were_brought_home_and_commands_were_taken_are_read():
    row = row_of("attic", 17)
    partition = Partition(0)
    partition.generation, partition.applied = 3, [17, 4, -1]
    old_row = msgspec.msgpack.decode(row.packed(3))[:5]
    old_partition = msgspec.msgpack.decode(partition.packed())[:5]
    old_row[2], old_partition[2] = [17, -1], [17, 4]  # nor of commands
    again = Partition(0)
    again.read([1, *old_partition[1:]])
    assert (again.packed(), again.is_mixed()) == (partition.packed(), False)
    assert Row.unpacked("attic", [1, *old_row[1:]]).packed(3) == row.packed(3)


def test_a_recreated_source_makes_every_row_forget_its_offset_of_that_source_alone():
    partition = Partition(0)
    partition.rows["attic"] = row_of("attic", 70)
    partition.rows["attic"].applied_check = 8
    partition.applied = [70, 8, 3]
    partition.forget_offsets(READINGS)
    assert partition.applied == [-1, 8, 3]
    assert partition.rows["attic"].applied == [-1, 8, -1]
    assert [row.device.id for row in partition.dirty] == ["attic"]
    assert partition.epoch == 1  # its old places, which other partitions know, are passed


class Record:
    def __init__(self, key: bytes, value: bytes | None) -> None:
        self.key, self.value = key, value


@pytest.mark.parametrize(
    ("writes", "survivor"),
    [
        ([(1, 10), (1, 20)], (1, 20)),  # one owner goes on
        ([(1, 10), (2, 10), (1, 30)], (2, 10)),  # an owner that was over writes late
        ([(2, 10), (2, 10)], (2, 10)),
        ([(1, 10), (2, 5)], (2, 5)),  # the new owner may know less: it decides again
    ],
)
def test_of_two_rows_the_one_with_the_higher_generation_and_offset_survives(
    table, writes, survivor
):
    records: list[Any] = [Record(b"attic", row_of("attic", at).packed(gen)) for gen, at in writes]
    found = table._winners(0, records)
    assert found[b"attic"] == row_of("attic", survivor[1]).packed(survivor[0])


def test_what_is_stored_already_counts_as_well(table):
    stored = row_of("attic", 10).packed(5)
    table.write(0, [(b"attic", stored)], upto=0)
    late: list[Any] = [Record(b"attic", row_of("attic", 99).packed(4))]
    assert table._winners(0, late) == {}
    assert table._winners(0, late, written={b"attic"}) == {}


@pytest.fixture
async def changelog(kafka: Any, table: Table, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A changelog on a real broker: `write(key, value)` appends to it."""
    topic = f"{prefix}changelog"
    monkeypatch.setattr(Table, "changelog_topic_name", topic)

    class Changelog:
        async def create(self) -> None:
            await admin.create_topics([NewTopic(topic, 1, 1)])

        async def delete(self) -> None:
            await admin.delete_topics([topic])

        async def write(self, key: bytes, value: bytes | None) -> None:
            await producer.send_and_wait(topic, value, key=key, partition=0)

        async def recover(self) -> int:
            looking = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, fetch_max_wait_ms=100)
            await looking.start()
            try:
                return await table.recover(0, looking)
            finally:
                await looking.stop()

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    made = Changelog()
    await made.create()
    await producer.start()
    yield made
    await producer.stop()
    await admin.close()


def stored(table: Table) -> dict[bytes, bytes]:
    return dict(table.store._visible_items(table.partition_db(0)))


async def test_recovery_reads_the_changelog_to_its_end_and_goes_on_from_there(table, changelog):
    rows = {b"d%d" % n: row_of(f"d{n}", n).packed(1) for n in range(2_500)}
    await asyncio.gather(*(changelog.write(key, row) for key, row in rows.items()))
    await changelog.write(b"d1", row_of("d1", 0).packed(0))  # late, of an owner that was over
    assert await changelog.recover() == 2_501
    assert stored(table) == rows
    await changelog.write(b"d0", None)
    assert await changelog.recover() == 2_502
    assert stored(table).keys() == rows.keys() - {b"d0"}
    assert table.stored_offset(0) == 2_501
    assert await changelog.recover() == 2_502


async def test_a_store_that_is_ahead_of_its_changelog_is_of_another_history_and_is_dropped(
    table, changelog
):
    for n in range(5):
        await changelog.write(b"old%d" % n, row_of("old", n).packed(1))
    await changelog.recover()
    await changelog.delete()
    await changelog.create()
    await changelog.write(b"new", row_of("new", 0).packed(1))
    assert await changelog.recover() == 1
    assert stored(table).keys() == {b"new"}


async def test_an_empty_changelog_is_recovered_at_once(table, changelog):
    assert await changelog.recover() == 0
    assert stored(table) == {}
