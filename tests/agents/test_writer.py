"""A flush goes row, store, alerts, acknowledgement; what fails stops it there."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError

from agents import writer as module
from agents.writer import Closed, Writer, take_cut, take_slice
from pipeline.batches import Outbound
from pipeline.metrics import WORKER
from pipeline.rejection import Rejection
from pipeline.rows import PARTITION_KEY, Outgoing, Row
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.rules.window import Closed as ClosedWindow
from pipeline.rules.window import Window
from tables.partition import Partition
from tests.agents.shell import T0, App, Batches, Chunk, Table, ids, partition


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def table(app: App) -> Table:
    return Table(app.log)


@pytest.fixture
def writer(app: App, table: Table) -> Writer:
    return Writer(app, table, Batches(app.producer))  # type: ignore[arg-type]


def closed(device_id: str, revision: int = 2) -> ClosedWindow:
    window = Window(1_700_000_000 // 300 * 300.0, 1_700_000_000 // 300 * 300.0 + 300)
    for number in range(revision):
        window.add({"temperature": 20.0 + number}, window.start + number)
    return ClosedWindow(device_id, window, "temperature")


def fired(seq: int = 1) -> Outgoing:
    return Outgoing("temperature-high", "id-1", seq, True, b'{"seq": %d}' % seq)


def dirty(owned: Partition, device_id: str, *events: Outgoing) -> Row:
    row = owned.row(device_id)
    row.outbox += tuple(events)
    owned.mark_dirty(row)
    return row


async def test_the_order_is_row_store_alerts_acknowledgement(app, writer):
    owned = partition()
    dirty(owned, "attic", fired())
    owned.pending.append(Chunk(app.log))
    await writer.flush([owned])
    assert app.log == [
        *(app.names.changelog, app.names.changelog, "store"),
        *(app.names.alerts, app.names.alerts_open, "ack"),
    ]


async def test_closed_windows_are_out_before_the_rows_that_have_closed_them(app, writer):
    owned = partition(3)
    dirty(owned, "attic")
    owned.windows += [closed("attic", 2), closed("attic", 3)]
    owned.pending.append(Chunk(app.log))
    await writer.flush([owned])
    assert app.log == [app.names.windows, *[app.names.changelog] * 2, "store", "ack"]
    (sent,) = app.producer.to(app.names.windows)
    assert (sent.key, sent.partition) == (b"attic", 3)
    assert msgspec.json.decode(sent.value)["revision"] == 3


async def test_windows_of_a_cut_that_fails_come_again_with_their_readings(app, writer):
    """The process ends; its successor starts from the rows that are there."""
    app.producer.fails[app.names.changelog] = KafkaTimeoutError()
    owned = partition()
    dirty(owned, "attic")
    owned.windows.append(closed("attic"))
    owned.pending.append(Chunk(app.log))
    with pytest.raises(KafkaTimeoutError):
        await writer.flush([owned])
    assert app.log == [app.names.windows]


async def test_the_partitions_own_row_is_the_last_of_a_cut(app, writer, table):
    owned = partition()
    dirty(owned, "zebra")
    dirty(owned, "attic")
    await writer.flush([owned])
    keys = [record.key for record in app.producer.to(app.names.changelog)]
    assert keys == [b"attic", b"zebra", PARTITION_KEY]
    assert table.upto == 2


async def test_a_row_goes_out_with_its_outbox_and_again_without_it(app, writer):
    owned = partition()
    row = dirty(owned, "attic", fired(1), fired(2))
    await writer.flush([owned])
    assert row.outbox == ()
    assert [record.value for record in app.producer.to(app.names.alerts)] == [
        *(b'{"seq": 1}', b'{"seq": 2}'),
    ]
    await writer.flush([owned])
    first, second = (r for r in app.producer.to(app.names.changelog) if r.key == b"attic")
    assert len(first.value) > len(second.value)
    await writer.flush([owned])
    assert len([r for r in app.producer.to(app.names.changelog) if r.key == b"attic"]) == 2


async def test_what_has_decided_an_event_is_written_and_announced_without_waiting_for_the_cut(
    app, writer
):
    owned = partition()
    row = dirty(owned, "attic", fired())
    dirty(owned, "cellar")
    owned.urgent["attic"] = row
    owned.windows += [closed("attic"), closed("cellar")]
    owned.pending.append(Chunk(app.log))
    await writer.announce([owned])
    assert app.log == [
        *(app.names.windows, app.names.windows, app.names.changelog, "store"),
        *(app.names.alerts, app.names.alerts_open),
    ]
    assert [record.key for record in app.producer.to(app.names.changelog)] == [b"attic"]
    assert (row.outbox, ids(owned.dirty), len(owned.pending)) == ((), ["attic", "cellar"], 1)
    await writer.announce([owned])
    assert app.producer.to(app.names.alerts)[1:] == []
    await writer.flush([owned])
    assert app.log[-2:] == ["store", "ack"]


async def test_what_was_rejected_is_out_before_the_row_that_would_skip_it_the_next_time(
    app, writer
):
    owned = partition()
    owned.urgent["attic"] = dirty(owned, "attic", fired())
    owned.rejected.append(Rejection(b"k", b"?", []))
    await writer.announce([owned])
    assert app.log[:2] == [app.names.rejected, app.names.changelog]
    assert owned.rejected == []


async def test_many_that_have_decided_an_event_at_once_go_out_in_slices(app, writer, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 2)
    owned = partition()
    for name in "abcde":
        owned.urgent[name] = dirty(owned, name, fired())
    await writer.announce([owned])
    assert app.log.count("store") == 3
    assert [record.key for record in app.producer.to(app.names.alerts)] == [
        *map(str.encode, "abcde")
    ]
    assert owned.urgent == {}


async def test_a_row_that_is_ahead_of_its_partition_keeps_what_it_has_seen_of_elsewhere(
    app, writer
):
    """The cut's own row is of before: what it doesn't say must stay with the device's."""
    owned = partition(3)
    owned.note_applied(5, (0, 70))
    row = dirty(owned, "attic")
    row.foreign = {5: (0, 70)}
    cut = take_cut(owned)
    row.foreign = {5: (0, 71)}
    owned.note_applied(5, (0, 71))
    take_slice(owned, cut.rows, cut.origins)
    assert row.foreign == {5: (0, 71)}


async def test_a_cut_is_written_in_slices_and_what_is_urgent_goes_with_the_next(
    app, writer, monkeypatch
):
    monkeypatch.setattr(module, "SLICE", 2)
    owned = partition()
    for name in "abcde":
        dirty(owned, name)
    owned.pending.append(Chunk(app.log))
    go_on, told = writer.step, []

    async def decide_meanwhile(name: str, of: Partition) -> None:
        if name == "store" and not told:
            told.append(dirty(owned, "a", fired()))
            owned.urgent["a"] = told[0]
        await go_on(name, of)

    monkeypatch.setattr(writer, "step", decide_meanwhile)
    await writer.flush([owned])
    assert [record.key for record in app.producer.to(app.names.changelog)] == [
        *(b"a", b"b", b"a", b"c", b"d", b"e", PARTITION_KEY),
    ]
    assert app.log.index(app.names.alerts) < app.log.index("ack")
    assert ids(owned.dirty) == ["a"]


async def test_alerts_go_to_the_devices_own_partition_and_a_resolution_leaves_a_tombstone(
    app, writer
):
    owned = partition(5)
    resolved = Outgoing("temperature-high", "id-1", 2, False, b"{}")
    dirty(owned, "attic", fired(), resolved)
    await writer.flush([owned])
    assert {record.partition for record in app.producer.sent} == {5}
    opened, closed = app.producer.to(app.names.alerts_open)
    assert opened.key == closed.key == b"attic|temperature-high"
    assert (opened.value, closed.value) == (b'{"seq": 1}', None)
    assert dict(closed.headers) == {"alert_id": b"id-1", "seq": b"2", "generation": b"0"}


async def test_nothing_is_acknowledged_before_every_partition_of_the_cut_is_written(
    app, writer, monkeypatch
):
    """A reading changes the device of another partition than the one in which it arrived."""
    arrived, home = partition(0), partition(1)
    home.changelog_next = 1  # the producer of these tests counts both together
    arrived.pending.append(Chunk(app.log))
    dirty(home, "attic", fired())
    go_on = writer.step

    async def fail(name: str, of: Partition) -> None:
        if (name, of) == ("store", home):
            raise KafkaTimeoutError
        await go_on(name, of)

    monkeypatch.setattr(writer, "step", fail)
    with pytest.raises(KafkaTimeoutError):
        await writer.flush([arrived, home])
    assert "ack" not in app.log


async def test_a_row_says_what_it_has_seen_of_elsewhere_until_its_partition_says_it(app, writer):
    owned = partition(3)
    row = dirty(owned, "attic")
    owned.note_applied(5, (0, 70))
    owned.note_applied_by_row(row, 5, (0, 70))
    await writer.flush([owned])
    dirty(owned, "attic")
    await writer.flush([owned])
    first, second = (
        Row.unpacked("attic", msgspec.msgpack.decode(record.value))
        for record in app.producer.to(app.names.changelog)
        if record.key == b"attic"
    )
    assert (first.foreign, second.foreign) == ({5: (0, 70)}, None)
    assert owned.has_applied(5, (0, 70))


async def test_what_changes_during_a_flush_belongs_to_the_next_cut(app, writer, monkeypatch):
    owned = partition()
    row = dirty(owned, "attic", fired(1))
    go_on = writer.step

    async def change_meanwhile(name: str, of: Partition) -> None:
        if name == "announce":
            dirty(owned, "attic", fired(2))
            owned.pending.append(Chunk(app.log))
        await go_on(name, of)

    monkeypatch.setattr(writer, "step", change_meanwhile)
    await writer.flush([owned])
    assert [event.seq for event in row.outbox] == [2]
    assert len(app.producer.to(app.names.alerts)) == 1
    assert "ack" not in app.log
    assert len(owned.pending) == 1


@pytest.mark.parametrize("topic", ["changelog", "alerts", "alerts_open", "rejected", "windows"])
async def test_a_send_that_fails_leaves_the_readings_unacknowledged(app, writer, topic):
    app.producer.fails[getattr(app.names, topic)] = KafkaTimeoutError()
    owned = partition()
    dirty(owned, "attic", fired())
    owned.rejected.append(Rejection(b"k", b"?", []))
    owned.windows.append(closed("attic"))
    owned.pending.append(Chunk(app.log))
    with pytest.raises(KafkaTimeoutError):
        await writer.flush([owned])
    assert "ack" not in app.log
    if topic in ("changelog", "windows"):
        assert "store" not in app.log
        assert app.names.alerts not in app.log


async def test_a_flush_of_a_partition_that_was_given_away_refuses_to_go_on(
    app, writer, monkeypatch
):
    owned = partition()
    dirty(owned, "attic", fired())
    go_on = writer.step

    async def give_away(name: str, of: Partition) -> None:
        if name == "announce":
            of.closed = True
        await go_on(name, of)

    monkeypatch.setattr(writer, "step", give_away)
    with pytest.raises(Closed):
        await writer.flush([owned])
    assert app.names.alerts not in app.log
    await writer.flush([owned])  # nothing more is written either
    assert app.log.count(app.names.changelog) == 2


class Ended(Exception):
    pass


@pytest.fixture
def hole(app: App, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The changelog has records that are not ours, at offsets 0 and on; the list is theirs."""
    theirs: list[Any] = []

    class Looking:
        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def end_offsets(self, tps: list[Any]) -> dict[Any, int]:
            return dict.fromkeys(tps, max(len(theirs), app.producer.next[app.names.changelog]))

    async def read(_: Any, __: Any, start: int, end: int) -> Any:
        yield theirs[start:end]

    def ended(reason: str) -> None:
        raise Ended(reason)

    monkeypatch.setattr(module, "consumer", lambda _: Looking())
    monkeypatch.setattr(module, "read", read)
    monkeypatch.setattr(module, "end_process", ended)
    return theirs


class Theirs:
    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self.offset, self.key, self.value = offset, key, value


async def test_whoever_finds_a_newer_claim_in_its_changelog_ends_before_it_announces(
    app, writer, hole
):
    newer = partition()
    newer.generation = 8
    hole.append(Theirs(0, PARTITION_KEY, newer.packed()))
    app.producer.next[app.names.changelog] = 1
    owned = partition()
    owned.generation = 7
    dirty(owned, "attic", fired())
    with pytest.raises(Ended, match="belongs to another worker"):
        await writer.flush([owned])
    assert app.names.alerts not in app.log
    assert "store" not in app.log


@pytest.fixture
def stands_still(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """For an hour, with the rows written and nothing announced yet."""
    went_on, leapt = writer.step, 0.0

    async def stand_still(name: str, of: Partition) -> None:
        nonlocal leapt
        leapt += 3600 if name == "announce" else 0
        await went_on(name, of)

    monkeypatch.setattr(writer, "step", stand_still)
    monkeypatch.setattr(module, "moment", lambda: T0 + leapt)


@pytest.mark.usefixtures("stands_still")
async def test_whoever_stood_still_and_has_a_successor_ends_before_it_announces(app, writer, hole):
    newer = partition()
    newer.generation = 8
    hole += [None, None, Theirs(2, PARTITION_KEY, newer.packed())]
    owned = partition()
    owned.generation = 7
    dirty(owned, "attic", fired())
    with pytest.raises(Ended, match="belongs to another worker"):
        await writer.flush([owned])
    assert app.names.alerts not in app.log
    assert app.names.alerts_open not in app.log


@pytest.mark.usefixtures("stands_still", "hole")
async def test_whoever_stood_still_and_has_no_successor_goes_on(app, writer):
    owned = partition()
    dirty(owned, "attic", fired())
    await writer.flush([owned])
    assert app.names.alerts in app.log


async def test_what_holds_is_told_again_behind_what_a_former_owner_announced_late(
    app, writer, monkeypatch
):
    asked = []

    async def covered(_: Any, tp: Any, start: int, end: int) -> list[Outbound]:
        asked.append((tp.topic, start, end))
        return [Outbound(b"attic|temperature-high", b"old"), Outbound(b"cellar|battery", None)]

    monkeypatch.setattr(module, "covered", covered)
    owned = partition()
    owned.open_next = 7
    app.producer.next[app.names.alerts_open] = 9
    dirty(owned, "attic", fired())
    await writer.flush([owned])
    assert asked == [(app.names.alerts_open, 7, 9)]
    told = [(record.key, record.value) for record in app.producer.to(app.names.alerts_open)]
    assert told == [
        (b"attic|temperature-high", fired().value),
        (b"attic|temperature-high", fired().value),  # newer than what held before
        (b"cellar|battery", None),
    ]
    dirty(owned, "attic", fired(2))
    await writer.flush([owned])
    assert len(asked) == 1


async def test_what_is_told_again_is_no_hole_though_what_was_told_went_out_in_several_batches(
    app, writer, monkeypatch
):
    asked = []

    async def covered(_: Any, tp: Any, start: int, end: int) -> list[Outbound]:
        asked.append((start, end))
        return [Outbound(b"cellar|battery", b"old")]

    monkeypatch.setattr(module, "covered", covered)
    owned = partition()
    owned.open_next = 7
    app.producer.next[app.names.alerts_open] = 9
    dirty(owned, "attic", fired(), fired(2))  # each a batch of its own in these tests
    await writer.flush([owned])
    dirty(owned, "attic", fired(3))
    await writer.flush([owned])
    assert asked == [(7, 9)]
    assert owned.open_next == app.producer.next[app.names.alerts_open]


async def test_an_owner_writes_over_what_an_older_one_wrote_late(app, writer, hole):
    hole.append(Theirs(0, b"cellar", Row(Device("cellar"), [9, -1, -1]).packed(6)))
    app.producer.next[app.names.changelog] = 1
    owned = partition()
    owned.generation = 7
    owned.row("cellar")
    dirty(owned, "attic", fired())
    await writer.flush([owned])
    assert "cellar" in ids(owned.dirty)
    await writer.flush([owned])
    assert [r.key for r in app.producer.to(app.names.changelog)].count(b"cellar") == 1


async def test_a_retired_device_is_deleted_once_its_last_event_is_out(app, writer, table):
    owned = partition()
    row = dirty(owned, "attic", fired())
    row.device.retire()
    await writer.flush([owned])
    assert table.rows[b"attic"] is not None
    await writer.flush([owned])
    assert "attic" not in owned.rows
    assert table.rows[b"attic"] is None
    assert [r.value for r in app.producer.to(app.names.changelog) if r.key == b"attic"][-1] is None


def test_a_cut_takes_everything_and_leaves_nothing():
    owned = partition()
    dirty(owned, "attic", fired())
    owned.rejected.append(Rejection(None, None, []))
    owned.windows.append(closed("attic"))
    cut = take_cut(owned)
    part = take_slice(owned, cut.rows, cut.origins)
    assert [key for key, _ in part.rows + cut.own] == [b"attic", PARTITION_KEY]
    assert (len(part.rejected), len(part.windows), len(part.announced)) == (1, 1, 1)
    assert take_cut(owned)[1:] == ([], [], {}, [])
    assert take_slice(owned, [], None) == ([], [], [], [])


def test_a_row_that_changes_is_in_one_cut_until_it_is_written_and_in_the_next_one_after_that():
    owned = partition()
    row = dirty(owned, "attic")
    cut = take_cut(owned)
    dirty(owned, "attic")  # what its slice will take is its newest state
    assert owned.dirty == []
    take_slice(owned, cut.rows, cut.origins)
    dirty(owned, "attic")
    assert owned.dirty == [row]


def test_a_row_that_is_deleted_is_written_no_more():
    owned = partition()
    row = dirty(owned, "attic")
    owned.delete(row)
    assert take_slice(owned, take_cut(owned).rows, {}).rows == []


async def test_a_partition_knows_the_devices_whose_clock_is_wrong_from_their_rows(writer):
    owned, hour = partition(), 3_600.0
    row = dirty(owned, "attic")
    dirty(owned, "cellar")

    async def reading(at: float, claimed: float) -> set[str]:
        Engine().reading(row.device, Reading("attic", claimed, at, {"co2": 1.0}), at, 0.0)
        owned.mark_dirty(row)
        await writer.flush([owned])
        return set(owned.wrong_clocks)

    assert await reading(T0, T0 - hour) == {"attic"}
    assert await reading(T0 + 10, T0 + 10) == set()  # it was put right
    assert await reading(T0 + 20, T0 + 9 * hour) == {"attic"}
    assert owned.reopened().wrong_clocks == {"attic"}
    row.device.retire()
    owned.mark_dirty(row)
    await writer.flush([owned])
    assert owned.wrong_clocks == set()


@pytest.mark.parametrize(
    ("is_due", "name"), [(False, "smart_iot_alert_seconds"), (True, "smart_iot_offline_seconds")]
)
async def test_how_long_an_event_took_is_measured_once_when_the_broker_has_it(
    app, writer, is_due, name
):
    def seen() -> tuple[float, float]:
        samples = (WORKER.get_sample_value(name + suffix) or 0.0 for suffix in ("_count", "_sum"))
        return tuple(samples)

    owned, event, count_before = partition(), fired(), seen()
    event.since, event.is_due = time.time() - 2, is_due
    dirty(owned, "attic", event, fired(2))  # of the other nobody knows: it is of before a restart
    await writer.flush([owned])
    await writer.tell(owned, [(owned.row("attic"), [event])])
    count, seconds = (now - then for now, then in zip(seen(), count_before, strict=True))
    assert count == 1
    assert 2 <= seconds < 10


async def test_one_whose_announcement_fails_is_not_measured(app, writer):
    app.producer.fails[app.names.alerts] = KafkaTimeoutError()
    owned, event = partition(), fired()
    event.since = time.time()
    dirty(owned, "attic", event)
    with pytest.raises(KafkaTimeoutError):
        await writer.flush([owned])
    assert event.since is not None


async def test_the_time_of_the_last_flush_is_shown_of_one_that_came_to_its_end(app, writer):
    owned = partition()
    await writer.flush([owned])
    last = WORKER.get_sample_value("smart_iot_last_flush_timestamp_seconds")
    assert time.time() - (last or 0) < 10
    app.producer.fails[app.names.changelog] = KafkaTimeoutError()
    dirty(owned, "attic")
    with pytest.raises(KafkaTimeoutError):
        await writer.flush([owned])
    assert WORKER.get_sample_value("smart_iot_last_flush_timestamp_seconds") == last
