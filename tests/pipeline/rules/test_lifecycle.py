"""Any history in; whatever it was, what holds of every alert holds of its events."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules import Device, Engine, Event, Reading
from pipeline.rules.lifecycle import Alerts
from pipeline.words import event_json
from tests.pipeline.rules.history import NO_GRACE, START


class Message(NamedTuple):
    """A reading, or a check where there are no values."""

    pause: float
    skew: float | None
    values: dict[str, float]
    sequence: int | None


PAUSES = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 10.0, 60.0, 61.0, 3_600.0, 7 * 86_400.0]), st.floats(0, 1e6)
)
SKEWS = st.one_of(st.none(), st.sampled_from([0.0, -250.0, 250.0]), st.floats(-1e4, 1e4))
VALUES = st.dictionaries(
    st.sampled_from(["temperature", "humidity", "battery", "co2"]),
    st.one_of(
        st.sampled_from([-127.0, 0.0, 4.0, 7.0, 9.0, 11.0, 20.0, 22.0, 34.0, 36.0, 78.0, 6553.5]),
        st.floats(-200, 200),
    ),
)
MESSAGES = st.lists(
    st.builds(Message, PAUSES, SKEWS, VALUES, st.one_of(st.none(), st.integers(0, 3))), max_size=60
)


def apply(engine: Engine, device: Device, message: Message, at: float) -> list[Event]:
    if not message.values:
        return engine.settle(device, at, NO_GRACE)
    time = None if message.skew is None else at + message.skew
    reading = Reading(device.id, time, at, dict(message.values), message.sequence)
    return engine.reading(device, reading, at, NO_GRACE)[1]


def play(messages: list[Message]) -> tuple[Device, list[Event]]:
    engine, device, at, events = Engine(), Device("d"), START, []
    for message in messages:
        at += message.pause
        events += apply(engine, device, message, at)
    return device, events


@given(MESSAGES)
def test_an_alert_is_fired_first_and_resolved_last_and_its_seq_has_no_hole(
    messages: list[Message],
) -> None:
    device, events = play(messages)
    alerts: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        alerts[event.alert_id].append(event)
    for steps in alerts.values():
        assert [step.seq for step in steps] == list(range(1, len(steps) + 1))
        assert [step.event for step in steps[:1]] == ["fired"]
        assert {step.event for step in steps[1:-1]} <= {"updated"}
        assert len({(step.rule, step.started_at) for step in steps}) == 1
    still_open = {steps[-1].alert_id for steps in alerts.values() if steps[-1].status == "active"}
    assert still_open == {alert.alert_id for alert in device.open_alerts()}


@given(MESSAGES)
def test_a_rule_has_one_open_alert_at_a_time_and_its_starts_rise(messages: list[Message]) -> None:
    _, events = play(messages)
    open_now: dict[str, str] = {}
    last_start: dict[str, float] = {}
    for event in events:
        if event.event == "fired":
            assert event.rule not in open_now
            assert event.started_at > last_start.get(event.rule, 0.0)
            open_now[event.rule] = event.alert_id
            last_start[event.rule] = event.started_at
        assert open_now[event.rule] == event.alert_id
        if event.event == "resolved":
            del open_now[event.rule]


@given(MESSAGES)
def test_every_change_of_severity_is_one(messages: list[Message]) -> None:
    severity: dict[str, str] = {}
    for event in play(messages)[1]:
        if event.reason == "severity_changed":
            assert event.event == "updated"
            assert event.previous_severity == severity[event.alert_id] != event.severity
        else:
            assert event.previous_severity is None
            assert severity.get(event.alert_id, event.severity) == event.severity
        severity[event.alert_id] = event.severity


@given(MESSAGES)
def test_a_resolution_is_told_and_is_not_before_the_start(messages: list[Message]) -> None:
    for event in play(messages)[1]:
        if event.event == "resolved":
            assert event.status == "resolved"
            assert event.resolved_at is not None
            assert event.resolved_at >= event.started_at
        else:
            assert (event.status, event.resolved_at) == ("active", None)


@given(MESSAGES)
def test_the_same_history_gives_the_same_events_byte_for_byte(messages: list[Message]) -> None:
    device, events = play(messages)
    again, repeated = play(messages)
    assert [event_json(event) for event in events] == [event_json(event) for event in repeated]
    assert device == again


@given(MESSAGES)
def test_a_device_stored_after_every_message_goes_on_as_if_it_had_never_been(
    messages: list[Message],
) -> None:
    kept, expected = play(messages)
    engine, stored, at, events = Engine(), Device("d"), START, []
    for message in messages:
        at += message.pause
        row = msgspec.msgpack.decode(msgspec.msgpack.encode(stored.pack()))
        stored = Device.unpack("d", row)
        events += apply(engine, stored, message, at)
    assert stored == kept
    assert [event_json(event) for event in events] == [event_json(event) for event in expected]
    assert engine.due(stored, NO_GRACE) == engine.due(kept, NO_GRACE)


@given(MESSAGES, st.lists(PAUSES, max_size=5))
def test_checks_in_between_change_no_event(messages: list[Message], checks: list[float]) -> None:
    engine, device, at, events = Engine(), Device("d"), START, []
    for message in messages:
        for check in sorted(checks):
            if check < message.pause:
                events += engine.settle(device, at + check, NO_GRACE)
        at += message.pause
        events += apply(engine, device, message, at)
    kept, expected = play(messages)
    assert [event_json(event) for event in events] == [event_json(event) for event in expected]
    assert device == kept


@given(MESSAGES)
def test_nothing_is_due_before_the_time_that_is_named(messages: list[Message]) -> None:
    engine, device, at = Engine(), Device("d"), START
    for message in messages:
        at += message.pause
        apply(engine, device, message, at)
        before = device.pack()
        due = engine.due(device, NO_GRACE)
        assert due > at
        assert engine.settle(device, min(due - 0.001, 1e15), NO_GRACE) == []
        assert device.pack() == before


def test_a_rule_can_not_fire_twice() -> None:
    alerts = Alerts("d")
    alerts.fire("hot", "danger", "threshold", START, START)
    with pytest.raises(ValueError, match="open already"):
        alerts.fire("hot", "danger", "threshold", START + 1, START + 1)


def test_a_packed_device_of_another_version_is_refused() -> None:
    row = Device("d").pack()
    with pytest.raises(ValueError, match="version 99"):
        Device.unpack("d", [99, *row[1:]])
