"""Records in; rows, events and rejections out, whatever comes and however often."""

from __future__ import annotations

from typing import Any

import pytest
from faust.types import TP

from agents.intake import Intake
from agents.judge import LARGEST_REJECTED, Judge
from agents.writer import take_cut
from pipeline.home import home_of
from pipeline.rules import Rulebook
from pipeline.rules.engine import Engine
from tables.devices import CHECKS, READINGS, Partition
from tests.agents.shell import T0, App, Event, Owner, Record, reading

HOME = 1  # the partition of the device that is called attic, of eight
AT_HOME = [name for name in (f"d{n}" for n in range(60)) if home_of(name, 8) == HOME][:5]


@pytest.fixture
def judge() -> Judge:
    return Judge(Engine(), wake=lambda: None)


@pytest.fixture
def owner() -> Owner:
    return Owner(HOME)


@pytest.fixture
def owned(owner: Owner) -> Partition:
    return owner.owned[HOME]


@pytest.fixture
def feed(owner: Owner, judge: Judge):
    intake = Intake(App(), owner, judge, writer=None)  # type: ignore[arg-type]

    def feed(*records: Record) -> None:
        source = owner.sources[TP("readings", HOME)]
        intake.put(source, Event(list(records)), wall=T0 + 1e7)  # type: ignore[arg-type]
        while intake.take_up(T0 + 1e7):
            pass

    return feed


def kinds(owned: Partition) -> list[tuple[str, int, bool]]:
    return [(e.rule, e.seq, e.open) for row in owned.rows.values() for e in row.outbox]


def check(judge: Judge, owned: Partition, offset: int, horizon: float, key: Any = b"attic") -> None:
    """A check that is read when all that was sent before `horizon` is applied."""
    owned.clock.live = owned.clock.watching = True
    owned.reached = horizon
    judge.check(owned, Record(offset, None, key=key))  # type: ignore[arg-type]


def test_a_hot_reading_leaves_its_event_in_the_row_that_decided_it(owned, feed):
    feed(reading(0, temperature=36))
    assert kinds(owned) == [("temperature-high", 1, True)]
    assert owned.dirty.keys() == {"attic"}
    assert owned.applied[READINGS] == 0


def test_a_replay_of_what_the_partition_has_applied_changes_nothing(owned, feed):
    feed(reading(0, temperature=36), reading(1, temperature=30))
    before = owned.rows["attic"].packed(1)
    feed(reading(0, temperature=36), reading(1, temperature=30))
    assert owned.rows["attic"].packed(1) == before


def test_a_row_that_is_ahead_of_the_partition_skips_what_it_has_applied(owned, feed):
    """A crash in the middle of a flush: this row reached the changelog, the partition's didn't."""
    feed(reading(0, temperature=36), reading(1, temperature=30))
    before = owned.rows["attic"].packed(1)
    owned.applied[READINGS] = -1
    feed(reading(0, temperature=36), reading(1, temperature=30))
    assert owned.rows["attic"].packed(1) == before
    assert owned.applied[READINGS] == 1


def test_a_rejected_record_keeps_its_bytes_its_key_and_where_it_came_from(owned, feed):
    feed(Record(9, b"nonsense", key=b"k"))
    ((key, value, headers),) = owned.rejected
    assert (key, value) == (b"k", b"nonsense")
    assert dict(headers) == {
        "reason": b"not_json",
        "topic": b"readings",
        "partition": b"1",
        "offset": b"9",
    }


def test_a_large_rejected_record_is_cut_and_says_so(owned, feed):
    feed(Record(0, b"x" * 2_000_000))
    ((_, value, headers),) = owned.rejected
    assert len(value) == LARGEST_REJECTED
    assert ("truncated", b"true") in headers


def test_a_tombstone_is_rejected_too(owned, feed):
    feed(Record(0, None))
    assert dict(owned.rejected[0].headers)["reason"] == b"not_json"


def test_a_metric_too_many_is_rejected_and_the_device_goes_on(owned, feed):
    feed(reading(0, **{f"m{n}": n for n in range(32)}))
    feed(reading(1, one_more=1))
    feed(reading(2, m0=5, at=T0 + 1))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"too_many_metrics"]
    assert owned.rows["attic"].device.values["m0"] == 5


def test_a_fault_of_our_core_on_one_reading_is_rejected_and_the_next_one_is_judged(
    owned, feed, monkeypatch
):
    judge = Engine.reading

    def fail_once(self: Any, device: Any, given: Any, at: float, judged_from: float) -> Any:
        if given.values["temperature"] == 13:
            raise ZeroDivisionError
        return judge(self, device, given, at, judged_from)

    monkeypatch.setattr(Engine, "reading", fail_once)
    feed(reading(0, temperature=13), reading(1, temperature=36))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"core_error"]
    assert kinds(owned) == [("temperature-high", 1, True)]


def test_a_check_settles_what_fell_due_and_is_applied_once(owned, feed, judge):
    feed(*(reading(n, at=T0 + n, temperature=20) for n in range(5)))
    check(judge, owned, 7, T0 + 3600)
    assert kinds(owned) == [("offline", 1, True)]
    assert owned.rows["attic"].applied[CHECKS] == 7
    check(judge, owned, 7, T0 + 3600)
    for offset, key in ((8, b"attic"), (9, b"\xff"), (10, None)):
        check(judge, owned, offset, T0 + 3600, key)
    assert kinds(owned) == [("offline", 1, True)]


def test_a_check_and_the_next_reading_give_the_same_event(judge):
    silent = [reading(n, at=T0 + n, temperature=20) for n in range(5)]
    late = reading(5, at=T0 + 3600, temperature=20)
    found = []
    for with_check in (True, False):
        owner = Owner(HOME)
        intake = Intake(App(), owner, judge, writer=None)  # type: ignore[arg-type]
        for records in (silent, [late]):
            source = owner.sources[TP("readings", HOME)]
            intake.put(source, Event(records), wall=T0 + 1e7)  # type: ignore[arg-type]
            intake.take_up(T0 + 1e7)
            if with_check and records is silent:
                check(judge, owner.owned[HOME], 0, T0 + 3600)
        found.append([e.packed() for e in owner.owned[HOME].rows["attic"].outbox])
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_a_phantom_that_was_heard_of_once_is_forgotten_when_it_retires(owned, feed, judge):
    feed(reading(0, temperature=20))
    check(judge, owned, 0, T0 + 8 * 86_400)
    assert kinds(owned) == []
    cut = take_cut(owned)
    assert (b"attic", None) in cut.rows
    assert owned.rows == {}


def test_devices_that_other_rules_have_judged_are_judged_again_in_slices(
    owned, feed, judge, monkeypatch
):
    monkeypatch.setattr("agents.judge.SLICE", 2)
    feed(*(reading(n, name, temperature=36) for n, name in enumerate(AT_HOME)))
    take_cut(owned)
    judge.engine = Engine(Rulebook())
    judge.plan(owned)
    assert judge.adopt_some(owned)
    assert len(owned.dirty) == 2
    while judge.adopt_some(owned):
        pass
    assert owned.dirty.keys() == set(AT_HOME)
    assert {row.outbox[-1].open for row in owned.rows.values()} == {False}


def test_a_partition_that_was_given_away_is_not_judged_again(owned, feed, judge):
    feed(reading(0, temperature=36))
    take_cut(owned)
    judge.engine = Engine(Rulebook())
    judge.plan(owned)
    owned.closed = True
    assert not judge.adopt_some(owned)
    assert owned.dirty == {}
