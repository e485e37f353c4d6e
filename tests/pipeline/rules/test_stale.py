"""Silence about an open alert, and its end, in; what becomes of the alert out."""

from __future__ import annotations

import pytest

from pipeline.rules import Level, Offline, Rulebook, Threshold
from tests.pipeline.rules.history import LADDER, History, after, wire

HOT = {"temperature": 36.0}


def silent(rulebook: Rulebook | None = None, **values: float) -> History:
    told = History() if rulebook is None else History(rulebook)
    for at in (0, 10, 20, 30):
        told.reading(at, values=values or HOT)
    told.settle(500)
    return told


def test_a_value_alert_of_a_silent_device_stays_stale_and_suppressed_by_the_offline_alert() -> None:
    told = silent()
    assert told.steps == ["temperature-high fired", "offline fired", "temperature-high updated"]
    _, offline, stale = told.events
    assert (stale.reason, stale.stale, stale.suppressed_by) == ("stale", True, offline.alert_id)
    assert (stale.status, stale.timestamp, stale.value) == ("active", after(90), None)
    assert (offline.stale, offline.suppressed_by) == (False, None)
    (shown,) = wire([stale])
    assert shown["message"] == ("Device greenhouse-7: No reading since, Temperature is unknown")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"temperature": 37.0}, [("updated", "unsuppressed", False)]),
        ({"temperature": 34.0}, [("updated", "unsuppressed", False)]),  # between the lines
        ({"temperature": 20.0}, [("resolved", "value_normal", False)]),
        ({"humidity": 50.0}, [("updated", "unsuppressed", True)]),  # no evidence
    ],
)
def test_the_first_judged_reading_decides(
    values: dict[str, float], expected: list[tuple[str, str, bool]]
) -> None:
    told = silent()
    told.events.clear()
    told.reading(600, values=values)
    assert told.steps[0] == "offline resolved"
    assert [(e.event, e.reason, e.stale) for e in told.events[1:]] == expected
    assert [e.suppressed_by for e in told.events] == [None, None]


def test_what_has_no_evidence_yet_is_told_when_there_is_some() -> None:
    told = silent()
    told.reading(600, humidity=50.0)
    told.events.clear()
    told.reading(610, temperature=36.5)
    told.reading(620, temperature=36.5)
    assert [(e.event, e.reason, e.stale, e.value) for e in told.events] == [
        ("updated", "stale", False, 36.5)
    ]


@pytest.mark.parametrize("time", [20, -500])
def test_a_reading_that_is_not_judged_decides_nothing(time: float) -> None:
    told = silent()
    told.events.clear()
    assert told.reading(600, time, record_time=time, temperature=20.0) in (
        "late", "backfill",
    )  # fmt: skip
    assert told.steps == ["offline resolved"]
    assert told.device.open_alerts()[0].stale


def test_a_fault_is_no_evidence_for_the_weather() -> None:
    told = silent()
    told.events.clear()
    told.reading(600, temperature=20.0, humidity=655.35)
    assert [(e.rule, e.reason, e.stale) for e in told.events[1:]] == [
        ("sensor-fault", "sensor_fault", False),
        ("temperature-high", "unsuppressed", True),
    ]


def test_a_change_of_severity_after_a_silence_is_one_event() -> None:
    book = Rulebook(LADDER.thresholds, offline=Offline())
    told = silent(book, load=61.0)
    told.events.clear()
    told.reading(600, load=85.0)
    (_, changed) = told.events
    assert (changed.reason, changed.severity, changed.stale, changed.suppressed_by) == (
        "severity_changed", "danger", False, None,
    )  # fmt: skip


def test_a_stale_alert_does_not_remind_and_one_that_is_back_does() -> None:
    rule = Threshold("t", "temperature", "above", [Level("danger", 35, 33)], remind=100)
    told = silent(Rulebook([rule], offline=Offline()))
    assert [e.event for e in told.events if e.rule == "t"] == ["fired", "updated"]
    told.reading(600, temperature=36.0)
    told.reading(640, temperature=36.0)
    assert told.due() == 700


def test_silence_can_have_two_levels() -> None:
    told = silent(Rulebook(offline=Offline(after=60, danger_after=3_600)))
    assert told.due() == 3_630
    told.settle(10_000)
    assert [(e.event, e.severity, e.timestamp) for e in told.events] == [
        ("fired", "warning", after(90)),
        ("updated", "danger", after(3_630)),
    ]
    told.reading(20_000)
    assert told.steps == ["offline fired", "offline updated", "offline resolved"]


def test_two_levels_of_silence_that_fell_due_together_come_in_their_order() -> None:
    told = History(Rulebook(offline=Offline(after=60, danger_after=3_600)))
    for at in (0, 10, 20, 30):
        told.reading(at)
    told.reading(10_000)
    assert told.steps == ["offline fired", "offline updated", "offline resolved"]


# -- acknowledging


def acknowledged(told: History, by: str = "ann", note: str | None = "on it") -> None:
    (alert, *_) = told.device.open_alerts()
    told.events += told.engine.acknowledge(told.device, alert.alert_id, by, note, after(50))


def test_an_alert_is_acknowledged_with_a_name_and_a_note() -> None:
    told = History()
    told.reading(0, temperature=36.0)
    acknowledged(told)
    (_, acked) = told.events
    assert (acked.event, acked.reason, acked.acked, acked.acked_by, acked.note) == (
        "acked", "manual", True, "ann", "on it",
    )  # fmt: skip
    assert (acked.severity, acked.seq, acked.timestamp) == ("danger", 2, after(50))
    (shown,) = wire([acked])
    assert (shown["type"], shown["message"]) == (
        "info",
        "Device greenhouse-7: Temperature is 36.0°C (threshold: 35.0°C), "
        "acknowledged by ann: on it",
    )


def test_the_same_acknowledgement_twice_changes_nothing() -> None:
    told = History()
    told.reading(0, temperature=36.0)
    acknowledged(told)
    acknowledged(told)
    assert told.steps == ["temperature-high fired", "temperature-high acked"]
    acknowledged(told, note=None)
    assert told.events[-1].note is None


def test_what_is_not_open_cannot_be_acknowledged() -> None:
    told = History()
    told.reading(0, temperature=36.0)
    assert told.engine.acknowledge(told.device, "another", "ann", None, after(50)) == []


@pytest.mark.parametrize(("value", "acked"), [(75.0, False), (62.0, True)])
def test_an_acknowledgement_is_undone_when_the_severity_rises(value: float, acked: bool) -> None:
    told = History(LADDER)
    told.reading(0, load=61.0 if not acked else 75.0)
    acknowledged(told)
    told.reading(60, load=value if not acked else 59.0)
    assert (told.events[-1].event, told.events[-1].acked) == ("updated", acked)
    assert told.device.open_alerts()[0].acked_by == ("ann" if acked else None)


def test_an_acknowledged_alert_does_not_remind() -> None:
    rule = Threshold("t", "temperature", "above", [Level("danger", 35, 33)], remind=100)
    told = History(Rulebook([rule]))
    told.reading(0, temperature=36.0)
    acknowledged(told)
    assert told.settle(1_000) == []
