"""Alert events in; their titles and messages out."""

from __future__ import annotations

import pytest

from pipeline.rules import Device, Engine, Rulebook
from pipeline.rules.fleet import FLEET, GATHERED, NEVER, Count, decide
from pipeline.rules.rulefile import parse
from tests.pipeline.rules.history import History, after, wire

RULES = parse("""
[rules.heat]
metric = "temperature"
remind_every = "1m"
levels = [{ severity = "danger", above = 35, clear = 33 }]

[rules.stuck]
kind = "flatline"
metrics = ["humidity"]
for = "20s"
repeat = 3

[rules.offline]
kind = "offline"
after = "5m"
danger_after = "1h"
remind_every = "2h"
""")


def heated() -> History:
    told = History(RULES)
    told.reading(0, temperature=36.0)
    return told


def last(told: History) -> tuple[str, str, str]:
    (shown,) = wire(told.events[-1:])
    return shown["type"], shown["title"], shown["message"].removeprefix("Device greenhouse-7: ")


def test_a_reminder_says_what_is_still_so() -> None:
    told = heated()
    told.settle(60)
    assert last(told) == (
        "danger",
        "🔥 High Temperature Alert!",
        "Temperature is 36.0°C (threshold: 35.0°C)",
    )


def test_an_acknowledged_alert_is_information() -> None:
    told = heated()
    (alert,) = told.device.open_alerts()
    told.events += told.engine.acknowledge(told.device, alert.alert_id, "ann", None, after(5))
    assert last(told) == (
        "info",
        "🔥 High Temperature Alert!",
        "Temperature is 36.0°C (threshold: 35.0°C), acknowledged by ann",
    )


def test_a_stuck_sensor_is_a_fault_and_is_well_when_it_moves() -> None:
    told = History(RULES)
    for at in (0, 10, 20):
        told.reading(at, humidity=50.0)
    assert last(told) == (
        "warning",
        "⚙️ Sensor Fault!",
        "Humidity is 50.0% and has not moved for 3 readings",
    )
    told.reading(30, humidity=50.5)
    assert last(told)[1:] == ("✅ Humidity Back to Normal", "Humidity is 50.5%, back to normal")


def test_a_longer_silence_says_so() -> None:
    told = History(RULES)
    for at in (0, 10, 20, 30):
        told.reading(at, co2=400.0)
    told.settle(3_630)
    assert last(told) == (
        "danger",
        "📴 Device Offline!",
        "Still offline at 2026-11-22T11:00:30.000Z, danger",
    )


@pytest.mark.parametrize(
    ("rules", "title", "message"),
    [
        (Rulebook(), "✅ Rule Removed", "The rule heat is no more"),
        (
            parse(
                '[rules.heat]\nmetric = "temperature"\n'
                'levels = [{ severity = "danger", above = 40, clear = 38 }]'
            ),
            "✅ Rule Changed",
            "Temperature is 36.0°C, which the changed rule heat allows",
        ),
    ],
)
def test_an_alert_that_other_rules_end_says_why(rules: Rulebook, title: str, message: str) -> None:
    told = heated()
    told.events += Engine(rules).adopt(told.device, after(10))
    assert last(told) == ("resolved", title, message)


def test_a_fleet_is_told_with_its_devices() -> None:
    fleet, events = Device(FLEET), []
    silent = Count(0, 6, 6, after(60), [f"porch-{number}" for number in range(6)])
    for at, count, arriving in [
        (62, silent, False),
        (62 + GATHERED, silent, False),
        (90, silent, True),
        (95, Count(6, 0, 0, NEVER, []), True),
    ]:
        events += decide(fleet, [count], arriving, after(at))
    six = "6 devices fell silent together (porch-0, porch-1, porch-2, porch-3, porch-4, …)"
    shown = wire(events)
    assert [(one["type"], one["title"], one["message"]) for one in shown] == [
        ("danger", "📴 Nothing Arrives!", f"The fleet: {six} and nothing arrives"),
        ("danger", "📴 Fleet Offline!", f"The fleet: {six}"),
        (
            "resolved",
            "✅ Fleet Back Online",
            "The fleet: Most devices are back at 2026-11-22T10:01:35.000Z",
        ),
    ]
    assert [one["devices"] for one in shown] == [silent.ids] * 3
    assert shown[0]["started_at"] == "2026-11-22T10:01:00.000Z"
