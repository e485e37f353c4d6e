"""Other rules for a device with a history in, what that changes out."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rules import (
    DEFAULT,
    Bounds,
    Device,
    Engine,
    Event,
    Flatline,
    Level,
    Offline,
    Range,
    Rulebook,
    Threshold,
)
from pipeline.rules.rulefile import parse
from tests.pipeline.rules.history import History, after

HOT = Level("danger", 35, 33)


def heat(*levels: Level, metric: str = "temperature", **patience: float) -> Threshold:
    return Threshold("heat", metric, "above", levels or [HOT], **patience)  # type: ignore[arg-type]


def reloaded(before: Rulebook, after_: Rulebook, **values: float) -> History:
    """A device with one judged reading, at 0; its rules change at 100."""
    told = History(before)
    told.reading(0, values=values)
    told.events.clear()
    adopt(told, after_, 100)
    return told


def adopt(told: History, rulebook: Rulebook, at: float) -> None:
    told.engine = Engine(rulebook)
    told.events += told.engine.adopt(told.device, after(at))


def shown(told: History) -> list[tuple[str, str, str]]:
    return [(event.event, event.reason, event.severity) for event in told.events]


def test_a_hundred_adoptions_of_equal_rules_emit_nothing_and_change_nothing() -> None:
    text = '[rules.heat]\nmetric = "temperature"\nlevels = [{ severity = "info", above = 30 }]'
    told = History(parse(text))
    told.reading(0, temperature=36.0)
    packed = told.device.pack()
    for at in range(100):
        adopt(told, parse(text), at)
    assert told.steps == ["heat fired"]
    assert told.device.pack() == packed


@pytest.mark.parametrize(
    ("new", "value", "expected"),
    [
        (heat(Level("danger", 30, 28)), 32, [("fired", "rule_changed", "danger")]),
        (heat(Level("danger", 40, 38)), 36, [("resolved", "rule_changed", "danger")]),
        (heat(Level("danger", 40, 33)), 36, []),  # still above the clear line
        (heat(Level("info", 35, 33)), 36, [("updated", "rule_changed", "info")]),
        (heat(Level("info", 30, 28), HOT), 36, []),
        (heat(Level("danger", 40, 38)), 20, []),
    ],
)
def test_a_changed_rule_judges_the_newest_value_again(
    new: Threshold, value: float, expected: list[tuple[str, str, str]]
) -> None:
    assert shown(reloaded(Rulebook([heat()]), Rulebook([new]), temperature=value)) == expected


def test_a_ladder_that_lost_its_level_goes_on_at_the_one_that_is_left() -> None:
    ladder = heat(Level("info", 30, 28), Level("warning", 35, 33), Level("danger", 40, 38))
    told = reloaded(Rulebook([ladder]), Rulebook([heat(Level("info", 30, 28))]), temperature=41)
    assert shown(told) == [("updated", "rule_changed", "info")]
    told.reading(200, temperature=20.0)
    assert told.steps == ["heat updated", "heat resolved"]


@pytest.mark.parametrize(
    "new",
    [
        Rulebook(),
        Rulebook([heat(metric="co2")]),  # the same name, about something else
        Rulebook(ranges=[Range("heat", "danger", [Bounds("temperature", 0, 35)])]),
    ],
)
def test_the_alert_of_a_removed_rule_resolves(new: Rulebook) -> None:
    told = reloaded(Rulebook([heat()]), new, temperature=36.0)
    assert shown(told)[0] == ("resolved", "rule_removed", "danger")
    assert told.events[0].resolved_at == after(100)


def test_an_unchanged_rule_keeps_its_state_while_others_change() -> None:
    damp = Threshold("damp", "humidity", "above", [Level("info", 80, 75)], repeat=3)
    told = History(Rulebook([heat(), damp]))
    told.reading(0, temperature=36.0, humidity=90.0)
    told.reading(10, temperature=36.0, humidity=90.0)
    adopt(told, Rulebook([heat(Level("danger", 36.5, 30)), damp]), 15)
    told.reading(20, temperature=36.0, humidity=90.0)
    assert told.steps == ["heat fired", "damp fired"]


def test_a_changed_rule_forgets_what_was_pending() -> None:
    told = History(Rulebook([heat(repeat=2)]))
    told.reading(0, temperature=36.0)
    adopt(told, Rulebook([heat(repeat=3)]), 5)  # judges it again: one
    told.reading(10, temperature=36.0)
    assert told.steps == []
    told.reading(20, temperature=36.0)
    assert told.steps == ["heat fired"]


def test_rules_changed_while_nobody_ran_are_adopted_by_the_next_message() -> None:
    for message in ("reading", "check"):
        told = History(Rulebook([heat()]))
        told.reading(0, temperature=36.0)
        told.engine = Engine(Rulebook([heat(Level("danger", 40, 38))]))
        told.device = Device.unpack(told.device.id, told.device.pack())
        if message == "reading":
            told.reading(10, co2=400.0)
        else:
            told.settle(10)
        assert [(e.event, e.reason) for e in told.events[1:]] == [("resolved", "rule_changed")]


def test_a_row_of_a_time_without_hashes_is_taken_as_judged_by_these_rules() -> None:
    told = History(DEFAULT)
    told.reading(0, temperature=36.0, humidity=50.0)
    row = told.device.pack()
    alerts = [row[8][0], [packed[:10] for packed in row[8][1]]]
    told.device = Device.unpack(told.device.id, [1, *row[1:8], alerts])
    told.engine = Engine(DEFAULT)
    assert told.engine.adopt(told.device, after(5)) == []
    told.reading(10, temperature=20.0)
    assert told.steps == ["temperature-high fired", "temperature-high resolved"]


def test_values_of_a_silent_device_are_no_evidence_for_changed_rules() -> None:
    told = History(Rulebook([heat()], offline=Offline()))
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=20.0)
    told.settle(500)
    adopt(told, Rulebook([heat(Level("danger", 10, 8))], offline=Offline()), 600)
    assert told.steps == ["offline fired"]
    told.reading(700, temperature=20.0)
    assert told.steps == ["offline fired", "offline resolved", "heat fired"]


def test_a_longer_limit_ends_a_silence_and_what_it_suppressed() -> None:
    told = History(Rulebook([heat()], offline=Offline(after=60)))
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=36.0)
    told.settle(100)
    told.events.clear()
    adopt(told, Rulebook([heat()], offline=Offline(after=3_600)), 110)
    assert [(e.rule, e.event, e.reason, e.stale, e.suppressed_by) for e in told.events] == [
        ("offline", "resolved", "rule_changed", False, None),
        ("heat", "updated", "unsuppressed", True, None),
    ]


def test_a_device_without_a_history_adopts_rules_without_a_word() -> None:
    device = Device("d")
    assert Engine().adopt(device, after(0)) == []
    assert device.hashes is DEFAULT.hashes


MILD, WARM = Level("info", 30, 28), Level("warning", 35, 33)
THREE = (MILD, WARM, Level("danger", 40, 38))
FAULT = Range("fault", "warning", [Bounds("humidity", 0, 100)])
STUCK = Flatline("stuck", "warning", ["battery"], hold=20, repeat=3)


def unheard(why: str, old: tuple[Level, ...], value: float, new: tuple[Level, ...]) -> History:
    """A device whose ladder changes while its values are no evidence."""
    windowed = {"of": "last", "over": 300.0} if why == "windowed" else {}
    before, now = (
        Rulebook([heat(*levels, **windowed)], [FAULT], Offline(after=60), flatlines=[STUCK])  # type: ignore[arg-type]
        for levels in (old, new)
    )
    told = History(before)
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=value, battery=50 if why == "stuck" else at)
    if why == "out of range":
        told.reading(40, temperature=value, battery=40, humidity=200)
    if why == "silent":
        told.settle(200)
    adopt(told, now, 210 if why == "silent" else 45)
    return told


def of_heat(events: list[Event]) -> list[tuple[str, str | None, str]]:
    return [
        (event.reason, event.previous_severity, event.severity)
        for event in events
        if event.rule == "heat" and event.reason != "unsuppressed"
    ]


@pytest.mark.parametrize("why", ["silent", "out of range", "stuck", "windowed"])
@pytest.mark.parametrize(
    ("old", "value", "new", "later", "expected"),
    [
        (THREE, 41, (HOT,), 36, []),
        (THREE, 41, (HOT,), 34, []),  # not below the clear line
        (THREE, 41, (HOT,), 20, [("value_normal", None, "danger")]),
        (THREE, 41, (MILD,), 41, [("severity_changed", "danger", "info")]),
        (THREE, 36, (MILD, HOT), 34, [("severity_changed", "warning", "info")]),
        ((HOT,), 36, THREE, 36, [("severity_changed", "danger", "warning")]),
        ((HOT,), 36, THREE, 39, []),
        ((MILD,), 31, (HOT,), 34, [("severity_changed", "info", "danger")]),
        ((MILD,), 31, THREE[1:], 41, [("severity_changed", "info", "danger")]),
        ((MILD, WARM), 36, (Level("warning", 30, 28), HOT), 31, []),
        (
            *((MILD, WARM), 36, (Level("warning", 30, 28), HOT), 36),
            [("severity_changed", "warning", "danger")],
        ),
    ],
)  # fmt: skip
def test_a_ladder_that_changes_while_values_are_no_evidence_waits_for_the_next_one(
    why: str,
    old: tuple[Level, ...],
    value: float,
    new: tuple[Level, ...],
    later: float,
    expected: list[tuple[str, str | None, str]],
) -> None:
    told = unheard(why, old, value, new)
    assert of_heat(told.events)[-1][0] in ("threshold", "stale")  # nothing yet
    before = len(told.events)
    told.reading(220 if why == "silent" else 50, temperature=later, battery=7, humidity=50)
    assert of_heat(told.events[before:]) == expected


def test_an_alert_that_waits_shows_the_lines_of_its_new_ladder() -> None:
    told = unheard("silent", THREE, 41, (WARM, Level("danger", 39, 37)))
    told.reading(220, temperature=41)
    assert (told.events[-1].reason, told.events[-1].threshold) == ("unsuppressed", 39)


@pytest.mark.parametrize(
    ("fault", "values"), [("fault", {"humidity": 200}), ("stuck", {"battery": 50})]
)
def test_what_a_fault_holds_back_fires_no_changed_rule(
    fault: str, values: dict[str, float]
) -> None:
    told = History(Rulebook([heat()], [FAULT], flatlines=[STUCK]))
    for at in (0, 10, 20):
        told.reading(at, temperature=20, **values)
    adopt(told, Rulebook([heat(Level("danger", 10, 8))], [FAULT], flatlines=[STUCK]), 30)
    assert told.steps == [f"{fault} fired"]


def test_a_silence_that_nobody_has_told_yet_is_no_evidence_either() -> None:
    told = History(Rulebook([heat()], offline=Offline(after=60)))
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=20)
    adopt(told, Rulebook([heat(Level("danger", 10, 8))], offline=Offline(after=60)), 100)
    assert told.steps == []
    told.settle(100)
    assert told.steps == ["offline fired"]


def test_a_value_that_is_beyond_the_new_line_ends_what_was_normal_for_a_while() -> None:
    told = History(Rulebook([heat(keep=60)]))
    told.reading(0, temperature=36)
    told.reading(10, temperature=32)
    adopt(told, Rulebook([heat(Level("danger", 31, 29), keep=60)]), 20)
    told.reading(80, temperature=28)
    assert told.steps == ["heat fired"]
    told.reading(140, temperature=28)
    assert told.steps == ["heat fired", "heat resolved"]


def test_new_reminders_count_from_the_change() -> None:
    told = reloaded(Rulebook([heat()]), Rulebook([heat(remind=60)]), temperature=36)
    told.settle(159)
    assert told.steps == []
    told.settle(160)
    assert told.steps == ["heat reminder"]
    adopt(told, Rulebook([heat()]), 161)
    told.settle(1_000)
    assert told.steps == ["heat reminder"]


def both(severity: str) -> Range:
    return Range("fault", severity, [Bounds("humidity", 0, 100), Bounds("battery", 0, 100)])


def test_a_metric_that_is_no_longer_bounded_has_no_fault() -> None:
    told = reloaded(Rulebook(ranges=[both("warning")]), Rulebook(ranges=[FAULT]), battery=200)
    assert shown(told) == [("resolved", "rule_changed", "warning")]


def test_of_a_silent_device_the_next_reading_says_so() -> None:
    told = History(Rulebook(ranges=[both("warning")], offline=Offline(after=60)))
    for at in (0, 10, 20, 30):
        told.reading(at, battery=200)
    told.settle(100)
    told.events.clear()
    adopt(told, Rulebook(ranges=[FAULT], offline=Offline(after=60)), 110)
    assert told.steps == []
    told.reading(120, temperature=20)
    assert told.steps == ["offline resolved", "fault resolved"]


def stuck(severity: str) -> Flatline:
    return Flatline("stuck", severity, ["battery"], hold=20, repeat=3)


def with_severity(severity: str) -> Rulebook:
    return Rulebook(
        [], [both(severity)], Offline(severity=severity, after=60), 1e9, [stuck(severity)]
    )


@pytest.mark.parametrize("new", ["info", "danger"])
@pytest.mark.parametrize(
    ("rule", "values", "silent"),
    [("fault", {"humidity": 200}, False), ("stuck", {"battery": 50}, False), ("offline", {}, True)],
)
def test_another_severity_of_a_fault_or_a_silence_is_told_at_once(
    rule: str, values: dict[str, float], silent: bool, new: str
) -> None:
    told = History(with_severity("warning"))
    for at in (0, 10, 20, 30):
        told.reading(at, values=values)
    told.settle(100 if silent else 30)
    (alert,) = told.device.open_alerts()
    told.engine.acknowledge(told.device, alert.alert_id, "ann", None, after(100))
    before = len(told.events)
    adopt(told, with_severity(new), 110 if silent else 40)
    (event,) = told.events[before:]
    assert (event.rule, event.event, event.reason) == (rule, "updated", "rule_changed")
    assert (event.previous_severity, event.severity, alert.severity) == ("warning", new, new)
    assert event.acked == (new == "info")  # whoever took note has of something worse
    adopt(told, with_severity(new), 120)
    assert told.events[before:] == [event]


def test_another_severity_leaves_what_is_stale_and_suppressed_as_it_is() -> None:
    told = History(with_severity("warning"))
    for at in (0, 10, 20, 30):
        told.reading(at, humidity=200)
    told.settle(100)
    before = len(told.events)
    adopt(told, with_severity("danger"), 110)
    fault = next(event for event in told.events[before:] if event.rule == "fault")
    offline = next(alert for alert in told.device.open_alerts() if alert.rule == "offline")
    assert (fault.severity, fault.stale, fault.suppressed_by) == ("danger", True, offline.alert_id)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"danger_after": 120}, {}, [("rule_changed", "danger", "warning")]),
        ({"danger_after": 120}, {"danger_after": 150, "severity": "info"}, []),
        ({"danger_after": 120}, {"severity": "danger"}, []),
        (
            {"danger_after": 120},
            {"danger_after": 3_600},
            [("rule_changed", "danger", "warning"), ("severity_changed", "warning", "danger")],
        ),
        (
            {"severity": "danger"},
            {"danger_after": 3_600},
            [("rule_changed", "danger", "warning"), ("severity_changed", "warning", "danger")],
        ),
        ({"severity": "danger"}, {"danger_after": 100}, []),
        (
            {},
            {"danger_after": 3_600, "severity": "info"},
            [("rule_changed", "warning", "info"), ("severity_changed", "info", "danger")],
        ),
        ({}, {"danger_after": 100}, [("severity_changed", "warning", "danger")]),  # by the engine
    ],
)
def test_the_two_levels_of_a_silence_change_with_its_rule(
    old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    told = History(Rulebook(offline=Offline(after=60, **old)))
    for at in (0, 10, 20, 30):
        told.reading(at)
    told.settle(200)
    before = len(told.events)
    adopt(told, Rulebook(offline=Offline(after=60, **new)), 210)
    told.settle(10_000)
    found = [(e.reason, e.previous_severity, e.severity) for e in told.events[before:]]
    assert found == expected


def flat(metrics: list[str], **patience: float) -> Rulebook:
    usual: dict[str, Any] = {"hold": 20, "repeat": 3, **patience}
    return Rulebook(flatlines=[Flatline("stuck", "warning", metrics, **usual)])


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (flat(["battery"], remind=1_000), []),
        (flat(["battery"], hold=500, repeat=99), []),
        (flat(["battery", "co2"]), []),
        (flat(["co2"]), ["stuck resolved"]),  # which is another alert
    ],
)
def test_a_sensor_that_is_stuck_stays_stuck_by_changed_rules_until_it_moves(
    new: Rulebook, expected: list[str]
) -> None:
    told = History(flat(["battery"]))
    for at in (0, 10, 20):
        told.reading(at, battery=50, co2=at)
    assert told.steps == ["stuck fired"]
    told.events.clear()
    adopt(told, new, 25)
    told.reading(30, battery=50, co2=400)
    told.reading(40, battery=50, co2=400)
    assert told.steps == expected
    told.reading(50, battery=51, co2=400)
    assert told.steps == (expected or ["stuck resolved"]) + (["stuck fired"] if expected else [])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["battery"], ["battery"], 20),
        (["battery"], ["co2"], 40),  # they show the same, and still are others
        (["battery", "co2"], ["battery"], 40),
    ],
)
def test_how_long_a_sensor_was_stuck_is_remembered_if_it_is_the_same(
    old: list[str], new: list[str], expected: float
) -> None:
    told = History(flat(old, remind=10))
    told.reading(0, battery=50, co2=50)
    told.reading(10, battery=50, co2=50)
    adopt(told, flat(new), 15)
    for at in (20, 30, 40):
        told.reading(at, battery=50, co2=50)
    assert [(e.event, e.timestamp) for e in told.events] == [("fired", after(expected))]
