"""What is open, from histories of records: no broker needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.access import Scope
from pipeline.web.alerts import Alert, Highest, OpenAlerts, Unreadable, Wanted
from tests.pipeline.web.alert_log import event, resolved


def alert(one: dict[str, Any]) -> Alert:
    return Alert.of(json.dumps(one).encode())


def after(*history: dict[str, Any] | tuple[str, int]) -> list[tuple[str, int]]:
    """What is open after events, and tombstones (alert_id, seq)."""
    alerts = OpenAlerts(remembered=10)
    for one in history:
        if isinstance(one, tuple):
            alerts.close(*one)
        else:
            alerts.apply(alert(one))
    return [(a.alert_id, a.seq) for a in alerts.listed()]


@pytest.mark.parametrize(
    ("history", "is_open"),
    [
        ([event()], [("a1", 1)]),
        ([event(), event(seq=2)], [("a1", 2)]),
        ([event(seq=2), event(seq=1)], [("a1", 2)]),  # an older record changes nothing
        ([event(), resolved()], []),
        ([resolved(), event()], []),  # `alerts-open` lags behind `alerts`
        ([event(), resolved(), event(seq=3)], [("a1", 3)]),
        ([event(), ("a1", 2)], []),
        ([("a1", 2), event()], []),
        ([event(seq=3), ("a1", 2)], [("a1", 3)]),  # a tombstone that lags behind
        ([event("a1"), event("a2")], [("a1", 1), ("a2", 1)]),
        ([event("a1"), event("a2"), ("a1", 2)], [("a2", 1)]),
        ([event("a1"), ("unheard-of", 4)], [("a1", 1)]),
    ],
)
def test_what_is_open_follows_from_the_newest_event_of_each_alert(
    history: list[Any], is_open: list[tuple[str, int]]
) -> None:
    assert after(*history) == is_open


@given(st.permutations([*[event(seq=n) for n in (1, 2, 3)], resolved(seq=4), ("a1", 4)]))
def test_in_whatever_order_the_topics_are_read_a_resolved_alert_is_not_open(
    history: list[Any],
) -> None:
    assert after(*history) == []


def test_a_tombstone_without_headers_closes_what_is_open_under_its_key() -> None:
    alerts = OpenAlerts(remembered=10)
    alerts.apply(alert(event("a1", device_id="one")))
    alerts.apply(alert(event("a2", device_id="two")))
    alerts.close_key(b"one|temperature-high")
    assert [a.alert_id for a in alerts.listed()] == ["a2"]


def test_the_oldest_alert_is_listed_first() -> None:
    alerts = OpenAlerts(remembered=10)
    for alert_id, day in (("b", 2), ("c", 3), ("a", 1)):
        alerts.apply(alert(event(alert_id, started_at=f"2026-11-0{day}T00:00:00.000Z")))
    assert [a.alert_id for a in alerts.listed()] == ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5), st.booleans())))
def test_whatever_came_and_went_those_that_are_open_are_listed_by_age(
    history: list[tuple[str, int, bool]],
) -> None:
    alerts = OpenAlerts(remembered=10)
    for alert_id, seq, over in history:
        day = f"2026-11-2{seq % 3}T00:00:00.000Z"  # no worker changes it, but a record may
        alerts.apply(alert((resolved if over else event)(alert_id, seq, started_at=day)))
        listed = alerts.listed()
        assert sorted(listed, key=lambda one: (one.started_at, one.alert_id)) == list(listed)
        assert {one.alert_id for one in listed} == {a for a in "abcd" if alerts.get(a)}
        assert len(listed) == len(alerts)


@pytest.mark.parametrize(
    "value",
    [b"", b"nonsense", b"\xff", b"[]", b"1", b"{}", b"[" * 100_000]
    + [
        json.dumps({**event(), field: wrong}).encode()
        for field, wrong in (
            ("seq", 0),
            ("seq", True),
            ("seq", "1"),
            ("seq", None),
            ("alert_id", 7),
            ("alert_id", ""),
            ("device_id", None),
        )
    ],
)
def test_a_record_that_is_no_event_is_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        Alert.of(value)


@given(st.binary())
def test_no_bytes_raise_anything_but_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        Alert.of(value)


def test_an_event_keeps_every_field_and_gets_our_own_once() -> None:
    one = event(cursor="theirs", backlog="theirs", ünïcode='"quotes" \\ and \u2028')
    sent = {k: v for k, v in one.items() if k not in ("cursor", "backlog")}
    read = alert(one)
    assert json.loads(read.text) == sent
    assert json.loads(read.live("ours")) == {**sent, "cursor": "ours"}
    assert json.loads(read.backlog()) == {**sent, "backlog": True}


def test_only_the_last_alerts_heard_of_are_remembered() -> None:
    highest = Highest(limit=2)
    assert [highest.note(one, 1) for one in ("a", "b", "a", "c")] == [True, True, False, True]
    assert [highest.get(one) for one in ("a", "b", "c")] == [1, 0, 1]


@pytest.mark.parametrize(
    ("query", "one", "wanted"),
    [
        ({}, event(), True),
        ({"device": "green*"}, event(), True),
        ({"device": "GREEN*"}, event(), False),
        ({"device": "*-7"}, event(device_id="greenhouse-71"), False),
        ({"device": "hall/?"}, event(device_id="hall/1"), True),
        ({"rule": "temperature-*"}, event(), True),
        ({"rule": "humidity-*"}, event(), False),
        ({"severity": "danger"}, event(), True),
        ({"severity": "warning,info"}, event(), False),
        # who watches danger learns that it is only a warning now
        ({"severity": "danger"}, event(severity="warning", previous_severity="danger"), True),
        ({}, event(suppressed_by="a0"), False),
        ({"suppressed": "0"}, event(suppressed_by="a0"), False),
        ({"suppressed": "1"}, event(suppressed_by="a0"), True),
    ],
)
def test_a_viewer_gets_the_alerts_that_it_asked_for(
    query: dict[str, str], one: dict[str, Any], wanted: bool
) -> None:
    assert Wanted.of(query).has(alert(one)) is wanted


@pytest.mark.parametrize(("device", "seen"), [("greenhouse-7", True), ("hall/1", False)])
def test_a_viewer_gets_no_alert_of_a_device_that_it_may_not_see(device: str, seen: bool) -> None:
    wanted = Wanted.of({}).within(Scope("ada", ("greenhouse-*",)))
    assert wanted.has(alert(event(device_id=device))) is seen


@pytest.mark.parametrize(
    "query", [{"device": "*" * 257}, {"rule": "*" * 257}, {"severity": "danger,grave"}]
)
def test_a_wish_that_cannot_be_meant_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"longer than 256|none of info"):
        Wanted.of(query)
