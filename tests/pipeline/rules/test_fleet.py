"""Many devices that fall silent together are one alert, which ends when they are back."""

from __future__ import annotations

import pytest

from pipeline.rules.device import Device
from pipeline.rules.fleet import (
    APART,
    FLEET,
    GATHERED,
    LISTED,
    NEVER,
    RULE,
    TOGETHER,
    Count,
    count,
)
from pipeline.rules.fleet import decide as decided
from pipeline.rules.lifecycle import Event

DUE = 1_000.0


def counted(live: int, silent: int = 0, recent: int = 0, name: str = "d") -> Count:
    ids = [f"{name}-{number}" for number in range(recent)]
    return Count(live, silent, recent, DUE if recent else NEVER, ids)


def decide(fleet: Device, counts: list[Count], arriving: bool, at: float) -> list[Event]:
    """Twice, so that those who are a moment behind have been waited for."""
    events = decided(fleet, counts, arriving, at - GATHERED)
    return events + decided(fleet, counts, arriving, at)


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.event, event.reason) for event in events]


Step = tuple[int, int, int, bool]  # live, silent, of these recently, whether anything arrives


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(96, 4, 4, True)], []),  # few
        ([(4, 4, 4, True)], []),  # half of them, and still few
        ([(95, 5, 5, True)], []),  # five, but of a hundred
        ([(5, 5, 5, True)], ["fleet_offline"]),
        ([(80, 20, 20, True)], ["fleet_offline"]),
        ([(80, 20, 20, False)], ["ingest_silent"]),
        ([(95, 5, 5, False)], ["ingest_silent"]),  # the others are slow, and not missed yet
        (  # what arrives tells that five of a hundred is all that was missed
            [(95, 5, 5, False), (95, 5, 0, True)],
            ["ingest_silent", "device_returned"],
        ),
        ([(0, 5, 5, False)], ["ingest_silent"]),
        ([(0, 4, 4, False)], []),  # below five live devices there is neither
        ([(80, 20, 5, True)], []),  # silent for long, one after the other
        ([(80, 20, 20, True), (60, 40, 20, True)], ["fleet_offline"]),  # once
        ([(80, 20, 20, True), (91, 9, 0, True)], ["fleet_offline", "device_returned"]),
        ([(80, 20, 20, True), (85, 15, 0, True)], ["fleet_offline"]),  # some are back
        (  # nine were silent before, and stay so
            [(71, 29, 20, True), (91, 9, 0, True)],
            ["fleet_offline", "device_returned"],
        ),
        ([(0, 9, 9, False), (9, 0, 0, False)], ["ingest_silent"]),  # a count alone is no reading
        (  # readings come again, of some
            [(0, 100, 100, False), (20, 80, 80, True), (100, 0, 0, True)],
            ["ingest_silent", "fleet_offline", "device_returned"],
        ),
        (  # and again
            [(80, 20, 20, True), (100, 0, 0, True), (70, 30, 30, True)],
            ["fleet_offline", "device_returned", "fleet_offline"],
        ),
    ],
)
def test_a_fleet_is_silent_when_many_fell_so_together(steps: list[Step], expected: list[str]):
    fleet, events = Device(FLEET), []
    for number, (live, silent, recent, arriving) in enumerate(steps):
        events += decide(fleet, [counted(live, silent, recent)], arriving, DUE + 2 + number)
    assert [event.reason for event in events] == expected


def test_partitions_count_together_and_each_names_its_devices() -> None:
    counts = [counted(3, 3, 3, "a"), counted(3, 3, 3, "b"), counted(0)]
    (fired,) = decide(Device(FLEET), counts, True, DUE + 2)
    assert fired.devices == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]
    assert (fired.count, fired.severity, fired.kind) == (6, "danger", "fleet")
    assert (fired.started_at, fired.detected_at) == (DUE, DUE + 2)


def test_its_state_survives_being_stored() -> None:
    fleet = Device(FLEET)
    decide(fleet, [counted(71, 29, 20)], False, DUE + 2)
    again = Device.unpack(FLEET, fleet.pack())
    events = decide(again, [counted(80, 20, 11)], True, DUE + 9)
    events += decide(again, [counted(91, 9)], True, DUE + 90)
    assert told(events) == [("updated", "fleet_offline"), ("resolved", "device_returned")]
    assert [event.seq for event in events] == [2, 3]
    assert len(events[0].devices) == 20


def test_recent_is_what_was_found_within_the_last_minute() -> None:
    silent = {"old": (100.0, 90.0), "new": (101.0, 60.0), "newest": (130.0, 99.0)}
    found = count(10, silent, 100.0 + TOGETHER)
    assert found.pack() == [7, 3, 2, 60.0, ["new", "newest"]]


def test_an_alert_names_a_thousand_devices_and_counts_them_all() -> None:
    silent = {f"d-{number}": (1.0, 1.0) for number in range(LISTED + 500)}
    counts = [count(2_000, silent, 2.0), count(2_000, silent, 2.0)]
    (fired,) = decide(Device(FLEET), counts, False, 2.0)
    assert (fired.count, len(fired.devices)) == (2 * LISTED + 1_000, LISTED)


def test_those_that_are_a_moment_behind_are_waited_for() -> None:
    fleet = Device(FLEET)
    assert decided(fleet, [counted(6, 6, 6)], True, DUE) == []
    (fired,) = decided(fleet, [counted(0, 12, 12)], True, DUE + GATHERED)
    assert (fired.count, fired.detected_at) == (12, DUE + GATHERED)


def test_who_returns_while_the_others_are_waited_for_is_not_silent() -> None:
    fleet = Device(FLEET)
    assert decided(fleet, [counted(6, 6, 6)], True, DUE) == []
    assert decided(fleet, [counted(12)], True, DUE + 1) == []
    assert decided(fleet, [counted(6, 6, 6)], True, DUE + 2) == []


def test_who_falls_silent_while_it_is_open_is_named_too() -> None:
    """A gateway dies: the devices behind it fall due one after the other, as far apart as they
    report."""
    fleet = Device(FLEET)
    (fired,) = decide(fleet, [counted(80, 20, 20)], True, DUE)
    more = [counted(40, 60, 60)]
    assert decided(fleet, more, True, DUE + APART - 1) == []
    (updated,) = decided(fleet, more, True, DUE + APART)
    assert (updated.event, updated.reason, updated.alert_id) == (
        "updated",
        "fleet_offline",
        fired.alert_id,
    )
    assert (fired.count, updated.count) == (20, 60)
    assert len(fired.devices) == 20
    assert updated.devices[:20] == fired.devices
    assert sorted(updated.devices) == sorted(more[0].ids)
    assert decided(fleet, more, True, DUE + 9 * APART) == [], "they are told"


def test_of_those_who_fall_silent_one_after_the_other_nobody_is_left_out() -> None:
    """One a second; what a partition has counted is three seconds old when it is decided upon."""
    fleet, events = Device(FLEET), []
    silent: dict[str, tuple[float, float]] = {}
    counts = [counted(200)] * 3
    for second in range(240):
        at = DUE + second
        if second < 200:
            silent[f"d-{second}"] = (at, at)
        counts = [*counts[1:], count(200, silent, at)]
        events += decided(fleet, counts[:1], True, at)
    assert [event.event for event in events] == ["fired"] + ["updated"] * 6
    assert sorted(events[-1].devices) == sorted(silent)
    assert events[-1].count == 200


def test_who_is_back_stays_named_and_is_counted() -> None:
    fleet = Device(FLEET)
    decide(fleet, [counted(80, 20, 20, "first")], True, DUE)
    (updated,) = decided(fleet, [counted(85, 15, 5, "second")], True, DUE + APART)
    assert updated.count == len(updated.devices) == 25


def test_a_thousand_are_named_however_many_more_there_are() -> None:
    fleet = Device(FLEET)
    decide(fleet, [counted(0, LISTED - 1, LISTED - 1, "first")], True, DUE)
    (updated,) = decided(fleet, [counted(0, 2 * LISTED, 3, "second")], True, DUE + APART)
    assert (updated.count, len(updated.devices)) == (2 * LISTED, LISTED)


def test_that_something_arrives_again_is_told_at_once_and_with_all_there_are() -> None:
    fleet = Device(FLEET)
    decide(fleet, [counted(80, 20, 20)], False, DUE)
    (updated,) = decided(fleet, [counted(40, 60, 60)], True, DUE + 1)
    assert (updated.reason, updated.count) == ("fleet_offline", 60)


def test_an_alert_of_a_time_that_told_once_is_told_again() -> None:
    fleet = Device(FLEET)
    decide(fleet, [counted(80, 20, 20)], True, DUE)
    assert fleet.alerts is not None
    del fleet.alerts.progress[RULE][2:]
    (updated,) = decided(fleet, [counted(40, 60, 60)], True, DUE + 1)
    assert updated.count == 60
