"""Any history under rules that change at any time in; what must hold of its events out.

The rules keep their names, and differ in all else: ladders of other levels and severities, stuck
sensors, silences of one level or two. A sweep adopts them between two messages, or the next message
does, whether the device is silent then, held back by a fault, or well.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from pipeline.rules import (
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
from pipeline.rules.rulebook import SEVERITIES
from tests.pipeline.rules.history import START
from tests.pipeline.rules.test_properties import MESSAGES, Message, apply

SEVERITY = st.sampled_from(SEVERITIES)
REMIND = st.sampled_from([0.0, 0.0, 3_600.0])


def ladder(name: str, severities: set[str], first: float, view: str, repeat: int) -> Threshold:
    ordered = sorted(severities, key=SEVERITIES.index)
    levels = [Level(one, first + 5 * n, first + 5 * n - 3) for n, one in enumerate(ordered)]
    over = 0.0 if view == "value" else 300.0
    return Threshold(name, "temperature", "above", levels, repeat=repeat, of=view, over=over)


def ladders(name: str, *views: str) -> st.SearchStrategy[Threshold]:
    severities = st.sets(SEVERITY, min_size=1)
    first = st.sampled_from([19.0, 25.0, 30.0])
    return st.builds(
        ladder, st.just(name), severities, first, st.sampled_from(views), st.integers(1, 2)
    )


def silence(severity: str, after: float | None, danger_after: float, remind: float) -> Offline:
    danger = 0.0 if severity == "danger" else danger_after
    return Offline("offline", severity, after, 1, danger_after=danger, remind=remind)


BOOKS = st.builds(
    lambda heat, trend, fault, offline, stuck: Rulebook(
        [*heat, *trend], [*fault], offline, flatlines=[*stuck]
    ),
    st.lists(ladders("heat", "value"), min_size=1, max_size=1),
    st.lists(ladders("trend", "value", "max", "last"), max_size=1),
    st.lists(
        st.builds(
            lambda severity, bounds: Range("fault", severity, bounds),
            SEVERITY,
            st.sampled_from(
                [
                    [Bounds("temperature", -40, 85)],
                    [Bounds("humidity", 25, 45)],
                    [Bounds("temperature", -40, 85), Bounds("humidity", 25, 45)],
                ]
            ),
        ),
        max_size=1,
    ),
    st.one_of(
        st.none(),
        st.builds(
            silence,
            SEVERITY,
            st.sampled_from([None, 60.0, 3_000.0]),
            st.sampled_from([0.0, 3_600.0, 90_000.0]),
            REMIND,
        ),
    ),
    st.lists(
        st.builds(
            lambda severity, metrics, remind: Flatline(
                "stuck", severity, metrics, hold=10, repeat=2, remind=remind
            ),
            SEVERITY,
            st.sampled_from([["humidity"], ["temperature"], ["humidity", "temperature"]]),
            REMIND,
        ),
        max_size=1,
    ),
)


class Change(NamedTuple):
    """Which rules a message is judged by, and whether a sweep brings them before it comes."""

    book: int
    swept: bool


@given(
    st.lists(BOOKS, min_size=2, max_size=3),
    MESSAGES,
    st.lists(st.builds(Change, st.integers(0, 2), st.booleans()), min_size=50, max_size=50),
)
def test_rules_that_change_at_any_time_leave_every_alert_one_history(
    books: list[Rulebook], messages: list[Message], changes: list[Change]
) -> None:
    engines = [Engine(book) for book in books]
    device, at, told = Device("a"), START, list[Event]()
    for message, change in zip(messages, changes, strict=False):
        engine = engines[change.book % len(engines)]
        if change.swept:
            told += engine.adopt(device, at + message.pause / 2)
        at += message.pause
        told += apply(engine, device, message, at)
        device = Device.unpack("a", device.pack())
    still = histories(told)
    assert still == {alert.rule: alert.alert_id for alert in device.open_alerts()}
    severities = {event.alert_id: event.severity for event in told}
    for alert in device.open_alerts():
        assert alert.severity == severities[alert.alert_id]


def histories(told: list[Event]) -> dict[str, str]:
    """What is open in the end, of a history in which every step follows from the one before."""
    seq: dict[str, int] = defaultdict(int)
    open_now: dict[str, str] = {}
    severities: dict[str, str] = {}
    for event in told:
        seq[event.alert_id] += 1
        assert event.seq == seq[event.alert_id]
        if event.event == "fired":
            assert event.rule not in open_now
            open_now[event.rule] = event.alert_id
            severities[event.rule] = event.severity
        assert open_now[event.rule] == event.alert_id  # nor anything after its resolution
        if event.previous_severity is None:
            assert event.severity == severities[event.rule]
        else:
            assert event.previous_severity == severities[event.rule] != event.severity
        severities[event.rule] = event.severity
        if event.event == "resolved":
            assert event.resolved_at is not None
            assert event.resolved_at >= event.started_at
            del open_now[event.rule]
    return open_now
