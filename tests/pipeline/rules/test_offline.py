"""Silence in, one offline alert out, started when it was due."""

from __future__ import annotations

import pytest

from pipeline.rules import Device, Engine, Offline, Rulebook
from pipeline.rules.offline import cadence
from tests.pipeline.rules.history import NEVER, History, after

WEEK = 7 * 86_400


def seen(ats: list[float], rulebook: Rulebook | None = None) -> History:
    told = History() if rulebook is None else History(rulebook)
    for at in ats:
        told.reading(at)
    return told


@pytest.mark.parametrize(
    ("ats", "due"),
    [
        ([0, 5, 10, 15], 75),  # the floor: 60 s
        ([0, 30, 60, 90], 180),  # 3 x 30
        ([0, 3600, 7200, 10800], 21600),
        ([0, 0.5, 0.9, 0.95], 60.95),  # no gap known
        ([0, 0.2, 100, 100.2, 200, 200.2, 300], 600 - 0.6),  # bursts every 100 s
        ([0, 60, 120, 180, 10_000, 10_060], 10_240),  # one long gap doesn't stretch it
        ([0, 100, 200, 300, 400, 430, 460, 490, 520, 560, 600, 640, 680], 785),  # the last 8: 35
    ],
)
def test_the_limit_is_three_times_the_own_cadence_and_at_least_a_minute(
    ats: list[float], due: float
) -> None:
    assert seen(ats).due() == pytest.approx(due, abs=1e-6)


def test_the_median_of_an_even_number_of_gaps_lies_between_the_middle_two() -> None:
    assert cadence([4.0, 1.0, 3.0, 9.0]) == 3.5
    assert cadence([4.0, 1.0, 3.0]) == 3.0
    assert cadence([]) == 0.0


def test_an_offline_alert_starts_at_its_due_time_whenever_it_is_found() -> None:
    told = seen([0, 10, 20, 30])
    assert told.settle(89.999) == []
    (event,) = told.settle(5_000)
    assert (event.rule, event.event, event.reason, event.severity) == (
        "offline", "fired", "offline", "warning",
    )  # fmt: skip
    assert event.timestamp == event.started_at == event.detected_at == after(90)
    assert (event.metric, event.value, event.threshold, event.clear) == (None, None, None, None)
    assert told.settle(6_000) == []


def test_what_is_due_now_is_due() -> None:
    told = seen([0, 10, 20, 30])
    assert len(told.settle(90)) == 1


@pytest.mark.parametrize("readings", [1, 2, 3])
def test_a_device_is_judged_offline_after_four_readings(readings: int) -> None:
    told = seen([10 * i for i in range(readings)])
    assert told.settle(86_400) == []
    told = seen([10 * i for i in range(4)])
    assert len(told.settle(86_400)) == 1


def test_a_device_never_seen_never_alerts() -> None:
    told = History()
    assert told.due() == NEVER
    assert told.settle(1e9) == []


def test_a_check_and_the_next_reading_give_the_same_event() -> None:
    checked, read = seen([0, 10, 20, 30]), seen([0, 10, 20, 30])
    checked.settle(100)
    for told in (checked, read):
        told.reading(500)
        assert told.steps == ["offline fired", "offline resolved"]
    assert [(e.alert_id, e.seq, e.timestamp, e.detected_at) for e in checked.events] == [
        (e.alert_id, e.seq, e.timestamp, e.detected_at) for e in read.events
    ]
    assert checked.device == read.device


def test_a_reading_brings_a_device_back_before_it_is_judged() -> None:
    told = seen([0, 10, 20, 30])
    told.reading(500, 497, temperature=36.0)
    assert told.steps == ["offline fired", "offline resolved", "temperature-high fired"]
    back = told.events[1]
    assert (back.reason, back.timestamp, back.detected_at, back.resolved_at) == (
        "device_returned", after(497), after(500), after(497),
    )  # fmt: skip


def test_a_device_is_back_though_its_reading_is_an_old_one() -> None:
    told = seen([0, 10, 20, 30])
    assert told.reading(100, 25) == "late"
    assert told.steps == ["offline fired", "offline resolved"]
    assert told.events[1].timestamp == after(25)
    assert told.events[1].resolved_at == told.events[1].started_at  # never before its start


def test_silence_is_the_device_not_its_clock() -> None:
    told = History()
    for at in (0, 10, 20, 30):
        told.reading(at, at - 250)  # a clock that is slow, but plausible
    assert told.device.last_seen == after(30)
    assert told.due() == 90


def test_a_value_alert_stays_open_while_its_device_is_silent() -> None:
    told = History()
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=36.0)
    told.settle(5_000)
    assert [alert.rule for alert in told.device.open_alerts()] == ["temperature-high", "offline"]


def test_silence_counts_only_from_when_it_could_be_heard() -> None:
    told = seen([0, 10, 20, 30])
    assert told.due(judged_from=after(1_000)) == 1_060
    assert told.settle(1_059, judged_from=after(1_000)) == []
    (event,) = told.settle(1_060, judged_from=after(1_000))
    assert event.timestamp == after(90)  # but it was due when it was due


def test_a_device_that_died_before_the_restart_still_alerts() -> None:
    told = seen([0, 10, 20, 30])
    assert len(told.settle(1_100, judged_from=after(1_000))) == 1


def test_a_reading_within_the_grace_makes_no_alert() -> None:
    told = seen([0, 10, 20, 30])
    told.reading(1_030, judged_from=after(1_000))
    assert told.events == []


def test_a_fixed_limit_overrides_the_cadence_but_not_the_first_four_readings() -> None:
    fixed = Rulebook(offline=Offline(after=20))
    assert seen([0, 300, 600], fixed).due() == 600 + WEEK
    assert seen([0, 10, 20, 30], fixed).due() == 50
    assert [e.started_at for e in seen([0, 10, 20, 30, 55], fixed).events] == [after(50), after(50)]


def test_a_device_silent_for_a_week_is_retired_and_all_its_alerts_end() -> None:
    told = History()
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=36.0)
    told.settle(30 + WEEK - 1)
    assert told.due() == 30 + WEEK
    events = told.settle(30 + WEEK + 500)
    assert [(e.rule, e.reason, e.timestamp, e.detected_at) for e in events] == [
        ("temperature-high", "device_retired", after(30 + WEEK), after(30 + WEEK)),
        ("offline", "device_retired", after(30 + WEEK), after(30 + WEEK)),
    ]
    assert told.device.retired
    assert told.device.open_alerts() == []
    assert told.due() == NEVER
    assert told.settle(1e9) == []


def test_whatever_fell_due_is_settled_in_its_order() -> None:
    told = seen([0, 10, 20, 30])
    told.settle(30 + WEEK)
    assert [(e.event, e.reason) for e in told.events] == [
        ("fired", "offline"), ("resolved", "device_retired"),
    ]  # fmt: skip


def test_a_device_seen_once_is_retired_without_a_word() -> None:
    told = seen([0])
    assert told.due() == WEEK
    assert told.settle(WEEK) == []
    assert told.device.retired


def test_a_cadence_of_days_is_retired_before_it_is_offline() -> None:
    told = seen([day * 86_400 * 3 for day in range(4)])
    told.settle(1e9)
    assert told.events == []
    assert told.device.retired


def test_the_week_ends_at_the_earliest_where_silence_begins_to_count() -> None:
    told = seen([0, 10, 20, 30])
    told.settle(100)
    back = after(30 + 2 * WEEK)
    assert told.due(judged_from=back) == 30 + 2 * WEEK
    assert [e.timestamp for e in told.settle(30 + 2 * WEEK, judged_from=back)] == [after(30 + WEEK)]


def test_a_retired_device_starts_afresh_but_no_id_comes_again() -> None:
    told = seen([0, 10, 20, 30])
    told.reading(40, 40, temperature=36.0)
    told.settle(2 * WEEK)
    told.reading(40, 40, temperature=36.0)  # a clock that was set back
    assert not told.device.retired
    assert told.device.readings == 1
    assert told.device.cadence() == 0.0
    starts = [e.started_at for e in told.events if e.event == "fired"]
    assert starts == [after(40), after(100), after(40.001)]
    assert told.events[-1].seq == 1


def test_without_an_offline_rule_a_device_is_only_retired() -> None:
    told = seen([0, 10, 20, 30], Rulebook())
    assert told.due() == 30 + WEEK
    assert told.settle(WEEK) == []


def test_danger_never_comes_before_a_device_is_silent_by_its_own_cadence() -> None:
    told = History(Rulebook(offline=Offline("offline", "warning", 60.0, 1)))
    for at in range(0, 3_001, 600):
        told.reading(at)
    told.settle(3_060)
    auto = Offline("offline", "warning", None, 1, danger_after=120)
    told.engine = Engine(Rulebook(offline=auto))  # by which 1 800 s are its limit
    assert told.settle(5_000, after(4_000)) == []
    assert told.due(after(4_000)) == 5_800


def test_other_rules_and_a_row_read_again_leave_a_retired_device_retired() -> None:
    told = seen([0, 10, 20, 30])
    told.settle(2 * WEEK)
    Engine(Rulebook()).adopt(told.device, after(2 * WEEK))
    assert told.device.retired
    assert Device.unpack("d", told.device.pack()).retired
