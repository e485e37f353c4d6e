"""What an Alertmanager is told, as tables of histories."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import msgspec
import pytest

from pipeline.records import iso, parse_time
from pipeline.shapes import AlertEvent
from pipeline.sinks import board as module
from pipeline.sinks.board import Board, Listed
from tests.pipeline.sinks.shell import T0, alert_of

HOLD, KEPT = 300.0, 900.0
KEY = ("attic", "temperature-high")


class Shown(NamedTuple):
    """An alert as an Alertmanager is told of it; `ends` in seconds from when that is."""

    severity: str
    starts: float
    ends: float


def event(seq: int, at: float = 0, **more: Any) -> AlertEvent:
    return alert_of("attic", seq, at=T0 + at, **more)


def resolved(seq: int, at: float, **more: Any) -> AlertEvent:
    more = {"event": "resolved", "status": "resolved", "resolved_at": iso(T0 + at), **more}
    return event(seq, at, **more)


def board_of(*events: AlertEvent, suppressed: bool = False) -> Board:
    board = Board("smart-iot", "http://page", KEPT, suppressed=suppressed)
    for one in events:
        board.apply(one, parse_time(one.detected_at))
    return board


def told(board: Board, at: float = 100.0, since: int = 0) -> list[Shown]:
    return [
        Shown(
            one["labels"]["severity"],
            parse_time(one["startsAt"]) - T0,
            parse_time(one["endsAt"]) - T0 - at,
        )
        for one in board.told(since, T0 + at, HOLD)
    ]


def test_an_open_alert_is_told_with_what_people_group_silence_and_read_by():
    (one,) = board_of(event(1)).told(0, T0 + 5, HOLD)
    assert one == {
        "labels": {
            "alertname": "temperature-high",
            "device_id": "attic",
            "severity": "danger",
            "source": "smart-iot",
        },
        "annotations": {
            "title": "🔥 High Temperature Alert!",
            "message": "Device attic: Temperature is 36.2°C (threshold: 35.0°C)",
            "alert_id": event(1).alert_id,
            "reason": "threshold",
            "started_at": iso(T0),
            "metric": "temperature",
            "value": "36.2 °C",
        },
        "startsAt": iso(T0),
        "endsAt": iso(T0 + 5 + HOLD),
        "generatorURL": "http://page/#/device/attic",
    }


@pytest.mark.parametrize(
    ("history", "shown"),
    [
        ([event(1)], [Shown("danger", 0, HOLD)]),
        ([event(1), resolved(2, 60)], [Shown("danger", 0, -40)]),
        # never beyond when it was said, though the device's clock is ahead
        ([event(1), resolved(2, 60, resolved_at=iso(T0 + 200))], [Shown("danger", 0, -40)]),
        ([event(1, started_at=iso(T0 + 150))], [Shown("danger", 100, HOLD)]),
        # a severity is a label: the one before is over in the same breath, up and down
        (
            [event(1, severity="warning"), event(2, 60)],
            [Shown("warning", 0, -40), Shown("danger", 0, HOLD)],
        ),
        (
            [event(1), event(2, 30, severity="warning"), event(3, 60)],
            [Shown("warning", 0, -40), Shown("danger", 0, HOLD)],
        ),
        (
            [event(1), event(2, 30, severity="warning"), resolved(3, 60, severity="warning")],
            [Shown("danger", 0, -70), Shown("warning", 0, -40)],
        ),
        # the next episode is firing again under the same labels
        (
            [event(1), resolved(2, 60), event(1, 90, started_at=iso(T0 + 90))],
            [Shown("danger", 90, HOLD)],
        ),
        # its end alone: what came before is of no importance
        ([resolved(2, 60)], [Shown("danger", 0, -40)]),
        # what comes again, or late, changes nothing
        ([event(1), resolved(2, 60), event(1), resolved(2, 60)], [Shown("danger", 0, -40)]),
    ],
)
def test_what_is_open_goes_on_and_what_is_over_ends_when_it_did(history, shown):
    assert told(board_of(*history)) == shown


@pytest.mark.parametrize(
    ("history", "shown"),
    [
        ([event(1, suppressed_by="s")], []),
        ([event(1, suppressed_by="s"), event(2, 60, suppressed_by="s")], []),
        ([event(1, suppressed_by="s"), resolved(2, 60)], []),
        ([event(1, suppressed_by="s"), event(2, 60)], [Shown("danger", 0, HOLD)]),
        # it was shown, and isn't over
        ([event(1), event(2, 60, suppressed_by="s")], [Shown("danger", 0, HOLD)]),
        (
            [event(1), event(2, 60, severity="warning", suppressed_by="s")],
            [Shown("danger", 0, -40), Shown("warning", 0, HOLD)],
        ),
        ([event(1), event(2, 60, suppressed_by="s"), resolved(3, 70)], [Shown("danger", 0, -30)]),
        # nobody knows yet whether it was
        ([event(2, suppressed_by="s")], []),
        # ... until the log says so
        ([event(2, 60, suppressed_by="s"), event(1)], [Shown("danger", 0, HOLD)]),
    ],
)
def test_a_suppressed_alert_isnt_shown_unless_it_was_before(history, shown):
    assert told(board_of(*history)) == shown


def test_suppressed_alerts_are_shown_to_who_wants_them():
    board = board_of(event(1, suppressed_by="s"), suppressed=True)
    assert told(board) == [Shown("danger", 0, HOLD)]
    (one,) = board.told(0, T0, HOLD)
    assert one["annotations"]["suppressed_by"] == "s"


def test_both_topics_may_say_it_in_any_order():
    """`alerts` with the resolution and `alerts-open` with a tombstone, each in its own order."""
    first, second = event(1), event(2, 30, severity="warning")
    alerts = [("alerts", one) for one in (first, second, resolved(3, 60, severity="warning"))]
    opened = [("open", first), ("open", second), ("open", None)]
    found = set()
    for order in itertools.permutations([0, 0, 0, 1, 1, 1]):
        board, queues = board_of(), [iter(alerts), iter(opened)]
        for which in order:
            topic, one = next(queues[which])
            if one is not None:
                board.apply(one, parse_time(one.detected_at))
            elif topic == "open":
                board.close(KEY, first.alert_id, 3, T0 + 60)
        found.add(tuple(told(board)))
    assert found == {(Shown("danger", 0, -70), Shown("warning", 0, -40))}


def test_a_tombstone_that_names_no_alert_ends_what_is_open():
    board = board_of(event(1))
    board.close(KEY, "another", 9, T0 + 50)
    assert told(board) == [Shown("danger", 0, HOLD)]
    board.close(KEY, None, 0, T0 + 50)
    assert told(board) == [Shown("danger", 0, -50)]


def test_only_what_has_changed_since_a_version_is_told():
    board = board_of(event(1))
    version = board.version
    assert told(board, since=version) == []
    board.apply(alert_of("cellar", at=T0 + 10), T0 + 10)
    (one,) = board.told(version, T0, HOLD)
    assert one["labels"]["device_id"] == "cellar"
    assert len(told(board)) == 2


@pytest.mark.parametrize(
    ("at", "heard_by_all", "is_told"),
    [(899, True, True), (961, True, False), (961, False, True), (86_400, False, True)],
)
def test_what_is_over_is_told_for_a_while_and_until_all_have_heard_it(at, heard_by_all, is_told):
    board = board_of(event(1), resolved(2, 60))
    board.forget(T0 + at, board.version if heard_by_all else board.version - 1)
    assert bool(told(board)) is is_told


def test_of_what_is_over_no_more_is_kept_than_a_limit(monkeypatch):
    monkeypatch.setattr(module, "MOST_OVER", 10)
    board = Board("smart-iot", "http://page", KEPT)
    for number in range(20):
        one = alert_of(f"d{number}", 2, event="resolved", status="resolved")
        board.apply(one, T0)
        board.forget(T0, 0)
    assert [one["labels"]["device_id"] for one in board.told(0, T0, HOLD)] == [
        f"d{number}" for number in range(10, 20)
    ]


def test_an_alertmanager_that_has_another_severity_hears_that_it_is_over():
    board = board_of(event(3, 60, severity="warning"))
    alert_id = event(1).alert_id
    board.listed([Listed(*KEY, "danger", alert_id), Listed(*KEY, "warning", alert_id)], T0 + 90)
    assert told(board) == [Shown("danger", 0, -40), Shown("warning", 0, HOLD)]


@pytest.mark.parametrize(
    ("alert_id", "shown"),
    [(event(1).alert_id, [Shown("danger", 0, HOLD)]), ("an earlier one", [])],
)
def test_a_suppressed_alert_that_an_alertmanager_has_goes_on(alert_id, shown):
    board = board_of(event(2, suppressed_by="s"))
    board.listed([Listed(*KEY, "danger", alert_id)], T0 + 90)
    assert told(board) == shown


def test_what_an_alertmanager_has_of_others_is_left_alone():
    board = board_of(event(1))
    alerts = [{"labels": {"alertname": "Watchdog"}}, {"labels": {}, "annotations": {}}]
    board.listed(module.listed_of(msgspec.json.encode(alerts)), T0)
    assert told(board) == [Shown("danger", 0, HOLD)]


@pytest.mark.parametrize(
    ("device_id", "link"),
    [("a/b:c@d", "http://page/#/device/a%2Fb%3Ac%40d"), ("*fleet", "http://page/")],
)
def test_the_link_goes_to_the_page_of_the_device(device_id, link):
    board = Board("smart-iot", "http://page/", KEPT)
    board.apply(alert_of(device_id), T0)
    (one,) = board.told(0, T0, HOLD)
    assert one["generatorURL"] == link
