"""Alert events in, alerts with all their events out, page by page."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pipeline.web.episodes import LONGEST_EPISODE, Asked, Episodes, cursor_of
from tests.pipeline.web.alert_log import event, resolved


def known(*events: dict[str, Any], most: int = 1_000) -> Episodes:
    episodes = Episodes(most)
    for one in events:
        episodes.apply(json.dumps(one).encode())
    return episodes


def listed(episodes: Episodes, **query: str) -> str:
    asked = Asked.of(query)
    return " ".join(one.alert_id for one in episodes.newest_first(asked.after) if asked.has(one))


def at(minute: int) -> str:
    return f"2026-11-22T10:{minute:02d}:00.000Z"


def test_an_alert_has_all_its_events_each_once_as_they_were_told() -> None:
    told = [event("a", 1), event("a", 2, note="½ – Ωµ", event="updated"), resolved("a", 3)]
    episode = known(told[0], told[1], told[0], told[1], told[2]).get("a")
    assert episode is not None
    assert [json.loads(text) for text in episode.texts()] == told
    assert json.loads(episode.last()) == told[2]


HOT = event("hot", started_at=at(1))
COLD = event(
    "cold", device_id="cellar", rule="temperature-low", started_at=at(2), severity="warning"
)
OVER = [
    event("over", started_at=at(3), severity="warning"),
    event("over", 2, started_at=at(3), event="updated"),
    resolved("over", 3, started_at=at(3), resolved_at=at(5), severity="warning"),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "over cold hot"),  # the one that began last comes first
        ({"device": "green*"}, "over hot"),
        ({"device": "cellar"}, "cold"),
        ({"rule": "*-low"}, "cold"),
        ({"status": "active"}, "cold hot"),
        ({"status": "resolved"}, "over"),
        ({"severity": "danger"}, "over hot"),  # which it was for a while
        ({"severity": "danger,warning"}, "over cold hot"),
        ({"severity": "info"}, ""),
        ({"since": at(5)}, "over cold hot"),  # it was open then
        ({"since": at(6)}, "cold hot"),  # these still are
        ({"until": at(2)}, "hot"),
        ({"since": at(2), "until": at(3)}, "cold hot"),
        ({"until": "1795341720"}, "hot"),  # seconds since the epoch: at(2)
        ({"status": "resolved", "device": "cellar"}, ""),
    ],
)
def test_alerts_are_found_by_what_they_are_about_and_when_they_were_open(
    query: dict[str, str], expected: str
) -> None:
    assert listed(known(HOT, COLD, *OVER), **query) == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"severity": "bad"}, "severity 'bad' is none of danger, info, warning"),
        ({"status": "open"}, "status 'open' is none of active, resolved"),
        ({"status": "active,resolved"}, "status is one of active, resolved"),
        ({"limit": "0"}, "limit is not a whole number from 1 to 500"),
        ({"limit": "501"}, "limit is not a whole number from 1 to 500"),
        ({"limit": "²"}, "limit is not a whole number from 1 to 500"),
        ({"since": "yesterday"}, "since: 'yesterday' is not ISO 8601"),
        ({"until": "1e9"}, "until: '1e9' is not ISO 8601"),
        ({"since": at(2), "until": at(2)}, "since is not before until"),
        ({"device": "*" * 257}, "device is longer than 256 characters"),
        ({"rule": "*" * 257}, "rule is longer than 256 characters"),
        ({"cursor": "nonsense"}, "cursor is none of ours"),
        ({"cursor": "ÄÖ"}, "cursor is none of ours"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(query: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError) as raised:
        Asked.of(query)
    assert str(raised.value) == said


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_in_between() -> None:
    episodes = known(HOT, COLD, *OVER)
    first = next(episodes.newest_first(None))
    episodes.apply(json.dumps(event("newer", started_at=at(9))).encode())
    episodes.apply(json.dumps(resolved("cold", 2, device_id="cellar", started_at=at(2))).encode())
    assert listed(episodes, cursor=cursor_of(first.place)) == "cold hot"


def test_alerts_that_began_at_once_are_on_one_page_or_the_next_and_never_on_both() -> None:
    episodes = known(*(event(name, started_at=at(1)) for name in "bca"))
    first, second, _ = episodes.newest_first(None)
    assert listed(episodes, cursor=cursor_of(first.place)) == "b a"
    assert listed(episodes, cursor=cursor_of(second.place)) == "a"


def test_when_there_are_too_many_events_the_alert_goes_that_has_had_none_for_the_longest() -> None:
    busy = [event("hot", seq, started_at=at(1)) for seq in (2, 3)]
    episodes = known(HOT, COLD, *busy, *OVER, most=6)
    assert listed(episodes) == "over hot"
    assert episodes.get("cold") is None
    assert episodes.forgotten == 1795341720  # and nothing that began after that


def test_of_an_alert_with_very_many_events_the_newest_are_known() -> None:
    episodes = known(*(event("a", seq) for seq in range(1, LONGEST_EPISODE + 3)), most=10_000)
    episode = episodes.get("a")
    assert episode is not None
    assert [json.loads(episode.texts()[end])["seq"] for end in (0, -1)] == [3, LONGEST_EPISODE + 2]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"\xff", b'{"alert_id": "a"}',
        json.dumps(event(seq=0)).encode(),
        json.dumps(event(seq=True)).encode(),
        json.dumps(event(alert_id="")).encode(),
        json.dumps(event(started_at="soon")).encode(),
        json.dumps(resolved("a", 1, resolved_at="soon")).encode(),
    ],
)  # fmt: skip
def test_what_is_no_event_of_an_alert_leaves_no_trace(raw: bytes) -> None:
    episodes = known(HOT)
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        episodes.apply(raw)
    assert listed(episodes) == "hot"
    assert len(episodes) == 1
