"""Other rules for a device with a history in, what that changes out."""

from __future__ import annotations

import pytest

from pipeline.rules import (
    DEFAULT,
    Bounds,
    Device,
    Engine,
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
