"""Records in; rows, events and rejections out, whatever comes and however often."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from agents.detection import ASLEEP, LARGEST_REJECTED, detection, is_full
from agents.writer import take_cut
from pipeline.streams import app
from tables.devices import CHECKS, READINGS, Partition
from tests.agents.shell import partition

T0 = 1_700_000_000


class Record(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes | None = b"key"
    timestamp: int = T0 * 1000
    topic: str = app.names.readings
    partition: int = 3


def reading(offset: int, *, at: float = T0, **fields: Any) -> Record:
    value = json.dumps({"device_id": "attic", **fields}).encode()
    return Record(offset, value, timestamp=int(at * 1000))


@pytest.fixture
def owned() -> Partition:
    return partition(3)


def feed(owned: Partition, *records: Record) -> None:
    detection.readings(owned, list(records), wall=T0 + 1e7)


def kinds(owned: Partition) -> list[tuple[str, int, bool]]:
    return [(e.rule, e.seq, e.open) for row in owned.rows.values() for e in row.outbox]


def test_a_hot_reading_leaves_its_event_in_the_row_that_decided_it(owned):
    feed(owned, reading(0, temperature=36))
    assert kinds(owned) == [("temperature-high", 1, True)]
    assert owned.dirty.keys() == {"attic"}
    assert owned.applied[READINGS] == 0


def test_a_replay_of_what_the_partition_has_applied_changes_nothing(owned):
    feed(owned, reading(0, temperature=36), reading(1, temperature=30))
    before = owned.rows["attic"].packed(1)
    feed(owned, reading(0, temperature=36), reading(1, temperature=30))
    assert owned.rows["attic"].packed(1) == before


def test_a_row_that_is_ahead_of_the_partition_skips_what_it_has_applied(owned):
    """A crash in the middle of a flush: this row reached the changelog, the partition's didn't."""
    feed(owned, reading(0, temperature=36), reading(1, temperature=30))
    before = owned.rows["attic"].packed(1)
    owned.applied[READINGS] = -1
    feed(owned, reading(0, temperature=36), reading(1, temperature=30))
    assert owned.rows["attic"].packed(1) == before
    assert owned.applied[READINGS] == 1


def test_a_rejected_record_keeps_its_bytes_its_key_and_where_it_came_from(owned):
    feed(owned, Record(9, b"nonsense", key=b"k"))
    ((key, value, headers),) = owned.rejected
    assert (key, value) == (b"k", b"nonsense")
    assert dict(headers) == {
        "reason": b"not_json",
        "topic": app.names.readings.encode(),
        "partition": b"3",
        "offset": b"9",
    }


def test_a_large_rejected_record_is_cut_and_says_so(owned):
    feed(owned, Record(0, b"x" * 2_000_000))
    ((_, value, headers),) = owned.rejected
    assert len(value) == LARGEST_REJECTED
    assert ("truncated", b"true") in headers


def test_a_tombstone_is_rejected_too(owned):
    feed(owned, Record(0, None))
    assert dict(owned.rejected[0].headers)["reason"] == b"not_json"


def test_a_metric_too_many_is_rejected_and_the_device_goes_on(owned):
    feed(owned, reading(0, **{f"m{n}": n for n in range(32)}))
    feed(owned, reading(1, one_more=1))
    feed(owned, reading(2, m0=5, at=T0 + 1))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"too_many_metrics"]
    assert owned.rows["attic"].device.values["m0"] == 5


def test_a_fault_of_our_core_on_one_reading_is_rejected_and_the_next_one_is_judged(
    owned, monkeypatch
):
    judge = detection.engine.__class__.reading

    def fail_once(self: Any, device: Any, given: Any, at: float, judged_from: float) -> Any:
        if given.values["temperature"] == 13:
            raise ZeroDivisionError
        return judge(self, device, given, at, judged_from)

    monkeypatch.setattr(detection.engine.__class__, "reading", fail_once)
    feed(owned, reading(0, temperature=13), reading(1, temperature=36))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"core_error"]
    assert kinds(owned) == [("temperature-high", 1, True)]


def test_the_backlog_is_read_when_its_end_is_reached(owned):
    owned.backlog_end = 2
    feed(owned, reading(0, temperature=20))
    assert not owned.clock.watching
    feed(owned, reading(1, temperature=20))
    assert owned.clock.watching


def test_a_check_settles_what_fell_due_and_is_applied_once(owned):
    feed(owned, *(reading(n, at=T0 + n, temperature=20) for n in range(5)))
    check = Record(7, None, key=b"attic")
    detection.check(owned, check, horizon=T0 + 3600)
    assert kinds(owned) == [("offline", 1, True)]
    assert owned.rows["attic"].applied[CHECKS] == 7
    detection.check(owned, check, horizon=T0 + 3600)
    detection.check(owned, Record(8, None, key=b"attic"), horizon=T0 + 3600)
    detection.check(owned, Record(9, None, key=b"\xff"), horizon=T0 + 3600)
    detection.check(owned, Record(10, None, key=None), horizon=T0 + 3600)
    assert kinds(owned) == [("offline", 1, True)]


def test_a_check_and_the_next_reading_give_the_same_event(owned):
    other = partition(3)
    silent = [reading(n, at=T0 + n, temperature=20) for n in range(5)]
    late = reading(5, at=T0 + 3600, temperature=20)
    feed(owned, *silent)
    detection.check(owned, Record(0, None, key=b"attic"), horizon=T0 + 3600)
    feed(owned, late)
    feed(other, *silent, late)
    first, second = ([e.packed() for e in p.rows["attic"].outbox] for p in (owned, other))
    assert first == second
    assert len(first) == 2


def test_a_device_that_says_much_at_once_makes_the_agent_wait_for_a_flush(owned):
    swings = [reading(n, at=T0 + n, temperature=40 if n % 2 else 20) for n in range(1_200)]
    feed(owned, *swings)
    assert is_full(owned)


def test_a_phantom_that_was_heard_of_once_is_forgotten_when_it_retires(owned):
    feed(owned, reading(0, temperature=20))
    detection.check(owned, Record(0, None, key=b"attic"), horizon=T0 + 8 * 86_400)
    assert kinds(owned) == []
    cut = take_cut(owned)
    assert (b"attic", None) in cut.rows
    assert owned.rows == {}


@pytest.mark.parametrize("leap", [ASLEEP + 1, -ASLEEP - 1])
def test_when_the_clock_leaps_silence_counts_from_then(owned, monkeypatch, leap):
    feed(owned, reading(0, temperature=20))
    owned.clock.live = owned.clock.watching = True
    before = detection.wall()
    monkeypatch.setattr(detection.ownership, "owned", {3: owned})
    detection.looked_at = before - leap
    assert owned.clock.judged_from < before
    assert detection.wall() == owned.clock.judged_from


def test_many_bytes_make_the_agent_wait_for_a_flush(owned):
    owned.unflushed = 33 << 20
    assert is_full(owned)
