"""Impossible values in, one sensor-fault alert out, and no weather."""

from __future__ import annotations

import pytest

from pipeline.rules import Range, Rulebook
from pipeline.rules.rulebook import Bounds
from tests.pipeline.rules.history import History, after


@pytest.mark.parametrize(
    ("metric", "value", "bound"),
    [
        ("temperature", 85.1, 85.0),
        ("temperature", -40.1, -40.0),
        ("temperature", 6553.5, 85.0),  # 0xFFFF in tenths
        ("humidity", 100.1, 100.0),
        ("humidity", -0.1, 0.0),
        ("battery", 255.0, 100.0),
    ],
)
def test_a_value_that_its_sensor_cannot_measure_is_a_fault_and_not_weather(
    metric: str, value: float, bound: float
) -> None:
    told = History()
    assert told.reading(5, 3, {metric: value}) == "judged"
    assert told.steps == ["sensor-fault fired"]
    event = told.events[0]
    assert (event.reason, event.severity, event.metric, event.value, event.threshold) == (
        "sensor_fault", "warning", metric, value, bound,
    )  # fmt: skip
    assert (event.clear, event.timestamp, event.detected_at) == (None, after(3), after(5))


@pytest.mark.parametrize(
    ("metric", "value"),
    [("humidity", 100.0), ("humidity", 0.0), ("battery", 100.0), ("temperature", 85.0)],
)
def test_the_bounds_themselves_can_be_measured(metric: str, value: float) -> None:
    told = History()
    told.reading(0, values={metric: value})
    assert "sensor-fault fired" not in told.steps


def test_a_faulty_reading_is_held_back_whole() -> None:
    told = History()
    told.reading(0, temperature=6553.5, humidity=81.0, battery=3.0)
    assert told.steps == ["sensor-fault fired"]


def test_a_faulty_reading_does_not_resolve_a_threshold_alert_either() -> None:
    told = History()
    told.reading(0, humidity=81.0)
    told.reading(10, humidity=50.0, temperature=6553.5)
    assert told.steps == ["humidity-high fired", "sensor-fault fired"]


def test_a_faulty_reading_still_counts_as_seen() -> None:
    told = History()
    for at in (0, 10, 20, 30):
        told.reading(at, temperature=6553.5)
    assert told.device.last_seen == after(30)
    assert told.due() == 90


def test_a_reading_without_the_faulty_metric_is_judged_and_leaves_the_fault_open() -> None:
    told = History()
    told.reading(0, temperature=6553.5)
    told.reading(10, humidity=81.0)
    assert told.steps == ["sensor-fault fired", "humidity-high fired"]
    assert [alert.rule for alert in told.device.open_alerts()] == ["sensor-fault", "humidity-high"]


def test_a_fault_ends_before_the_reading_that_ends_it_is_judged() -> None:
    told = History()
    told.reading(0, temperature=6553.5)
    told.reading(10, temperature=36.0)
    assert told.steps == [
        "sensor-fault fired", "sensor-fault resolved", "temperature-high fired",
    ]  # fmt: skip
    resolved = told.events[1]
    assert (resolved.reason, resolved.metric, resolved.value, resolved.threshold) == (
        "value_normal", "temperature", 36.0, 85.0,
    )  # fmt: skip


def test_a_fault_of_two_metrics_ends_when_both_have_shown_a_possible_value() -> None:
    told = History()
    told.reading(0, temperature=6553.5)
    told.reading(10, temperature=6553.5, humidity=255.0)
    told.reading(20, temperature=20.0)
    assert told.steps == ["sensor-fault fired"]
    told.reading(30, humidity=50.0)
    assert told.steps == ["sensor-fault fired", "sensor-fault resolved"]
    resolved = told.events[1]
    assert (resolved.metric, resolved.value, resolved.threshold) == ("humidity", 50.0, 100.0)
    assert resolved.count == 2


def test_a_reading_with_one_metric_well_and_another_faulty_goes_on_with_the_alert() -> None:
    told = History()
    told.reading(0, temperature=6553.5)
    told.reading(10, temperature=20.0, humidity=255.0)
    told.reading(20, temperature=20.0, humidity=50.0)
    assert told.steps == ["sensor-fault fired", "sensor-fault resolved"]
    assert len({event.alert_id for event in told.events}) == 1


def test_of_two_faulty_metrics_the_alert_speaks_of_the_one_that_still_is() -> None:
    bounds = [Bounds("temperature", -40, 85), Bounds("humidity", 0, 100)]
    told = History(Rulebook(ranges=[Range("r", "info", bounds, remind=60)]))
    told.reading(0, temperature=200, humidity=655)
    told.reading(10, temperature=20, humidity=655)
    (reminder,) = told.settle(60)
    assert (reminder.metric, reminder.value, reminder.threshold) == ("humidity", 655, 100)
    told.reading(70, temperature=20, humidity=50)
    assert (told.events[-1].event, told.events[-1].metric) == ("resolved", "humidity")
