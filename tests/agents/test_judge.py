"""Records in; rows, events and rejections out, whatever comes and however often."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faust.types import TP

from agents.intake import MOST_WINDOWS, Intake, is_full
from agents.judge import Judge
from pipeline.about import CORE
from pipeline.home import home_of
from pipeline.metrics import WORKER
from pipeline.records import iso
from pipeline.rejection import LARGEST_REJECTED
from pipeline.rules import Rulebook
from pipeline.rules.counting import Counting
from pipeline.rules.engine import Device, Engine
from pipeline.rules.fleet import FLEET
from pipeline.rules.lifecycle import Alerts
from pipeline.rules.silence import Silence
from pipeline.values import SHORTEST_WINDOW
from tables.partition import CHECKS, READINGS, Partition
from tests.agents.shell import T0, App, Event, Owner, Record, ids, reading, written

WHYS = ("silence", "fleet", "offline")
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
    intake = Intake(App(), owner, judge, None, None)  # type: ignore[arg-type]

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
    assert ids(owned.dirty) == ["attic"]
    assert owned.applied[READINGS] == 0


def test_a_replay_of_what_the_partition_has_applied_changes_nothing(owned, feed):
    feed(reading(0, temperature=36), reading(1, temperature=30))
    before = owned.rows["attic"].packed(1)
    feed(reading(0, temperature=36), reading(1, temperature=30))
    assert owned.rows["attic"].packed(1) == before


def test_a_replay_brings_no_device_back_that_is_forgotten(owned, feed):
    feed(reading(0, temperature=36))
    owned.delete(owned.rows["attic"])
    feed(reading(0, temperature=36))
    assert owned.rows == {}


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


breaks_the_core = pytest.mark.skipif(
    CORE == "compiled", reason="a compiled core can't be broken from outside"
)


@breaks_the_core
def test_a_fault_of_our_core_on_one_reading_is_rejected_and_the_next_one_is_judged(
    owned, feed, monkeypatch
):
    judge = Engine.reading

    def fail_once(self: Any, device: Any, given: Any, *arguments: Any) -> Any:
        if given.values["temperature"] == 13:
            raise ZeroDivisionError
        return judge(self, device, given, *arguments)

    monkeypatch.setattr(Engine, "reading", fail_once)
    feed(reading(0, temperature=13), reading(1, temperature=36))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"core_error"]
    assert kinds(owned) == [("temperature-high", 1, True)]


def fail(*_: Any) -> None:
    raise ZeroDivisionError


@breaks_the_core
def test_what_was_decided_before_our_core_failed_is_announced_and_never_again(
    owned, feed, monkeypatch
):
    feed(*(reading(n, at=T0 + n, temperature=20) for n in range(5)))
    monkeypatch.setattr("pipeline.rules.judging.judge", fail)
    feed(reading(5, at=T0 + 3600, temperature=36))
    assert [dict(r.headers)["reason"] for r in owned.rejected] == [b"core_error"]
    assert kinds(owned) == [("offline", 1, True), ("offline", 2, False)]
    assert owned.rows["attic"].device.open_alerts() == []
    assert "attic" in ids(owned.dirty)
    assert owned.rows["attic"].applied[READINGS] == 5
    monkeypatch.undo()
    feed(reading(6, at=T0 + 3601, temperature=36))
    assert kinds(owned)[2:] == [("temperature-high", 1, True)]


@breaks_the_core
def test_what_other_rules_decided_before_our_core_failed_is_announced(
    owned, feed, judge, monkeypatch
):
    feed(reading(0, temperature=36))
    judge.engine = Engine(Rulebook())
    monkeypatch.setattr(Device, "remember", fail)
    feed(reading(1, at=T0 + 1, temperature=36))
    assert kinds(owned) == [("temperature-high", 1, True), ("temperature-high", 2, False)]


@breaks_the_core
def test_so_is_what_fell_due_or_other_rules_decided_where_just_that_failed(
    owned, feed, judge, monkeypatch
):
    feed(*(reading(n, at=T0 + n, temperature=20) for n in range(5)))
    monkeypatch.setattr(Counting, "close", fail)
    feed(reading(5, at=T0 + 3600, temperature=20))
    assert kinds(owned) == [("offline", 1, True)]
    judge.engine = Engine(Rulebook())
    monkeypatch.setattr("pipeline.rules.reload._judge_values", fail)
    feed(reading(6, at=T0 + 3601, temperature=20))
    assert kinds(owned) == [("offline", 1, True), ("offline", 2, False)]


WINDOW = 60
START = T0 // WINDOW * WINDOW


def shown(owned: Partition) -> list[tuple[str, str, float, int, float]]:
    return [
        (one.device_id, one.metric, one.start - START, one.revision, one.mean)
        for one in owned.windows
    ]


def test_a_closed_window_waits_for_the_cut_and_a_late_reading_gives_it_again(owned, feed, judge):
    judge.engine = Engine(window=WINDOW)
    for number, (at, value) in enumerate([(0, 20), (30, 22), (70, 25), (75, 26)]):
        feed(reading(number, at=START + at, temperature=value, timestamp=START + at))
    assert shown(owned) == [("attic", "temperature", 0, 2, 21.0)]
    feed(reading(4, at=START + 76, temperature=27, timestamp=START + 40))
    assert shown(owned)[1:] == [("attic", "temperature", 0, 3, 23.0)]
    (window,) = written(owned).windows  # the newest of each is enough
    assert window.revision == 3
    assert owned.windows == []


def test_a_replay_of_what_the_partition_has_applied_closes_no_window_again(owned, feed, judge):
    judge.engine = Engine(window=WINDOW)
    history = [reading(n, at=START + 50 * n, temperature=20 + n) for n in range(4)]
    feed(*history)
    assert len(shown(owned)) == 2
    written(owned)
    feed(*history)
    assert shown(owned) == []


def test_a_window_that_silence_closes_is_its_own_partitions(judge):
    judge.engine = Engine(window=WINDOW)
    elsewhere = home_of("cellar", 8)
    owner = Owner(HOME, elsewhere)
    for number, name in ((HOME, "attic"), (elsewhere, "cellar")):
        source = owner.sources[TP("readings", number)]
        intake = Intake(App(), owner, judge, None, None)  # type: ignore[arg-type]
        records = [reading(n, name, at=START + n, temperature=20) for n in range(5)]
        intake.put(source, Event([*records]), wall=T0 + 1e7)  # type: ignore[arg-type]
        intake.take_up(T0 + 1e7)
    check(judge, owner.owned[elsewhere], 0, START + 3600, b"cellar")
    assert shown(owner.owned[elsewhere]) == [("cellar", "temperature", 0, 5, 20.0)]
    assert shown(owner.owned[HOME]) == []


def test_a_device_that_retires_without_an_alert_leaves_its_windows(owned, feed, judge):
    judge.engine = Engine(window=WINDOW)
    feed(reading(0, at=START, temperature=20))
    check(judge, owned, 0, START + 8 * 86_400)
    cut = written(owned)
    assert (b"attic", None) in cut.rows
    assert [window.count for window in cut.windows] == [1]


def test_a_reading_on_which_our_core_fails_leaves_no_window_to_another_partition(
    owned, feed, judge, monkeypatch
):
    judge.engine = Engine(window=WINDOW)
    feed(reading(0, at=START, temperature=20))
    count = Counting.count

    def fail_afterwards(self: Any, *arguments: Any) -> None:
        count(self, *arguments)
        raise ZeroDivisionError

    monkeypatch.setattr(Counting, "count", fail_afterwards)
    feed(reading(1, at=START + 70, temperature=20))
    assert judge.engine.take_closed() == []
    assert shown(owned) == [("attic", "temperature", 0, 1, 20.0)]


def test_a_partition_with_very_many_windows_is_to_be_flushed(owned):
    owned.windows = [None] * MOST_WINDOWS
    assert not is_full(owned)
    owned.windows.append(None)
    assert is_full(owned)


def test_a_row_holds_no_more_windows_than_a_late_reading_can_fall_into(owned, feed, judge):
    """Of the shortest windows and the most metrics there are: a row stays far below a record."""
    judge.engine = Engine(window=SHORTEST_WINDOW)
    metrics = {f"metric_{number:02}": 20.5 + number for number in range(32)}
    for number in range(200):
        feed(reading(number, at=START + 5 * number, **metrics))
    assert len(owned.rows["attic"].packed(1)) < 100_000


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
        intake = Intake(App(), owner, judge, None, None)  # type: ignore[arg-type]
        for records in (silent, [late]):
            source = owner.sources[TP("readings", HOME)]
            intake.put(source, Event([*records]), wall=T0 + 1e7)  # type: ignore[arg-type]
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
    cut = written(owned)
    assert (b"attic", None) in cut.rows
    assert owned.rows == {}


def test_devices_that_other_rules_have_judged_are_judged_again_in_slices(
    owned, feed, judge, monkeypatch
):
    monkeypatch.setattr("agents.judge.SLICE", 2)
    feed(*(reading(n, name, temperature=36) for n, name in enumerate(AT_HOME)))
    written(owned)
    judge.engine = Engine(Rulebook())
    judge.take_up(owned)
    assert judge.adopt_some(owned)
    assert len(owned.dirty) == 2
    while judge.adopt_some(owned):
        pass
    assert set(ids(owned.dirty)) == set(AT_HOME)
    assert {row.outbox[-1].open for row in owned.rows.values()} == {False}


def test_a_partition_that_was_given_away_is_not_judged_again(owned, feed, judge):
    feed(reading(0, temperature=36))
    written(owned)
    judge.engine = Engine(Rulebook())
    judge.take_up(owned)
    owned.closed = True
    assert not judge.adopt_some(owned)
    assert owned.dirty == []


def test_changed_rules_are_judged_by_now_and_not_when_the_last_record_came(owned, feed, judge):
    feed(*(reading(n, at=T0 + n, temperature=36) for n in range(5)))
    check(judge, owned, 0, T0 + 3600)
    judge.engine = Engine(Rulebook())
    judge.take_up(owned)
    judge.adopt_some(owned)
    told = [json.loads(one.value) for one in owned.rows["attic"].outbox]
    ends = {one["rule"]: one["resolved_at"] for one in told if one["event"] == "resolved"}
    assert ends == {
        "temperature-high": "2023-11-14T23:13:20.000Z",
        "offline": "2023-11-14T23:13:20.000Z",
    }


def test_the_fleets_alert_is_let_out_by_the_last_of_the_silences_that_ended(owned, judge):
    for name, start, end in (("s1", 0, 100), ("s2", 50, 200)):
        times = (T0, T0 + start, T0 + end)
        owned.silences.add(Silence(name, None, None, "danger", "ada", None, *times))
    row = owned.fleet
    row.device.alerts = Alerts(row.device.id)
    judge.decided(owned, row, [row.device.alerts.fire("fleet", "danger", "fleet_offline", T0, T0)])
    assert judge.settle(owned, row, T0 + 300)
    assert [json.loads(event.value)["timestamp"] for event in row.outbox] == [
        iso(T0), iso(T0 + 200),
    ]  # fmt: skip


def live(owned: Partition, wall: float) -> None:
    for at in (wall - 2, wall - 1):
        owned.clock.see(at, at)
    owned.clock.caught_up(wall)
    assert owned.clock.live


def put(owner: Owner, judge: Judge, record: Record, wall: float) -> None:
    intake = Intake(App(), owner, judge, None, None)  # type: ignore[arg-type]
    source = owner.sources[TP("readings", HOME)]
    intake.put(source, Event([record]), wall=wall)  # type: ignore[arg-type]
    while intake.take_up(wall):
        pass


def test_an_event_knows_since_when_it_is_on_its_way_if_its_partition_is_live(
    owner: Owner, owned: Partition, judge: Judge
) -> None:
    put(owner, judge, reading(0, AT_HOME[0], temperature=40.0), T0 + 1e7)
    live(owned, T0)
    put(owner, judge, reading(1, AT_HOME[1], temperature=40.0), T0)
    (recorded,), (heard,) = (owned.rows[device].outbox for device in AT_HOME[:2])
    assert (recorded.since, recorded.is_due) == (None, False)
    assert (heard.since, heard.is_due) == (T0, False)


def test_silence_is_on_its_way_from_when_it_fell_due(
    owner: Owner, owned: Partition, judge: Judge
) -> None:
    device, gap = AT_HOME[0], 20.0
    for number in range(5):
        at = T0 + number * gap
        if number == 0:
            live(owned, T0)
        put(owner, judge, reading(number, device, at=at, temperature=20.0), at)
    due = T0 + 4 * gap + 3 * gap
    owned.reached = due + 7
    check(judge, owned, 9, due + 7, key=device.encode())
    (offline,) = owned.rows[device].outbox
    assert (offline.rule, offline.since, offline.is_due) == ("offline", due, True)
    assert owned.standing.offline == 1
    put(owner, judge, reading(9, device, at=due + 9, temperature=20.0), due + 9)
    assert owned.standing.offline == 0


def test_what_nobody_is_told_is_counted_by_why(
    owner: Owner, owned: Partition, judge: Judge
) -> None:
    def suppressed() -> dict[str, float]:
        name = "smart_iot_alert_events_suppressed_total"
        found = {why: WORKER.get_sample_value(name, {"reason": why}) for why in WHYS}
        return {why: value or 0.0 for why, value in found.items()}

    before, silence = suppressed(), Silence("s", "*", None, None, "ada", None, T0, T0, T0 + 99)
    owned.silences.add(silence)
    put(owner, judge, reading(0, AT_HOME[0], temperature=40.0), T0 + 1e7)
    owned.silences.remove("s")
    owned.silences.add(Silence("f", "*", None, None, FLEET, None, T0, T0, T0 + 99))
    put(owner, judge, reading(1, AT_HOME[1], temperature=40.0), T0 + 1e7)
    now = suppressed()
    assert {why: now[why] - before[why] for why in WHYS} == {"silence": 1, "fleet": 1, "offline": 0}
