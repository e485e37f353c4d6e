"""Exported rows in, what they are elsewhere out: homes, offsets, clocks, silences."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.exchange.form import Head, Held
from pipeline.exchange.moving import Moving, united
from pipeline.home import home_of
from pipeline.rows import NOTHING, Outgoing, PartitionRow, Row, decode
from pipeline.rules.clock import PartitionClock
from pipeline.rules.engine import Device, Engine, Reading
from pipeline.rules.fleet import FLEET
from pipeline.rules.silence import Silence

T0 = 1_700_000_000.0
IDS = {"readings": "r1", "smart-iot-checks": "c1", "commands": "o1"}
OTHERS = {"readings": "r2", "smart-iot-checks": "c2", "commands": "o2"}
UNKNOWN = dict.fromkeys(IDS, "")


def clock(at: float, live: bool = False) -> PartitionClock:
    made = PartitionClock()
    made.see(at, at if live else at + 1e6)
    return made


def own(number: int, **more: Any) -> PartitionRow:
    row = PartitionRow(
        3, [10 * number + 9, 5, 2], clock(T0 + number), 1234, 1, {7: (0, 44)}, T0, []
    )
    return row._replace(**more)


def moving(before: int, after: int, topics: dict[str, str] = IDS, **more: Any) -> Moving:
    head = Head(1, "", "", "cluster", "", before, IDS)
    owns = {number: own(number, **more) for number in range(before)}
    return Moving(head, owns, after, topics, generation=4)


def held(device_id: str, before: int = 4, **more: Any) -> Held:
    device = Device(device_id)
    Engine().reading(device, Reading(device_id, None, T0, {"temperature": 36.0}), T0, 0.0)
    row = Row(device, [17, 4, 2], (Outgoing("hot", "id", 1, True, b"{}"),), {3: (0, 900)})
    return Held(device_id, home_of(device_id, before), row.packed(3), **more)


def unpacked(moved: bytes, device_id: str) -> Row:
    return Row.unpacked(device_id, decode(moved))


def test_a_device_goes_to_its_home_among_as_many_partitions_as_there_are_now():
    devices = [f"house-{number}" for number in range(200)]
    for after in (1, 2, 5, 8, 64):
        move = moving(4, after)
        assert [move.home(one) for one in devices] == [home_of(one, after) for one in devices]
    assert moving(4, 8).home(FLEET) == home_of(FLEET, 8)


@pytest.mark.parametrize("topics", [IDS, OTHERS, UNKNOWN])
def test_a_device_is_what_it_was_and_what_it_has_to_say_is_kept(topics):
    was = unpacked(held("attic").row, "attic")
    moved = unpacked(moving(4, 4, topics).row(held("attic")), "attic")
    assert moved.device == was.device
    assert [one.packed() for one in moved.outbox] == [one.packed() for one in was.outbox]


def test_a_row_is_of_a_generation_of_its_own():
    assert decode(moving(4, 8).row(held("attic")))[1] == 4
    assert moving(4, 8).own(0).generation == 4


@pytest.mark.parametrize(
    ("after", "topics", "applied", "foreign"),
    [
        (4, IDS, [17, 4, 2], {3: (0, 900)}),  # the very same topics
        (4, OTHERS, [-1, -1, -1], None),
        (4, UNKNOWN, [-1, -1, -1], None),  # the broker doesn't tell: nobody knows
        (8, IDS, [-1, -1, -1], None),  # partitions were added: what was in 3 isn't there now
        (4, {**IDS, "commands": "o2"}, [17, 4, -1], {3: (0, 900)}),
        (4, {**IDS, "readings": "r2"}, [-1, 4, 2], None),
    ],
)
def test_offsets_are_kept_where_the_topic_is_the_same_and_no_others(
    after, topics, applied, foreign
):
    row = unpacked(moving(4, after, topics).row(held("attic")), "attic")
    assert (row.applied, row.foreign) == (applied, foreign)


def test_a_partition_of_the_same_topics_goes_on_where_it_was():
    was = own(2)
    assert moving(4, 4).own(2).packed() == was._replace(generation=4).packed()


def test_a_partition_of_other_readings_has_applied_none_of_them_and_its_epoch_rises():
    moved = moving(4, 4, OTHERS).own(2)
    assert moved.applied == list(NOTHING)
    assert (moved.applied_time, moved.epoch, moved.origins) == (-1, 2, {})


def test_the_epoch_is_above_that_of_every_partition():
    """What is still on its way of the old topic can't pass for newer than the new one's."""
    head = Head(1, "", "", "cluster", "", 2, IDS)
    move = Moving(head, {0: own(0, epoch=6), 1: own(1, epoch=2)}, 4, IDS, generation=4)
    assert {move.own(number).epoch for number in range(4)} == {7}


@pytest.mark.parametrize(
    ("before", "after", "number", "parents"),
    [
        (4, 8, 1, [1]),
        (4, 8, 5, [1]),
        (4, 2, 1, [1, 3]),
        (4, 4, 3, [3]),
        (3, 8, 6, [0, 1, 2]),
        (6, 4, 1, [1, 3, 5]),
        (2, 1, 0, [0, 1]),
    ],
)
def test_a_clock_is_the_latest_of_those_that_the_devices_come_from(before, after, number, parents):
    devices = [f"house-{one}" for one in range(2_000)]
    homes = {home_of(one, before) for one in devices if home_of(one, after) == number}
    assert homes == set(parents)
    assert moving(before, after).own(number).clock.clock == T0 + max(parents)


def test_a_clock_that_has_one_parent_is_that_very_clock():
    witness = clock(T0)
    witness.see(T0 + 9_000, T0 + 1e6)  # a jump ahead, which others would have to prove
    assert moving(2, 4, clock=witness).own(3).clock.pack() == witness.pack()


def test_among_live_partitions_one_is_live_and_one_that_never_heard_anything_says_nothing():
    head = Head(1, "", "", "cluster", "", 2, IDS)
    silent = own(1, clock=PartitionClock())
    move = Moving(head, {0: own(0, clock=clock(T0, live=True)), 1: silent}, 1, IDS, generation=4)
    joined = move.own(0).clock
    assert (joined.live, joined.judged_from, joined.clock) == (True, T0, T0)


def test_a_partition_that_nobody_had_begins_anew():
    moved = Moving(Head(1, "", "", "", "", 2, IDS), {}, 2, IDS, generation=1).own(0)
    assert (moved.applied, moved.epoch, moved.clock.live) == (list(NOTHING), 0, False)


def silence(name: str, created_at: float, ends_at: float) -> list[Any]:
    return Silence(name, "attic", None, None, "ada", None, created_at, T0, ends_at).pack()


def test_every_partition_has_every_silence_once_and_one_that_was_ended_is_over():
    early, late = silence("early", T0, T0 + 60), silence("late", T0 + 1, T0 + 60)
    ended = silence("late", T0 + 1, T0 + 30)
    assert united([[late, early], [early], [ended]]) == [early, ended]
    head = Head(1, "", "", "cluster", "", 2, IDS)
    owns = {0: own(0, silences=[early]), 1: own(1, silences=[late])}
    move = Moving(head, owns, 4, IDS, generation=4)
    assert [move.own(number).silences for number in range(4)] == [[early, late]] * 4
    assert msgspec.msgpack.decode(move.own(0).packed())[8] == [early, late]
