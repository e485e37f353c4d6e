"""Values in, the fate of one threshold alert out: tables of histories."""

from __future__ import annotations

from uuid import UUID, uuid5

import pytest

from pipeline.rules import DEFAULT, Device, Engine, Event, Reading
from tests.pipeline.rules.history import LADDER, NO_GRACE, START, History, after, play


def lives(events: list[Event]) -> list[str]:
    return [event.event for event in events]


@pytest.mark.parametrize(
    ("metric", "history", "expected"),
    [
        ("humidity", [(0, 81), (10, 81), (20, 74)], ["fired", "resolved"]),  # below the clear line
        ("humidity", [(0, 80)], []),  # on the line is not beyond it
        ("humidity", [(0, 81), (10, 76)], ["fired"]),  # between the lines
        ("humidity", [(0, 81), (10, 75)], ["fired"]),  # on the clear line is not below it
        ("humidity", [(0, 81), (10, 74.9), (20, 81)], ["fired", "resolved", "fired"]),
        ("humidity", [(0, 19), (10, 24), (20, 25), (30, 25.1)], ["fired", "resolved"]),
        ("humidity", [(0, 20)], []),
        ("temperature", [(0, 35), (10, 35.1), (20, 33), (30, 32.9)], ["fired", "resolved"]),
        ("temperature", [(0, 10), (10, 9.9), (20, 12), (30, 12.1)], ["fired", "resolved"]),
        ("temperature", [(0, 0)], ["fired"]),  # 0 is a value
        ("temperature", [(0, 36), (10, 9)], ["fired", "resolved", "fired"]),  # two rules
        ("battery", [(0, 19), (10, 4), (20, 9)], ["fired", "updated", "updated"]),
        ("battery", [(0, 4), (10, 30)], ["fired", "resolved"]),  # from danger straight to normal
        ("pressure", [(0, 1e9)], []),  # no rule names it
    ],
)  # fmt: skip
def test_default_rules_are_strict_and_leave_an_alert_beyond_its_clear_line(
    metric: str, history: list[tuple[float, float]], expected: list[str]
) -> None:
    assert lives(play(metric, history, DEFAULT)) == expected


def test_a_ladder_goes_up_and_down_within_one_alert() -> None:
    values = [61, 73, 64, 85, 62, 56, 47]
    events = play("load", [(i * 10, value) for i, value in enumerate(values)], LADDER)
    shown = [event.severity if event.status == "active" else event.status for event in events]
    assert shown == ["info", "warning", "danger", "warning", "info", "resolved"]
    assert [event.value for event in events] == [61, 73, 85, 62, 56, 47]
    assert [event.previous_severity for event in events] == [
        None, "info", "warning", "danger", "warning", None,
    ]  # fmt: skip
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6]
    assert len({event.alert_id for event in events}) == 1
    assert {event.started_at for event in events} == {START}


def test_the_severity_after_every_reading_of_a_ladder() -> None:
    told = History(LADDER)
    severities = []
    for at, value in enumerate([61, 73, 64, 85, 62, 56, 47]):
        told.reading(at, load=value)
        alerts = told.device.open_alerts()
        severities.append(alerts[0].severity if alerts else "resolved")
    assert severities == ["info", "warning", "warning", "danger", "warning", "info", "resolved"]


@pytest.mark.parametrize(
    ("values", "severities"),
    [
        ([85], ["danger"]),  # straight to the top
        ([85, 55], ["danger", "info"]),  # down two levels at once
        ([85, 71], ["danger"]),
        ([71, 81, 71, 69], ["warning", "danger", "warning"]),
    ],
)
def test_a_ladder_takes_several_levels_in_one_step(
    values: list[float], severities: list[str]
) -> None:
    events = play("load", list(enumerate(values)), LADDER)
    assert [event.severity for event in events] == severities


def test_threshold_and_clear_are_those_of_the_level_and_of_the_last_one_when_resolved() -> None:
    events = play("load", list(enumerate([61, 85, 62, 40])), LADDER)
    assert [(event.threshold, event.clear) for event in events] == [
        (60, 50), (80, 70), (70, 60), (70, 60),
    ]  # fmt: skip
    assert [event.reason for event in events] == [
        "threshold", "severity_changed", "severity_changed", "value_normal",
    ]  # fmt: skip


def test_ten_thousand_hot_readings_make_one_fired_and_one_resolved() -> None:
    history = [(at, 36.0 + at % 7) for at in range(10_000)]
    events = play("temperature", [*history, (10_000, 20.0)], DEFAULT)
    assert lives(events) == ["fired", "resolved"]
    assert [event.count for event in events] == [1, 10_000]


def test_count_is_of_the_readings_beyond_the_lowest_line() -> None:
    events = play("load", list(enumerate([61, 55, 62, 55, 59, 45])), LADDER)
    assert [event.count for event in events] == [1, 2]


def test_a_missing_metric_is_no_evidence() -> None:
    told = History()
    told.reading(0, temperature=36.0)
    told.reading(10, humidity=50.0)
    assert told.steps == ["temperature-high fired"]
    assert [alert.count for alert in told.device.open_alerts()] == [1]


def test_one_reading_can_fire_several_rules_in_the_order_of_the_rulebook() -> None:
    told = History()
    told.reading(0, battery=4.0, humidity=81.0, temperature=36.0)
    assert told.steps == ["temperature-high fired", "humidity-high fired", "battery fired"]
    assert [event.severity for event in told.events] == ["danger", "warning", "danger"]


def test_started_at_is_the_judged_time_and_a_resolution_has_its_own() -> None:
    told = History()
    told.reading(100, 90, temperature=36.0)
    told.reading(200, 195, temperature=20.0)
    fired, resolved = told.events
    assert (fired.timestamp, fired.started_at, fired.detected_at) == (
        after(90), after(90), after(100),
    )  # fmt: skip
    assert (resolved.timestamp, resolved.started_at, resolved.resolved_at) == (
        after(195), after(90), after(195),
    )  # fmt: skip


def test_an_alert_that_starts_at_the_time_of_the_last_one_starts_a_millisecond_later() -> None:
    told = History()
    for value in (36.0, 20.0, 37.0, 20.0, 38.0):
        told.reading(0, 0, temperature=value)
    starts = [event.started_at for event in told.events if event.event == "fired"]
    assert starts == [after(0), after(0.001), after(0.002)]
    assert len({event.alert_id for event in told.events}) == 3


def test_ids_follow_from_device_rule_and_start_alone() -> None:
    def first(device_id: str, at: float) -> str:
        reading = Reading(device_id, None, at, {"temperature": 36.0, "humidity": 50.0})
        _, events = Engine().reading(Device(device_id), reading, at, NO_GRACE)
        return events[0].alert_id

    # Ids hang on the namespace: it may never change.
    namespace = UUID("8a379eb2-6d79-5d28-8978-0381b93a9890")
    assert first("a", START) == str(uuid5(namespace, "a|temperature-high|1795341600000"))
    assert len({first("a", START), first("b", START), first("a", START + 0.001)}) == 3
